/** Refusals of the hub -> the forms that MQTT 3.1.1 and the device protocol have for them. */
import type { LogFields } from '../../base/log.ts';
import { uuid } from '../../base/random.ts';
import { asHubError, errorTable, type HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { clipped } from '../../core/monitoring/concerned.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import { type ConnackCode, connackCodes, publishAtMostOnce } from '../../wire/mqtt/encode.ts';
import { MalformedPacket } from '../../wire/mqtt/packets.ts';
import { twinResponseTopic } from './addresses.ts';

/**
 * The return code for a connection that is refused (device reference 2.1): 3 where trying again may help, else 5 for
 * everything, so that a peer cannot tell an unknown device from a wrong key.
 */
export function connackCode(error: HubError): ConnackCode {
  return errorTable[error.code].retry ? connackCodes.serverUnavailable : connackCodes.notAuthorized;
}

/** The answer to a twin request that is refused (device reference 2.5): Node needs `errorCode` and `message`. */
export function twinRefusal(
  { code, status, message }: HubError,
  requestId: string,
  { random, clock }: Pick<Hub, 'random' | 'clock'>,
): Buffer {
  const body = JSON.stringify({
    errorCode: errorTable[code].number,
    trackingId: uuid(random),
    message: code === 'ServerError' ? errorTable[code].meaning : message,
    timestampUtc: new Date(clock.now()).toISOString(),
  });
  return publishAtMostOnce(twinResponseTopic(status, requestId), Buffer.from(body));
}

/**
 * What a packet that could not be handled does to its connection: 3.1.1 has no error packet, so it is closed.
 * @param topic of the packet, where the error does not say what it is about
 */
export function closingOf(
  error: unknown,
  topic?: string,
): {
  readonly reason: DisconnectReason;
  readonly fields: LogFields;
} {
  const about = (error instanceof MalformedPacket ? error.subject : undefined) ?? topic;
  // As JSON text: a topic may hold anything, and is read in a log by a person who looks for a typing error.
  const subject = about === undefined ? {} : { subject: JSON.stringify(clipped(about)) };
  if (error instanceof MalformedPacket)
    return { reason: 'protocol-error', fields: { rule: error.message, ...subject } };
  const { code, limit } = asHubError(error);
  if (code === 'IotHubUnauthorized') return { reason: 'token-expired', fields: { code, ...subject } };
  const isOurs = code === 'ServerError' || code === 'ServiceUnavailable';
  return { reason: isOurs ? 'storage-failed' : 'protocol-error', fields: { code, limit, ...subject } };
}

/** The same in one line, for the monitoring stream: the rule that was broken, and the topic or filter that broke it. */
export function detailOf({ rule, subject, code, limit }: LogFields): string | undefined {
  const broken = rule ?? code;
  if (broken === undefined) return undefined;
  const name = (limit as HubError['limit'])?.name;
  return clipped([broken, name, subject].filter((part) => part !== undefined).join(': '));
}
