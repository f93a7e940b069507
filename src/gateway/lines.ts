import type { Readable } from 'node:stream';
import { Refused } from './refused.ts';

const NEWLINE = 0x0a;

/**
 * The lines of a stream of bytes, without their ends (`\n` or `\r\n`). Nothing is read while the loop over them waits, and so the
 * peer is slowed. What stands behind the last line end is left out: it is no whole line.
 * @throws Refused tooLarge when a line has more bytes than allowed
 */
export async function* readLines(stream: Readable, bytesMax: number): AsyncGenerator<string, void> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  // The stream outlives the loop: there may be an answer to write.
  for await (const buffer of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = buffer.indexOf(NEWLINE); end !== -1; end = buffer.indexOf(NEWLINE, start)) {
      if (bytes + end - start > bytesMax) throw tooLong(bytesMax);
      const line = bytes === 0 ? buffer.toString('utf8', start, end) : joined(pieces, buffer.subarray(start, end));
      pieces = [];
      bytes = 0;
      start = end + 1;
      yield line.endsWith('\r') ? line.slice(0, -1) : line;
    }
    if (start === buffer.length) continue;
    bytes += buffer.length - start;
    if (bytes > bytesMax) throw tooLong(bytesMax);
    pieces.push(buffer.subarray(start));
  }
}

const joined = (pieces: readonly Buffer[], last: Buffer): string => Buffer.concat([...pieces, last]).toString('utf8');

const tooLong = (bytesMax: number): Refused =>
  new Refused('tooLarge', `A line has more than the ${bytesMax} bytes that are allowed.`);
