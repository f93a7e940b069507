/** Messages of a batch that the hub has refused: the others are on its disk. A part of the batch's outcome. */
import { ByteReader, ByteWriter } from './bytes.ts';

/** The condition of such an outcome; its info holds `refused`, the bytes of `writeRefused`. */
export const PARTLY_REFUSED = 'mooring:partly-refused';

const kinds = ['unknown', 'disabled', 'tooLarge', 'invalid'] as const;

/** `unknown`, `disabled`: the device. The others: the message. */
export type RefusedKind = (typeof kinds)[number];

export interface RefusedMessage {
  /** Its place in the batch, from 0. */
  readonly at: number;
  readonly kind: RefusedKind;
}

/** @param refused in the order of the batch */
export function writeRefused(refused: readonly RefusedMessage[]): Buffer {
  const writer = new ByteWriter(64);
  let last = 0;
  for (const { at, kind } of refused) {
    writer.varint(at - last);
    writer.byte(kinds.indexOf(kind));
    last = at;
  }
  return writer.copy();
}

/** @throws GatewayDecodeError */
export function readRefused(bytes: Buffer): readonly RefusedMessage[] {
  const reader = new ByteReader(bytes);
  const refused: RefusedMessage[] = [];
  for (let at = 0; !reader.isDone; ) {
    at += reader.varint();
    // A kind of a later hub is a fault of the message.
    refused.push({ at, kind: kinds[reader.byte()] ?? 'invalid' });
  }
  return refused;
}
