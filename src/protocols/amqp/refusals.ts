import { uuid } from '../../base/random.ts';
import { asHubError, type ErrorCode, errorTable, type HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { int, string } from '../../wire/amqp/fields.ts';
import type { AmqpError } from '../../wire/amqp/performatives.ts';

/** Conditions that the service's SDKs map (service reference 3.4); what is not named here goes by the status. */
const conditions: Partial<Readonly<Record<ErrorCode, string>>> = {
  ArgumentInvalid: 'com.microsoft:argument-error',
  ArgumentNull: 'com.microsoft:argument-error',
  IotHubFormatError: 'com.microsoft:argument-error',
  InvalidOperation: 'amqp:not-allowed',
  GenericMethodNotAllowed: 'amqp:not-allowed',
  CannotRegisterModuleToModule: 'amqp:not-allowed',
  OperationNotAvailable: 'amqp:not-implemented',
  OperationNotOffered: 'amqp:not-implemented',
  PartitionNotFound: 'com.microsoft:argument-out-of-range',
  LinkCreationConflict: 'amqp:link:stolen',
  DeviceAlreadyExists: 'com.microsoft:device-already-exists',
  DeviceMaximumQueueDepthExceeded: 'amqp:resource-limit-exceeded',
  DeviceMessageLockLost: 'com.microsoft:message-lock-lost',
  PreconditionFailed: 'com.microsoft:precondition-failed',
  InvalidMessageExpiryTime: 'com.microsoft:argument-error',
  IotHubQuotaExceeded: 'amqp:resource-limit-exceeded',
  MessageTooLarge: 'amqp:link:message-size-exceeded',
  ThrottlingException: 'com.microsoft:device-container-throttled',
  ServiceUnavailable: 'com.microsoft:server-busy',
  DeviceDisabled: 'amqp:unauthorized-access',
};

const conditionsOfStatus: Readonly<Record<number, string>> = {
  400: 'com.microsoft:argument-error',
  401: 'amqp:unauthorized-access',
  403: 'amqp:resource-limit-exceeded',
  404: 'amqp:not-found',
  409: 'com.microsoft:precondition-failed',
  412: 'com.microsoft:precondition-failed',
  413: 'amqp:resource-limit-exceeded',
  429: 'com.microsoft:device-container-throttled',
  500: 'amqp:internal-error',
  503: 'com.microsoft:server-busy',
};

/** Condition that stands for a code of the hub's error table. */
export function conditionOf(code: ErrorCode): string {
  return conditions[code] ?? conditionsOfStatus[errorTable[code].status] ?? 'amqp:internal-error';
}

/** A refusal as a link, a session or a connection ends with it. A bug of ours shows nothing of itself. */
export function amqpError(error: unknown, trackingId: string): AmqpError {
  const refusal = asHubError(error);
  return {
    condition: conditionOf(refusal.code),
    description: refusal.message,
    info: [
      ['com.microsoft:tracking-id', string(trackingId)],
      ['com.microsoft:error-code', int(errorTable[refusal.code].number)],
    ],
  };
}

/** The body of a twin answer that refuses, JSON text: Node reads it (twins reference 4). */
export function refusalText({ code, message }: HubError, { random, clock }: Pick<Hub, 'random' | 'clock'>): string {
  return JSON.stringify({
    errorCode: errorTable[code].number,
    trackingId: uuid(random),
    message: code === 'ServerError' ? errorTable[code].meaning : message,
    timestampUtc: new Date(clock.now()).toISOString(),
  });
}
