/** Messages of back ends and devices <-> commands and receipts. */
import { asciiText } from '../../base/text.ts';
import type { Command, CommandMessage, Receipt, ReceiptWish } from '../../core/commands/types.ts';
import { HubError } from '../../core/errors.ts';
import type { FileNotification } from '../../core/files/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { type BareMessage, readBareMessage } from '../../wire/amqp/bare-message.ts';
import { writeId } from '../../wire/amqp/ids.ts';
import { AmqpDecodeError, type HeapBudget } from '../../wire/amqp/values.ts';
import { AmqpWriter, section } from '../../wire/amqp/writer.ts';
import { commandAddress, readCommandAddress } from '../shared/command-address.ts';
import { FILE_NOTIFICATION_CONTENT_TYPE, fileNotificationJson } from '../shared/file-notifications.ts';
import { RECEIPTS_CONTENT_TYPE, receiptsJson } from '../shared/receipts.ts';

const ACK_PROPERTY = 'iothub-ack';
/** By their names in lower case; the longer ones are those of Java's service SDK. */
const wishes = new Map<string, ReceiptWish>([
  ['none', 'none'],
  ['positive', 'positive'],
  ['positiveonly', 'positive'],
  ['negative', 'negative'],
  ['negativeonly', 'negative'],
  ['full', 'full'],
]);

/**
 * A command as a back end sends it (service reference 4.1): `to` names the device.
 * @throws HubError IotHubFormatError, InvalidOperation (`to` is no device's address), ArgumentInvalid
 */
export function readCommand(payload: Buffer): { readonly target: IdentityKey; readonly message: CommandMessage } {
  const sent = readOrRefuse(payload);
  const target = sent.to === undefined ? undefined : readCommandAddress(sent.to);
  if (target === undefined) {
    throw new HubError('InvalidOperation', "The message's 'to' is not /devices/{id}/messages/devicebound.");
  }
  const { messageId, correlationId, idTypes, userId, contentType, contentEncoding, expiry } = sent;
  const ack = sent.properties.find(([name]) => name === ACK_PROPERTY)?.[1];
  return {
    target,
    message: {
      ...(messageId === undefined ? {} : { messageId }),
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(idTypes === undefined ? {} : { idTypes }),
      ...(userId === undefined ? {} : { userId }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(contentEncoding === undefined ? {} : { contentEncoding }),
      ...(expiry === undefined ? {} : { expiry }),
      ack: wishOf(ack ?? 'none'),
      properties: sent.properties
        .filter(([name]) => name !== ACK_PROPERTY)
        .map(([name, value]) => [name, value ?? ''] as const),
      // A copy: the bytes are part of what else has come from the socket.
      body: Buffer.from(sent.body),
    },
  };
}

/** @throws HubError IotHubFormatError */
export function readOrRefuse(payload: Buffer, budget?: HeapBudget): BareMessage {
  try {
    return readBareMessage(payload, budget);
  } catch (error) {
    if (error instanceof AmqpDecodeError) throw new HubError('IotHubFormatError', `Not a message: ${error.message}.`);
    throw error;
  }
}

function wishOf(text: string): ReceiptWish {
  const wish = wishes.get(text.toLowerCase());
  if (wish !== undefined) return wish;
  throw new HubError('ArgumentInvalid', `The property ${ACK_PROPERTY} is none of none, positive, negative, full.`);
}

const scratch = new AmqpWriter(4096);

/** A command as a device receives it (device reference 3.5). */
export function commandForDevice(command: Command, lockToken: string): Buffer {
  const { message, target } = command;
  scratch.reset();
  scratch.descriptor(section.messageAnnotations);
  const annotations = scratch.beginMap();
  scratch.symbol('x-opt-lock-token');
  scratch.string(lockToken);
  scratch.symbol('x-opt-sequence-number');
  scratch.long(command.sequence);
  scratch.symbol('iothub-enqueuedtime');
  scratch.timestamp(command.enqueuedTime);
  scratch.symbol('iothub-deliverycount');
  scratch.ubyte(Math.min(command.deliveryCount, 0xff));
  scratch.end(annotations, 8);
  writeProperties({ ...message, to: commandAddress(target) });
  const ack: readonly (readonly [string, string])[] = message.ack === 'none' ? [] : [[ACK_PROPERTY, message.ack]];
  const properties = new Map([...ack, ...message.properties]);
  if (properties.size > 0) {
    scratch.descriptor(section.applicationProperties);
    const map = scratch.beginMap();
    for (const [name, value] of properties) {
      scratch.string(name);
      scratch.string(value);
    }
    scratch.end(map, properties.size * 2);
  }
  writeBody(message.body);
  return scratch.copy();
}

/**
 * A feedback message (service reference 4.3): .NET reads content type, user id and enqueued time without asking whether
 * they are there, and Java takes nothing but a data section of plain ASCII.
 */
export function feedbackMessage(receipts: readonly Receipt[], hubName: string, now: number): Buffer {
  return toldMessage(hubName, now, RECEIPTS_CONTENT_TYPE, receiptsJson(receipts));
}

/** Tells back ends of one file that a device has uploaded (files reference 4). */
export function fileNotificationMessage(notification: FileNotification, hubName: string): Buffer {
  const json = fileNotificationJson(notification);
  return toldMessage(hubName, notification.enqueuedTime, FILE_NOTIFICATION_CONTENT_TYPE, json);
}

/** @param json in ASCII @param now UTC milliseconds */
function toldMessage(hubName: string, now: number, contentType: string, json: string): Buffer {
  scratch.reset();
  scratch.descriptor(section.messageAnnotations);
  const annotations = scratch.beginMap();
  scratch.symbol('iothub-enqueuedtime');
  scratch.timestamp(now);
  scratch.end(annotations, 2);
  writeProperties({ userId: hubName, contentType });
  writeBody(Buffer.from(json, 'latin1'));
  return scratch.copy();
}

/** Fields of part 3 section 3.2.4, all of them. */
function writeProperties(
  properties: Pick<
    CommandMessage,
    'messageId' | 'correlationId' | 'idTypes' | 'userId' | 'contentType' | 'contentEncoding' | 'expiry'
  > & { readonly to?: string },
): void {
  const { messageId, userId, to, correlationId, idTypes, contentType, contentEncoding, expiry } = properties;
  scratch.descriptor(section.properties);
  const list = scratch.beginList();
  writeId(scratch, messageId, idTypes?.messageId);
  optional(userId, (text) => scratch.binary(Buffer.from(text)));
  optional(to, (text) => scratch.string(text));
  scratch.null(); // subject
  scratch.null(); // reply-to
  writeId(scratch, correlationId, idTypes?.correlationId);
  optional(contentType, (text) => scratch.symbol(asciiText(text)));
  optional(contentEncoding, (text) => scratch.symbol(asciiText(text)));
  optional(expiry, (time) => scratch.timestamp(time));
  for (let field = 9; field < PROPERTIES_FIELDS; field++) scratch.null();
  scratch.end(list, PROPERTIES_FIELDS);
}

const PROPERTIES_FIELDS = 13;

function optional<Value>(value: Value | undefined, write: (value: Value) => void): void {
  if (value === undefined) scratch.null();
  else write(value);
}

function writeBody(body: Uint8Array): void {
  scratch.descriptor(section.data);
  scratch.binary(body);
}
