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

/** Lines that are looked at before the reader may let others have their turn; blank ones cost next to nothing. */
const LINES_AT_ONCE = 500;

/**
 * Some lines together, so that what waits for the next piece is not many small promises; none where so many blank ones came. Their bytes
 * are good until the next ones are asked for.
 * @param start where in the file the first piece begins
 */
export async function* linesOf(
  pieces: AsyncIterable<Uint8Array>,
  start: LineStart,
  lineBytesMax: number,
): AsyncGenerator<readonly Line[]> {
  let { offset, line: number } = start;
  /** Of the line that has begun in an earlier piece. */
  let begun: Uint8Array[] = [];
  let begunBytes = 0;
  for await (const piece of pieces) {
    const pieceOffset = offset + begunBytes;
    let found: Line[] = [];
    let looked = 0;
    let at = 0;
    while (at < piece.length) {
      if (begunBytes === 0) {
        let blanks = at;
        while (blanks < piece.length && isBlank(piece[blanks])) blanks++;
        if (piece[blanks] === LF && blanks - at <= lineBytesMax) {
          number++;
          at = blanks + 1;
          offset = pieceOffset + at;
          continue;
        }
      }
      const end = piece[at] === LF ? at : piece.indexOf(LF, at);
      if (end === -1) break;
      const bytes = begunBytes + end - at;
      const whole = bytes > lineBytesMax ? undefined : trimmed(joined(begun, piece.subarray(at, end)), number === 1);
      at = end + 1;
      if (whole === undefined || whole.length > 0) {
        found.push({ number, offset, end: pieceOffset + at, bytes: whole });
      }
      number++;
      offset = pieceOffset + at;
      [begun, begunBytes] = [[], 0];
      if (++looked % LINES_AT_ONCE === 0) {
        yield found;
        found = [];
      }
    }
    const rest = piece.subarray(at);
    begunBytes += rest.length;
    // What is too long is not kept, however long it is.
    if (begunBytes > lineBytesMax) begun = [];
    else if (rest.length > 0) begun.push(Buffer.from(rest));
    yield found;
  }
  const last = begunBytes > lineBytesMax ? undefined : trimmed(joined(begun, NOTHING), number === 1);
  if (last?.length !== 0) yield [{ number, offset, end: offset + begunBytes, bytes: last }];
}

const NOTHING = new Uint8Array();

function joined(begun: readonly Uint8Array[], rest: Uint8Array): Uint8Array {
  return begun.length === 0 ? rest : Buffer.concat([...begun, rest]);
}

/** Without blanks around it, and without the mark of UTF-8 that some editors put before a file. */
function trimmed(line: Uint8Array, isFirst: boolean): Uint8Array {
  if (line.length === 0) return line;
  let [from, to] = [isFirst && line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf ? 3 : 0, line.length];
  while (from < to && isBlank(line[from])) from++;
  while (to > from && isBlank(line[to - 1])) to--;
  return line.subarray(from, to);
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d;
