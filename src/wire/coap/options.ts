/** Options and payload: the part that datagrams, streams and the inside of OSCORE have in common (RFC 7252 section 3.1). */
import { limits } from '../../base/limits.ts';
import { type CoapOption, empty, MalformedCoap } from './messages.ts';

const PAYLOAD_MARKER = 0xff;
const OPTION_NUMBER_MAX = 0xffff;

/** @throws MalformedCoap where options run over the end, are too many or too long, or a marker has no payload behind it */
export function decodeOptions(bytes: Buffer, from: number, end: number): { options: CoapOption[]; payload: Buffer } {
  const options: CoapOption[] = [];
  let number = 0;
  let at = from;
  const extended = (nibble: number): number => {
    if (nibble < 13) return nibble;
    if (nibble === 15) throw new MalformedCoap('a reserved option nibble (RFC 7252 3.1)');
    const width = nibble - 12;
    if (at + width > end) throw new MalformedCoap('an option ends within its head (RFC 7252 3.1)');
    at += width;
    return width === 1 ? 13 + bytes[at - 1] : 269 + bytes.readUInt16BE(at - 2);
  };
  while (at < end) {
    const head = bytes[at++];
    if (head === PAYLOAD_MARKER) {
      if (at === end) throw new MalformedCoap('a payload marker without a payload (RFC 7252 3)');
      return { options, payload: bytes.subarray(at, end) };
    }
    number += extended(head >> 4);
    const length = extended(head & 0x0f);
    if (number > OPTION_NUMBER_MAX) throw new MalformedCoap('an option number is over 65535 (RFC 7252 3.1)');
    if (length > limits.coapOptionBytesMax) throw new MalformedCoap('an option is longer than the hub reads');
    if (at + length > end) throw new MalformedCoap('an option runs over the end of the message (RFC 7252 3.1)');
    if (options.length === limits.coapOptionsMax) throw new MalformedCoap('more options than the hub reads');
    options.push({ number, value: bytes.subarray(at, at + length) });
    at += length;
  }
  return { options, payload: empty };
}

/** Options that were read before, with the bytes that they were read from. */
export interface KnownOptions {
  readonly bytes: Buffer;
  readonly options: readonly CoapOption[];
}

/** Where the payload of a message begins that has just these options from `from` on; undefined = it has others, or is broken. */
export function knownPayload(bytes: Buffer, from: number, { bytes: known }: KnownOptions): number | undefined {
  const end = from + known.length;
  if (end > bytes.length || known.compare(bytes, from, end) !== 0) return undefined;
  if (end === bytes.length) return end;
  // A marker needs a payload behind it.
  return bytes[end] === PAYLOAD_MARKER && end + 1 < bytes.length ? end + 1 : undefined;
}

/** How many bytes `encodeOptions` writes. Options need no order here. */
export function optionsLength(options: readonly CoapOption[], payload: Buffer): number {
  let bytes = payload.length === 0 ? 0 : 1 + payload.length;
  let number = 0;
  for (const option of inOrder(options)) {
    bytes += 1 + extension(option.number - number) + extension(option.value.length) + option.value.length;
    number = option.number;
  }
  return bytes;
}

/** Writes options in order of their numbers, and the payload. @returns the place behind them */
export function encodeOptions(bytes: Buffer, from: number, options: readonly CoapOption[], payload: Buffer): number {
  let at = from;
  let number = 0;
  for (const option of inOrder(options)) {
    const delta = option.number - number;
    const length = option.value.length;
    bytes[at++] = (nibble(delta) << 4) | nibble(length);
    at = writeExtension(bytes, at, delta);
    at = writeExtension(bytes, at, length);
    at += option.value.copy(bytes, at);
    number = option.number;
  }
  if (payload.length > 0) {
    bytes[at++] = PAYLOAD_MARKER;
    at += payload.copy(bytes, at);
  }
  return at;
}

/** The order of options with one number is kept. */
function inOrder(options: readonly CoapOption[]): readonly CoapOption[] {
  for (let at = 1; at < options.length; at++)
    if (options[at - 1].number > options[at].number) return [...options].sort((a, b) => a.number - b.number);
  return options;
}

const nibble = (value: number): number => (value < 13 ? value : value < 269 ? 13 : 14);
const extension = (value: number): number => (value < 13 ? 0 : value < 269 ? 1 : 2);

function writeExtension(bytes: Buffer, at: number, value: number): number {
  if (value < 13) return at;
  if (value < 269) return bytes.writeUInt8(value - 13, at);
  return bytes.writeUInt16BE(value - 269, at);
}
