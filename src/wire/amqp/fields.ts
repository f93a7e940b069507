/** What frames and messages are put together from: functions that write one field each (AMQP part 1 section 1.6). */
import type { AmqpWriter } from './writer.ts';

/** Writes one field. */
export type Field = (writer: AmqpWriter) => void;

export const nil: Field = (writer) => writer.null();

/** A field that may be absent, which is written as null. */
export const optional =
  <Value>(write: (writer: AmqpWriter, value: Value) => void) =>
  (value: Value | undefined): Field =>
    value === undefined ? nil : (writer) => write(writer, value);

export const uint = optional<number>((writer, value) => writer.uint(value));
export const ulong = optional<number>((writer, value) => writer.ulong(value));
export const ubyte = optional<number>((writer, value) => writer.ubyte(value));
export const int = optional<number>((writer, value) => writer.int(value));
export const long = optional<number>((writer, value) => writer.long(value));
export const timestamp = optional<number>((writer, value) => writer.timestamp(value));
export const boolean = optional<boolean>((writer, value) => writer.boolean(value));
export const string = optional<string>((writer, value) => writer.string(value));
export const symbol = optional<string>((writer, value) => writer.symbol(value));
export const symbols = optional<readonly string[]>((writer, value) => writer.symbols(value));
export const strings = optional<readonly string[]>((writer, value) => writer.strings(value));
export const binary = optional<Uint8Array>((writer, value) => writer.binary(value));
/** A value whose bytes are known, as an echo of what the peer sent. */
export const raw = optional<Uint8Array>((writer, value) => writer.raw(value));

/** A map with the given kind of keys. */
export const map =
  (key: (name: string) => Field, entries: readonly (readonly [name: string, value: Field])[]): Field =>
  (writer) => {
    const begun = writer.beginMap();
    for (const [name, value] of entries) {
      key(name)(writer);
      value(writer);
    }
    writer.end(begun, entries.length * 2);
  };

/** A composite type: described list of `fields`. */
export const described =
  (code: number, fields: readonly Field[]): Field =>
  (writer) => {
    writer.descriptor(code);
    const begun = writer.beginList();
    for (const field of fields) field(writer);
    writer.end(begun, fields.length);
  };

export function ushort(value: number): Field {
  return (writer) => writer.raw(Uint8Array.of(0x60, value >> 8, value & 0xff));
}
