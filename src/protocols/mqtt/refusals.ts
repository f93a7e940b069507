/** Refusals of the hub -> the forms that MQTT 3.1.1 and the device protocol have for them. */
import { type ErrorCode, errorTable, type HubError } from '../../core/errors.ts';
import { type ConnackCode, connackCodes } from '../../wire/mqtt/encode.ts';

/**
 * The return code for a connection that is refused (device reference 2.1): 3 where trying again may help, else 5 for
 * everything, so that a peer cannot tell an unknown device from a wrong key.
 */
export function connackCode(error: HubError): ConnackCode {
  return errorTable[error.code].retry ? connackCodes.serverUnavailable : connackCodes.notAuthorized;
}

/** Status in the topic of a twin answer for an operation that this hub does not have: one of the documented 5xx. */
export const TWIN_STATUS_NOT_OFFERED = 501;

/**
 * The body of a twin error (device reference 2.5): Node needs `errorCode` and `message`.
 * @param time UTC milliseconds.
 */
export function twinErrorBody(code: ErrorCode, trackingId: string, time: number): Buffer {
  return Buffer.from(
    JSON.stringify({
      errorCode: errorTable[code].number,
      trackingId,
      message: errorTable[code].meaning,
      timestampUtc: new Date(time).toISOString(),
    }),
  );
}
