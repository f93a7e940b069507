/**
 * The one closed table of refusals. A door maps a code to its protocol's form in its `refusals.ts`; nothing else of an
 * error crosses the rim. Numbers and names are the emulated service's (service reference 3.3): SDKs read them.
 *
 * The numbers are those of the service's published list (azure-docs, "Troubleshoot Azure IoT Hub error codes", January 2026). What is not
 * on it comes from the SDKs' own lists (503003, 504101) or is ours (404201 to 404205, 409201, 409202, 416001, 501000).
 *
 * `status` is the HTTP status and the first three digits of the number. `retry` says whether the same request may
 * succeed later without anybody changing it.
 */
export const errorTable = {
  ArgumentInvalid: { number: 400004, status: 400, retry: false, meaning: 'a value of the request is not allowed' },
  ArgumentNull: { number: 400005, status: 400, retry: false, meaning: 'a required value is missing' },
  InvalidProtocolVersion: {
    number: 400001,
    status: 400,
    retry: false,
    meaning: 'the api-version is missing or unknown',
  },
  InvalidOperation: {
    number: 400003,
    status: 400,
    retry: false,
    meaning: 'the operation does not exist at this address',
  },
  IotHubFormatError: { number: 400006, status: 400, retry: false, meaning: 'the bytes do not have the required form' },
  DeviceDefinedMultipleTimes: {
    number: 400011,
    status: 400,
    retry: false,
    meaning: 'one bulk request names an identity twice',
  },
  BlobContainerValidationError: {
    number: 400008,
    status: 400,
    retry: false,
    meaning: 'the container of an import or export cannot be used',
  },
  BulkRegistryOperationFailure: {
    number: 400013,
    status: 400,
    retry: false,
    meaning: 'some items of a bulk request failed',
  },
  DefaultStorageEndpointNotConfigured: {
    number: 400014,
    status: 400,
    retry: false,
    meaning: 'this hub keeps no files',
  },
  InvalidFileUploadCorrelationId: {
    number: 400015,
    status: 400,
    retry: false,
    meaning: 'no such file upload',
  },
  ExpiredFileUploadCorrelationId: {
    number: 400016,
    status: 400,
    retry: false,
    meaning: 'the time of the file upload is over',
  },
  InvalidStorageEndpointOrBlob: {
    number: 400020,
    status: 400,
    retry: false,
    meaning: 'nothing was uploaded',
  },
  InvalidDeviceScope: {
    number: 400028,
    status: 400,
    retry: false,
    meaning: 'the scope is not that of an edge device, or may not be set here',
  },
  CannotRegisterModuleToModule: { number: 400301, status: 400, retry: false, meaning: 'a module cannot hold modules' },
  InvalidConfigurationTargetCondition: {
    number: 400401,
    status: 400,
    retry: false,
    meaning: 'the target condition of the configuration is not allowed',
  },
  InvalidConfigurationContent: {
    number: 400402,
    status: 400,
    retry: false,
    meaning: 'the content of the configuration is not allowed',
  },
  CannotModifyImmutableConfigurationContent: {
    number: 400403,
    status: 400,
    retry: false,
    meaning: 'the content of a configuration stays as it was created',
  },
  InvalidConfigurationCustomMetricsQuery: {
    number: 400404,
    status: 400,
    retry: false,
    meaning: 'a metric of the configuration is no query that can be counted',
  },
  IotHubUnauthorized: { number: 401003, status: 401, retry: false, meaning: 'authentication failed' },
  IotHubUnauthorizedAccess: {
    number: 401002,
    status: 401,
    retry: false,
    meaning: 'this credential does not allow the operation',
  },
  SystemModuleModifyUnauthorizedAccess: {
    number: 401100,
    status: 401,
    retry: false,
    meaning: 'a module of the edge runtime stays as long as its device is an edge device',
  },
  JobQuotaExceeded: { number: 403003, status: 403, retry: true, meaning: 'an import or export is under way' },
  IotHubQuotaExceeded: { number: 403002, status: 403, retry: true, meaning: 'a quota of the hub is used up' },
  DeviceMaximumQueueDepthExceeded: {
    number: 403004,
    status: 403,
    retry: true,
    meaning: 'the command queue of the device is full',
  },
  DeviceMaximumActiveFileUploadLimitExceeded: {
    number: 403006,
    status: 403,
    retry: true,
    meaning: 'the device has as many file uploads open as allowed',
  },
  InvalidMessageExpiryTime: {
    number: 403009,
    status: 403,
    retry: false,
    meaning: 'the expiry time is past or too far away',
  },
  OperationNotAvailable: {
    number: 403010,
    status: 403,
    retry: false,
    meaning: 'this hub does not offer the operation',
  },
  DeviceDisabled: { number: 403012, status: 403, retry: false, meaning: 'the device is disabled' },
  DeviceMaximumInflightMethodExceeded: {
    number: 403800,
    status: 403,
    retry: true,
    meaning: 'too many methods of the device are under way',
  },
  DeviceNotFound: { number: 404001, status: 404, retry: false, meaning: 'no such device' },
  JobNotFound: { number: 404002, status: 404, retry: false, meaning: 'no such job' },
  AmqpAddressNotFound: { number: 404006, status: 404, retry: false, meaning: 'no such address' },
  ModuleNotFound: { number: 404010, status: 404, retry: false, meaning: 'no such module' },
  DeviceNotOnline: { number: 404103, status: 404, retry: true, meaning: 'the device is not connected' },
  DeviceConnectionClosedRemotely: {
    number: 404104,
    status: 404,
    retry: true,
    meaning: 'the device has gone before it answered',
  },
  ConsumerGroupNotFound: { number: 404201, status: 404, retry: false, meaning: 'no such consumer group' },
  CertificateAuthorityNotFound: { number: 404202, status: 404, retry: false, meaning: 'no such certificate authority' },
  ArchiveNotFound: { number: 404204, status: 404, retry: false, meaning: 'no such archive' },
  NodeNotFound: { number: 404205, status: 404, retry: false, meaning: 'no such node' },
  FileNotFound: { number: 404203, status: 404, retry: false, meaning: 'no such file' },
  ConfigurationNotFound: { number: 404301, status: 404, retry: false, meaning: 'no such configuration' },
  GenericMethodNotAllowed: {
    number: 405000,
    status: 405,
    retry: false,
    meaning: 'the address does not take this method',
  },
  DeviceAlreadyExists: { number: 409001, status: 409, retry: false, meaning: 'the device exists already' },
  LinkCreationConflict: { number: 409002, status: 409, retry: true, meaning: 'a newer connection took this place' },
  JobAlreadyExists: { number: 409104, status: 409, retry: false, meaning: 'the job exists already' },
  ModuleAlreadyExistsOnDevice: { number: 409301, status: 409, retry: false, meaning: 'the module exists already' },
  ConsumerGroupAlreadyExists: {
    number: 409201,
    status: 409,
    retry: false,
    meaning: 'the consumer group exists already',
  },
  CertificateAuthorityAlreadyExists: {
    number: 409202,
    status: 409,
    retry: false,
    meaning: 'the certificate authority exists already',
  },
  ConfigurationAlreadyExists: {
    number: 409401,
    status: 409,
    retry: false,
    meaning: 'the configuration exists already',
  },
  ApplyConfigurationAlreadyInProgressOnDevice: {
    number: 409402,
    status: 409,
    retry: true,
    meaning: 'configuration content is being applied to the device by another request',
  },
  PreconditionFailed: { number: 412001, status: 412, retry: false, meaning: 'the ETag is not the current one' },
  DeviceMessageLockLost: { number: 412002, status: 412, retry: false, meaning: 'the lock on the command is gone' },
  JobRunPreconditionFailed: { number: 412003, status: 412, retry: false, meaning: 'the job has ended already' },
  MessageTooLarge: { number: 413001, status: 413, retry: false, meaning: 'the message is larger than allowed' },
  TooManyDevices: { number: 413002, status: 413, retry: false, meaning: 'the hub holds as many devices as allowed' },
  TooManyModulesOnDevice: {
    number: 413003,
    status: 413,
    retry: false,
    meaning: 'the device holds as many modules as allowed',
  },
  UnsupportedMediaType: {
    number: 415000,
    status: 415,
    retry: false,
    meaning: 'the content type is not one that is read',
  },
  InvalidRange: { number: 416001, status: 416, retry: false, meaning: 'the range lies behind the end of the file' },
  ThrottlingException: { number: 429001, status: 429, retry: true, meaning: 'too many requests for now' },
  ThrottlingMaxActiveJobCountExceeded: {
    number: 429004,
    status: 429,
    retry: true,
    meaning: 'too many jobs have not ended yet',
  },
  /** Not 403: two service SDKs read that as too many devices, and drop the text. */
  OperationNotOffered: {
    number: 501000,
    status: 501,
    retry: false,
    meaning: 'this hub does not offer the operation yet',
  },
  ServerError: { number: 500001, status: 500, retry: true, meaning: 'the hub failed; its log says why' },
  BadDeviceResponse: {
    number: 502000,
    status: 502,
    retry: false,
    meaning: 'the device answered with something that is no answer',
  },
  GatewayTimeout: { number: 504101, status: 504, retry: true, meaning: 'the device has not answered in time' },
  ServiceUnavailable: {
    number: 503001,
    status: 503,
    retry: true,
    meaning: 'the hub cannot store or serve at the moment',
  },
  PartitionNotFound: { number: 503003, status: 503, retry: false, meaning: 'no such partition' },
} as const;

