import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { CommandLimits, CommandMessage } from './types.ts';

/** The emulated service's values (service reference 4.2). */
export const defaultCommandLimits: CommandLimits = {
  queueDepthMax: limits.commandQueueDepthMax,
  lockMs: limits.commandLockMs,
  deliveryCountMax: limits.commandDeliveryCountMax,
  timeToLiveMsDefault: limits.commandTimeToLiveMsDefault,
  timeToLiveMsMax: limits.commandTimeToLiveMsMax,
  receiptBatchMax: limits.receiptBatchMax,
  receiptBatchMs: limits.receiptBatchMs,
  receiptLockMs: limits.receiptLockMs,
  receiptTimeToLiveMs: limits.receiptTimeToLiveMs,
  deadLetterMs: limits.deadLetterMs,
};

/** Service reference 4.1: message ids of commands are made of these characters. */
const messageIdPattern = /^[A-Za-z0-9\-:.+%_#*?!(),=@;$']*$/;
/**
 * Names of a command's application properties: visible ASCII. The service documents fewer (service reference 4.2) and delivers
 * more: the C SDK's own end-to-end test sends `K/y2` and `Ke?3`. Each protocol encodes what it cannot carry.
 */
const propertyNamePattern = /^[\x21-\x7e]+$/;

/**
 * Checks what a back end sends and says when it expires.
 * @throws HubError ArgumentInvalid, MessageTooLarge, InvalidMessageExpiryTime
 */
export function admitCommand(message: CommandMessage, bounds: CommandLimits, bytesMax: number, now: number): number {
  if (message.messageId !== undefined) checkMessageId(message.messageId);
  if (message.properties.length > limits.messagePropertiesMax) {
    throw new HubError('ArgumentInvalid', `A command holds at most ${limits.messagePropertiesMax} properties.`);
  }
  for (const [name] of message.properties) {
    if (!propertyNamePattern.test(name)) {
      throw new HubError(
        'ArgumentInvalid',
        `The property name ${JSON.stringify(name)} has characters that are not allowed.`,
      );
    }
  }
  const bytes = commandBytes(message);
  if (bytes > bytesMax) {
    throw new HubError('MessageTooLarge', `A command holds at most ${bytesMax} bytes; this one has ${bytes}.`, {
      limit: { name: 'commandBytesMax', scope: 'command', current: bytes, max: bytesMax },
    });
  }
  return expiry(message.expiry, bounds, now);
}

function checkMessageId(messageId: string): void {
  if (messageId.length > limits.messageIdCharsMax || !messageIdPattern.test(messageId)) {
    throw new HubError(
      'ArgumentInvalid',
      `A message id has at most ${limits.messageIdCharsMax} characters: letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '`,
    );
  }
}

function expiry(wanted: number | undefined, bounds: CommandLimits, now: number): number {
  if (wanted === undefined) return now + bounds.timeToLiveMsDefault;
  if (!Number.isSafeInteger(wanted) || wanted <= now) {
    throw new HubError('InvalidMessageExpiryTime', 'The expiry time of the command is over already.');
  }
  if (wanted > now + bounds.timeToLiveMsMax) {
    throw new HubError(
      'InvalidMessageExpiryTime',
      `The expiry time of the command is more than ${bounds.timeToLiveMsMax / 1000} seconds away.`,
      { limit: { name: 'commandTimeToLiveMax', scope: 'command', current: wanted - now, max: bounds.timeToLiveMsMax } },
    );
  }
  return wanted;
}

/** What counts against the size limit: body, system values, application names and values (device reference 5.1). */
export function commandBytes(message: CommandMessage): number {
  let bytes = message.body.byteLength;
  for (const value of [
    message.messageId,
    message.correlationId,
    message.userId,
    message.contentType,
    message.contentEncoding,
  ]) {
    if (value !== undefined) bytes += Buffer.byteLength(value);
  }
  for (const [name, value] of message.properties) bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes;
}
