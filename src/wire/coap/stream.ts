/** CoAP messages on a stream (TCP, TLS): RFC 8323 section 3.2. */
import { limits } from '../../base/limits.ts';
import { type CoapMessage, MalformedCoap } from './messages.ts';
import { decodeOptions, encodeOptions, optionsLength } from './options.ts';

const TOKEN_BYTES_MAX = 8;

/** Cuts a stream into messages. Holds at most one unfinished message, whose size was bounded before it is kept. */
export class StreamReader {
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Bytes that must be there before it is worth looking again. */
  #wanted = 0;

  /**
   * Messages that are whole now. Values are views: who keeps one longer copies it.
   * @throws MalformedCoap: the stream cannot be read any further (RFC 8323 section 5.6: Abort)
   */
  *read(chunk: Buffer): Generator<CoapMessage> {
    this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    if (this.#keptBytes < this.#wanted) return;
    let bytes = this.#kept.length === 1 ? chunk : Buffer.concat(this.#kept, this.#keptBytes);
    for (;;) {
      const frame = frameAt(bytes);
      if (frame === undefined || frame.end > bytes.length) {
        this.#kept = bytes.length === 0 ? [] : [Buffer.from(bytes)];
        this.#keptBytes = bytes.length;
        this.#wanted = frame?.end ?? 0;
        return;
      }
      const from = frame.token + frame.tokenBytes;
      const { options, payload } = decodeOptions(bytes, from, frame.end);
      const message = { code: bytes[frame.token - 1], token: bytes.subarray(frame.token, from), options, payload };
      bytes = bytes.subarray(frame.end);
      yield message;
    }
  }
}

/** Where the first message of `bytes` lies, as soon as its head is there. */
function frameAt(bytes: Buffer): { token: number; tokenBytes: number; end: number } | undefined {
  if (bytes.length === 0) return undefined;
  const short = bytes[0] >> 4;
  const tokenBytes = bytes[0] & 0x0f;
  if (tokenBytes > TOKEN_BYTES_MAX) throw new MalformedCoap('a token of more than 8 bytes (RFC 8323 3.2)');
  const extended = short < 13 ? 0 : 2 ** (short - 13);
  if (bytes.length < 2 + extended) return undefined;
  let length = short;
  if (short === 13) length = 13 + bytes[1];
  else if (short === 14) length = 269 + bytes.readUInt16BE(1);
  else if (short === 15) length = 65_805 + bytes.readUInt32BE(1);
  if (length > limits.coapStreamMessageBytesMax)
    throw new MalformedCoap('a message is larger than the hub has announced (RFC 8323 5.3.1)');
  const token = 2 + extended;
  return { token, tokenBytes, end: token + tokenBytes + length };
}

export function encodeStream(message: CoapMessage): Buffer {
  const { token, options, payload } = message;
  const length = optionsLength(options, payload);
  const short = length < 13 ? length : length < 269 ? 13 : length < 65_805 ? 14 : 15;
  const extended = short < 13 ? 0 : 2 ** (short - 13);
  const bytes = Buffer.allocUnsafe(2 + extended + token.length + length);
  bytes[0] = (short << 4) | token.length;
  if (short === 13) bytes.writeUInt8(length - 13, 1);
  else if (short === 14) bytes.writeUInt16BE(length - 269, 1);
  else if (short === 15) bytes.writeUInt32BE(length - 65_805, 1);
  bytes[1 + extended] = message.code;
  token.copy(bytes, 2 + extended);
  encodeOptions(bytes, 2 + extended + token.length, options, payload);
  return bytes;
}
