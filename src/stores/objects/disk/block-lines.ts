/** Lines of an index of blocks: `{"path":…}` first, then `{"id":…,"offset":…,"bytes":…}` for each block. */
import type { Region } from './placement.ts';

/** A block of which an index tells. */
export interface BlockLine extends Region {
  readonly id: string;
  /**
   * Where several processes stage: larger than that of any line that its writer has seen. Of two blocks of one id the one
   * with the larger number is the newer one.
   */
  readonly order?: number;
}

/** What an index says; undefined = a crash has torn its first line, or it is none. */
export function parsedIndex(
  text: string,
): { readonly path: string; readonly blocks: readonly BlockLine[] } | undefined {
  const [first, ...lines] = text.split('\n').map(parsedLine);
  if (typeof first?.path !== 'string') return undefined;
  return { path: first.path, blocks: lines.flatMap((line) => blockLine(line) ?? []) };
}

/** The path that the first line of an index names; undefined = a crash has torn it, or it is none. */
export function pathOfLine(line: string): string | undefined {
  const found = parsedLine(line)?.path;
  return typeof found === 'string' ? found : undefined;
}

/** The blocks of lines behind the first. */
export function blocksOfLines(lines: readonly string[]): readonly BlockLine[] {
  return lines.flatMap((line) => blockLine(parsedLine(line)) ?? []);
}

/** The last block of a part of an index. */
export function lastBlock(text: string): BlockLine | undefined {
  for (const line of text.split('\n').reverse()) {
    const block = blockLine(parsedLine(line));
    if (block !== undefined) return block;
  }
  return undefined;
}

export function pathLine(objectPath: string): string {
  return lineOf({ path: objectPath });
}

export function lineOfBlock({ id, offset, bytes, order }: BlockLine): string {
  return lineOf({ id, offset, bytes, ...(order !== undefined && { order }) });
}

function blockLine(line: Record<string, unknown> | undefined): BlockLine | undefined {
  if (typeof line?.id !== 'string' || typeof line.offset !== 'number' || typeof line.bytes !== 'number')
    return undefined;
  const { id, offset, bytes, order } = line;
  return { id, offset, bytes, ...(typeof order === 'number' && { order }) };
}

function lineOf(value: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(value)}\n`;
}

/** A line that a crash has torn, or that is not one, is none. */
function parsedLine(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
