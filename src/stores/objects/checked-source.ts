/** What comes in, counted and summed while it passes: no store trusts what a client states. */
import { createHash } from 'node:crypto';
import { type ByteSource, type ContentOptions, ObjectError } from '../../core/files/object-store.ts';
import { Crc64 } from './crc64.ts';

export interface Checked {
  readonly source: ByteSource;
  /** Bytes that have passed. */
  bytes(): number;
}

/** @returns a source that fails with ObjectError where the content is not as `options` want it: at its end at the latest. */
export function checkedSource(source: ByteSource, { bytes, bytesMax, sums }: ContentOptions): Checked {
  const md5 = sums?.md5 === undefined ? undefined : createHash('md5');
  const crc64 = sums?.crc64 === undefined ? undefined : new Crc64();
  let count = 0;
  async function* passing(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of source) {
        count += chunk.length;
        if (count > bytesMax) throw new ObjectError('tooLarge');
        if (bytes !== undefined && count > bytes) throw new ObjectError('incomplete', 'more came than was stated');
        md5?.update(chunk);
        crc64?.update(chunk);
        yield chunk;
      }
    } catch (error) {
      throw error instanceof ObjectError ? error : new ObjectError('incomplete', 'the sender broke off', error);
    }
    if (bytes !== undefined && count !== bytes) throw new ObjectError('incomplete', 'less came than was stated');
    if (md5 !== undefined && md5.digest('base64') !== sums?.md5) throw new ObjectError('md5');
    if (crc64 !== undefined && crc64.digest('base64') !== sums?.crc64) throw new ObjectError('crc64');
  }
  return { source: passing(), bytes: () => count };
}
