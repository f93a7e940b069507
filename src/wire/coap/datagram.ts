/** A CoAP message in a datagram: RFC 7252 section 3. */
import { limits } from '../../base/limits.ts';
import { type CoapDatagram, codes, empty, MalformedCoap, types } from './messages.ts';
import { decodeOptions, encodeOptions, type KnownOptions, knownPayload, optionsLength } from './options.ts';

const HEADER_BYTES = 4;
const VERSION = 1;
const TOKEN_BYTES_MAX = 8;

/**
 * Values are views into `bytes`: who keeps one longer than the datagram copies it.
 * @param known Options of the message before from the same sender: where the same bytes come, `options` is that very list
 * @returns undefined for what is to be ignored without an answer: another version, or too short to hold a message id
 * @throws MalformedCoap for a message with a format error, with its id where it is confirmable
 */
export function decodeDatagram(bytes: Buffer, known?: KnownOptions): CoapDatagram | undefined {
  if (bytes.length < HEADER_BYTES || bytes[0] >> 6 !== VERSION || bytes.length > limits.coapDatagramBytesMax)
    return undefined;
  const type = (bytes[0] >> 4) & 3;
  const tokenBytes = bytes[0] & 0x0f;
  const code = bytes[1];
  const messageId = bytes.readUInt16BE(2);
  const broken = (rule: string): MalformedCoap =>
    new MalformedCoap(rule, type === types.confirmable ? messageId : undefined);
  if (tokenBytes > TOKEN_BYTES_MAX) throw broken('a token of more than 8 bytes (RFC 7252 3)');
  if (code === codes.empty) {
    if (bytes.length !== HEADER_BYTES) throw broken('an empty message with something in it (RFC 7252 4.1)');
    return { type, code, messageId, token: empty, options: [], payload: empty };
  }
  const from = HEADER_BYTES + tokenBytes;
  if (from > bytes.length) throw broken('the message ends within its token (RFC 7252 3)');
  const token = bytes.subarray(HEADER_BYTES, from);
  const knownFrom = known === undefined ? undefined : knownPayload(bytes, from, known);
  if (known !== undefined && knownFrom !== undefined) {
    const payload = knownFrom === bytes.length ? empty : bytes.subarray(knownFrom);
    return { type, code, messageId, token, options: known.options, payload };
  }
  try {
    const { options, payload } = decodeOptions(bytes, from, bytes.length);
    return { type, code, messageId, token, options, payload };
  } catch (error) {
    throw error instanceof MalformedCoap ? broken(error.message) : error;
  }
}

/** The options of a message that `decodeDatagram` has read from `bytes`, to be known again: views into them, as the message has. */
export function knownOptionsOf(bytes: Buffer, { token, options, payload }: CoapDatagram): KnownOptions {
  const end = payload.length === 0 ? bytes.length : bytes.length - payload.length - 1;
  return { bytes: bytes.subarray(HEADER_BYTES + token.length, end), options };
}

export function encodeDatagram(message: CoapDatagram): Buffer {
  const { token, options, payload } = message;
  const from = HEADER_BYTES + token.length;
  const bytes = Buffer.allocUnsafe(from + optionsLength(options, payload));
  bytes[0] = (VERSION << 6) | (message.type << 4) | token.length;
  bytes[1] = message.code;
  bytes.writeUInt16BE(message.messageId, 2);
  token.copy(bytes, HEADER_BYTES);
  encodeOptions(bytes, from, options, payload);
  return bytes;
}

/** An empty acknowledgement or reset (RFC 7252 section 4.1). */
export function encodeEmpty(type: number, messageId: number): Buffer {
  return Buffer.of((VERSION << 6) | (type << 4), codes.empty, messageId >> 8, messageId & 0xff);
}
