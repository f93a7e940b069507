import type { Readable } from 'node:stream';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';

const FIRST_BYTES = 4 * 1024;

/**
 * Reads a body into one piece of memory that grows with it. The library's own reader keeps each chunk as it came until the
 * end: a peer that sends one byte at a time would have some hundred bytes kept for each.
 * @param announced bytes by the request's header; undefined = sent in chunks
 * @param take is asked before memory is taken, and throws to refuse
 * @param bytesMax bytes of the body
 * @throws HubError MessageTooLarge, IotHubFormatError when it breaks off
 */
export async function readBody(
  payload: Readable,
  announced: number | undefined,
  take: (bytes: number) => void,
  bytesMax: number = limits.requestBytesMax,
): Promise<Buffer> {
  if (announced === 0) return Buffer.alloc(0);
  if ((announced ?? 0) > bytesMax) throw tooLarge(bytesMax);
  // It ends by itself only when it has been read: nothing more is told of it.
  if (payload.destroyed) throw brokenOff();
  let body = Buffer.alloc(0);
  let length = 0;
  const grow = (least: number): void => {
    // What is announced needs no more than that; and it is not taken before it comes.
    const doubled = Math.max(least, 2 * body.length, FIRST_BYTES);
    const size = Math.min(doubled, Math.max(least, announced ?? bytesMax));
    take(size - body.length);
    const larger = Buffer.allocUnsafeSlow(size);
    body.copy(larger, 0, 0, length);
    body = larger;
  };
  return new Promise((resolve, reject) => {
    const failed = (error: unknown): void => {
      payload.off('data', more);
      reject(error);
    };
    const more = (chunk: Buffer): void => {
      try {
        if (length + chunk.length > bytesMax) throw tooLarge(bytesMax);
        if (length + chunk.length > body.length) grow(length + chunk.length);
        length += chunk.copy(body, length);
      } catch (error) {
        failed(error);
      }
    };
    payload.on('data', more);
    const closed = (): void => failed(brokenOff());
    payload.once('end', () => {
      // It is closed afterwards, too; an error made for that alone would cost more than the reading.
      payload.off('close', closed);
      resolve(body.subarray(0, length));
    });
    payload.once('error', (cause) => failed(new HubError('IotHubFormatError', undefined, { cause })));
    payload.once('close', closed);
  });
}

function tooLarge(bytesMax: number): HubError {
  return new HubError('MessageTooLarge', `The body is larger than ${bytesMax} bytes.`);
}

function brokenOff(): HubError {
  return new HubError('IotHubFormatError', 'The body broke off.');
}
