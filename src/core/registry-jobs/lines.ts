/** Bytes that come in pieces -> lines. A line that is longer than may be is read over, and told as such; blank ones are left out. */

/** One line of a file, without its end. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Of its first byte, and of the byte behind its end. */
  readonly offset: number;
  readonly end: number;
  /** Undefined = it is longer than may be. */
  readonly bytes: Uint8Array | undefined;
}

const LF = 0x0a;

export interface LineStart {
  readonly offset: number;
  readonly line: number;
}

/**
 * The lines of each piece together, so that what waits for the next piece is not many small promises. The list is empty where a piece
 * has ended no line that says something.
 * @param start where in the file the first piece begins
 */
export async function* linesOf(
  pieces: AsyncIterable<Uint8Array>,
  start: LineStart,
  lineBytesMax: number,
): AsyncGenerator<readonly Line[]> {
  let { offset: pieceOffset, line: number } = start;
  let offset = pieceOffset;
  /** Of the line that has begun. */
  let begun: Uint8Array[] = [];
  let bytes = 0;
  const add = (part: Uint8Array): void => {
    bytes += part.length;
    // What is too long is not kept, however long it is.
    if (bytes > lineBytesMax) begun = [];
    else if (part.length > 0) begun.push(Buffer.from(part));
  };
  const take = (end: number): Line | undefined => {
    const isTooLong = bytes > lineBytesMax;
    const whole = begun.length === 1 ? begun[0] : Buffer.concat(begun);
    const line = { number, offset, end, bytes: isTooLong ? undefined : trimmed(whole, number) };
    [begun, bytes, offset] = [[], 0, end];
    number++;
    return line.bytes?.length === 0 ? undefined : line;
  };
  for await (const piece of pieces) {
    const found: Line[] = [];
    let at = 0;
    while (at < piece.length) {
      const end = piece.indexOf(LF, at);
      if (end === at && bytes === 0) {
        // Empty lines in heaps.
        number++;
        at++;
        offset = pieceOffset + at;
        continue;
      }
      add(piece.subarray(at, end === -1 ? piece.length : end));
      if (end === -1) break;
      at = end + 1;
      const line = take(pieceOffset + at);
      if (line !== undefined) found.push(line);
    }
    pieceOffset += piece.length;
    yield found;
  }
  const last = bytes === 0 ? undefined : take(pieceOffset);
  if (last !== undefined) yield [last];
}

/** Without blanks around it, and without the mark of UTF-8 that some editors put before a file. */
function trimmed(line: Uint8Array, number: number): Uint8Array {
  let [from, to] = [number === 1 && line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf ? 3 : 0, line.length];
  while (from < to && isBlank(line[from])) from++;
  while (to > from && isBlank(line[to - 1])) to--;
  return line.subarray(from, to);
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d;
