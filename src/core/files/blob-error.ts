/**
 * Refusals of the blob endpoint: codes and statuses of the storage service, which storage libraries read from the header
 * `x-ms-error-code` (files reference 2.6). A closed table of its own, because these libraries know none of the hub's codes.
 */
export const blobErrorTable = {
  AuthenticationFailed: { status: 403, meaning: 'The signed URL is not valid, not for this file, or has ended.' },
  AuthorizationPermissionMismatch: { status: 403, meaning: 'The signed URL does not allow this operation.' },
  BlobAlreadyExists: { status: 409, meaning: 'The file exists already.' },
  BlobNotFound: { status: 404, meaning: 'There is no such file.' },
  ConditionNotMet: { status: 412, meaning: 'The condition in the headers does not hold.' },
  Crc64Mismatch: { status: 400, meaning: 'The content does not have the CRC64 sum that was stated.' },
  InvalidBlobOrBlock: { status: 400, meaning: 'The block ids of one file must have the same length.' },
  InvalidBlockList: { status: 400, meaning: 'The list names a block that was not uploaded.' },
  InvalidHeaderValue: { status: 400, meaning: 'A header has a value that is not allowed.' },
  InvalidInput: { status: 400, meaning: 'The request ended before its content did.' },
  InvalidQueryParameterValue: { status: 400, meaning: 'A query parameter has a value that is not allowed.' },
  InvalidRange: { status: 416, meaning: 'The range lies behind the end of the file.' },
  InvalidUri: { status: 400, meaning: 'The address is not that of a file.' },
  InvalidXmlDocument: { status: 400, meaning: 'The block list is not XML that is understood.' },
  Md5Mismatch: { status: 400, meaning: 'The content does not have the MD5 sum that was stated.' },
  MissingContentLengthHeader: { status: 411, meaning: 'The length of the content is not stated.' },
  MissingRequiredHeader: { status: 400, meaning: 'A header that is needed is missing.' },
  RequestBodyTooLarge: { status: 413, meaning: 'The file is larger than allowed.' },
  BlockCountExceedsLimit: { status: 409, meaning: 'The file has more blocks than allowed.' },
  QuotaExceeded: { status: 403, meaning: 'The device, or the hub, has no more room for files.' },
  ServerBusy: { status: 503, meaning: 'The hub cannot take this at the moment; try again.' },
  InternalError: { status: 500, meaning: 'The hub failed; its log says why.' },
  UnsupportedHttpVerb: { status: 405, meaning: 'A file does not take this method.' },
} as const;

export type BlobErrorCode = keyof typeof blobErrorTable;

export class BlobError extends Error {
  override readonly name = 'BlobError';
  readonly code: BlobErrorCode;

  /** @param message may be shown to the peer. */
  constructor(code: BlobErrorCode, message: string = blobErrorTable[code].meaning, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  get status(): number {
    return blobErrorTable[this.code].status;
  }
}