export type ErrorCode = keyof typeof errorTable;

/** The code with that number, as answers of several refusals name it. */
export function errorCodeOf(number: number): ErrorCode | undefined {
  return (Object.keys(errorTable) as ErrorCode[]).find((code) => errorTable[code].number === number);
}

/** Which bound a refusal met, for messages, metrics and the monitoring stream. */
export interface LimitHit {
  /** Name of the setting or of the entry in `base/limits.ts`. */
  readonly name: string;
  /** Whose limit it is: `device d1`, `hub`, `address 127.0.0.1`. */
  readonly scope: string;
  readonly current: number;
  readonly max: number;
  /** UTC milliseconds from which a retry may succeed, where that is known. */
  readonly freeAt?: number;
}

/**
 * An expected refusal. `message` may be shown to an authenticated peer; `reason` is for the log and the monitoring
 * stream only, because before authentication every refusal must look the same (design section 7).
 */
export class HubError extends Error {
  override readonly name = 'HubError';
  readonly code: ErrorCode;
  readonly reason: string | undefined;
  readonly limit: LimitHit | undefined;

  constructor(code: ErrorCode, message?: string, detail: { reason?: string; limit?: LimitHit; cause?: unknown } = {}) {
    super(message ?? errorTable[code].meaning, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.reason = detail.reason;
    this.limit = detail.limit;
  }

  /** The HTTP status that belongs to the code. */
  get status(): number {
    return errorTable[this.code].status;
  }
}

/** `error` itself if it is a refusal, else a `ServerError` that carries it as its cause. */
export function asHubError(error: unknown): HubError {
  return error instanceof HubError ? error : new HubError('ServerError', undefined, { cause: error });
}
