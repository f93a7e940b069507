import { putUint32BE } from '../../base/bytes.ts';
import { FRAME_HEAD_BYTES } from './frames.ts';
import { performative } from './performatives.ts';
import { format } from './writer.ts';

/**
 * Transfer frames of messages that are encoded already, written straight into the buffer that goes to the socket. All
 * fields have a fixed width, so that the head of every transfer has the same size.
 */
const FIELDS = 11;
const LIST_BYTES = 5 + 5 + 6 + 1 + 1 + 1 + 5;
export const TRANSFER_HEAD_BYTES = FRAME_HEAD_BYTES + 3 + 3 + LIST_BYTES;

const CHANNEL_AT = 6;
const HANDLE_AT = FRAME_HEAD_BYTES + 7;
const ID_AT = HANDLE_AT + 5;
const TAG_AT = ID_AT + 6;
const MORE_AT = TAG_AT + 4 + 2;

const pattern = Buffer.from([
  ...[0, 0, 0, 0, 2, 0, 0, 0],
  ...[format.described, format.smallUlong, performative.transfer, format.list8, LIST_BYTES + 1, FIELDS],
  ...[format.uint, 0, 0, 0, 0], // handle
  ...[format.uint, 0, 0, 0, 0], // delivery-id
  ...[format.binary8, 4, 0, 0, 0, 0], // delivery-tag
  format.uint0, // message-format
  format.true, // settled
  format.false, // more
  format.null, // rcv-settle-mode
  format.null, // state
  format.false, // resume
  format.false, // aborted
  format.false, // batchable
]);

/**
 * Writes the head of a settled transfer frame that carries `payloadSize` bytes and returns the place where they go. The
 * delivery's tag is its id.
 */
export function writeTransferHead(
  target: Buffer,
  at: number,
  channel: number,
  handle: number,
  deliveryId: number,
  more: boolean,
  payloadSize: number,
): number {
  for (let byte = 0; byte < TRANSFER_HEAD_BYTES; byte++) target[at + byte] = pattern[byte];
  putUint32BE(target, at, TRANSFER_HEAD_BYTES + payloadSize);
  target[at + CHANNEL_AT] = channel >> 8;
  target[at + CHANNEL_AT + 1] = channel;
  putUint32BE(target, at + HANDLE_AT, handle);
  putUint32BE(target, at + ID_AT, deliveryId);
  putUint32BE(target, at + TAG_AT, deliveryId);
  if (more) target[at + MORE_AT] = format.true;
  return at + TRANSFER_HEAD_BYTES;
}

/** The place behind `count` frames that lie next to each other from `at` on. */
export function behindFrames(bytes: Buffer, at: number, count: number): number {
  let place = at;
  for (let left = count; left > 0; left--) place += frameSize(bytes, place);
  return place;
}

/**
 * Makes `count` deliveries, which `writeTransferHead` laid out at the beginning of `target`, a frame each, those of another
 * link, with ids from `deliveryId` on.
 */
export function readdressTransfers(
  target: Buffer,
  count: number,
  channel: number,
  handle: number,
  deliveryId: number,
): void {
  let place = 0;
  for (let nth = 0; nth < count; nth++) {
    target[place + CHANNEL_AT] = channel >> 8;
    target[place + CHANNEL_AT + 1] = channel;
    putUint32BE(target, place + HANDLE_AT, handle);
    putUint32BE(target, place + ID_AT, deliveryId + nth);
    putUint32BE(target, place + TAG_AT, deliveryId + nth);
    place += frameSize(target, place);
  }
}

function frameSize(bytes: Buffer, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
