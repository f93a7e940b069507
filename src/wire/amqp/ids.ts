/** Ids of messages, which are one of four types on AMQP and text everywhere else. */
import { isUtf8 } from 'node:buffer';
import type { IdType } from '../../base/id-type.ts';
import { uuidText } from './uuid.ts';
import type { AmqpValue } from './values.ts';
import { type AmqpWriter, format } from './writer.ts';

export interface TypedId {
  readonly text: string;
  /** Undefined = it came as text. */
  readonly type: IdType | undefined;
}

const ulongs: ReadonlySet<number> = new Set([format.ulong0, format.smallUlong, format.ulong]);

/** @param code its constructor. Undefined = the value is no id. */
export function typedId(value: AmqpValue, code: number): TypedId | undefined {
  if (typeof value === 'string') return { text: value, type: undefined };
  if (Buffer.isBuffer(value)) {
    if (code === format.uuid) return { text: uuidText(value), type: 'uuid' };
    if (isUtf8(value)) return { text: value.toString('utf8'), type: 'binary' };
    return { text: value.toString('hex'), type: 'hex' };
  }
  if (ulongs.has(code)) return { text: String(value), type: 'ulong' };
  return undefined;
}

/** Writes an id as it came; nothing is a null. */
export function writeId(writer: AmqpWriter, text: string | undefined, type: IdType | undefined): void {
  if (text === undefined) writer.null();
  else if (type === undefined) writer.string(text);
  else if (type === 'uuid') writer.uuid(Buffer.from(text.replaceAll('-', ''), 'hex'));
  else if (type === 'ulong') writer.ulong(BigInt(text));
  else writer.binary(Buffer.from(text, type === 'hex' ? 'hex' : 'utf8'));
}
