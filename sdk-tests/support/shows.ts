/**
 * Tests that show a cell of docs/compatibility.md. Where MOORING_SDK_RESULTS names a file, each leaves a line of JSON there
 * when it ends: what it showed, under which name, and how it went. `compatibility.ts` makes the table of these lines.
 */
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';

/** What one SDK does over one of its transports. */
export interface Cell {
  readonly sdk: string;
  readonly transport: string;
  readonly operation: string;
}

export interface Result extends Cell {
  /** Name of the test file. */
  readonly file: string;
  readonly outcome: 'run' | 'failed' | 'skipped';
}

/** @param skip why it cannot run here; undefined = it can */
export function shows(
  cells: Cell | readonly Cell[],
  skip: string | undefined,
  work: (t: TestContext) => Promise<void>,
  name?: string,
): void {
  const list = [cells].flat();
  const title = name ?? `${list[0].sdk} over ${list[0].transport}: ${list[0].operation}`;
  if (skip !== undefined) {
    record(list, 'skipped');
    test(title, { skip });
    return;
  }
  test(title, async (t) => {
    try {
      await work(t);
    } catch (error) {
      record(list, 'failed');
      throw error;
    }
    record(list, 'run');
  });
}

function record(cells: readonly Cell[], outcome: Result['outcome']): void {
  const file = process.env.MOORING_SDK_RESULTS;
  if (file === undefined) return;
  const lines = cells.map((cell) => JSON.stringify({ ...cell, file: path.basename(process.argv[1]), outcome }));
  appendFileSync(file, `${lines.join('\n')}\n`);
}
