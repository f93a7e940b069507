/**
 * What is kept of changes of many devices, so that a hub that was killed still tells what became of them: a file of each, with a line of
 * JSON for what is to be done, one for how it stood at the beginning, and one for each step of it, which says only what is new. Lines are
 * not synced: the registry itself is, and a line that was lost makes a step be done again, which changes nothing. The end of a change
 * leaves the two lines that say what became of it.
 */
import {
  appendFileSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { type BulkChange, type BulkProgress, bulkChangeSchema, bulkProgressSchema } from '../../api/bulk-change.ts';
import { limits } from '../../base/limits.ts';

export interface KeptChange {
  /** Absent where it is completed: nothing is to be gone on with. */
  readonly change: BulkChange | undefined;
  readonly progress: BulkProgress;
}

/** How many are done and have failed by now, and which of those have failed in this step, as far as they are named. */
export type KeptStep = Pick<BulkProgress, 'done' | 'failed' | 'failures'>;

export interface KeptChanges {
  /** In no order. */
  load(): readonly KeptChange[];
  begin(change: BulkChange, progress: BulkProgress): void;
  step(id: string, step: KeptStep): void;
  end(kept: KeptChange): void;
  remove(id: string): void;
}

const firstLine = z.object({ change: bulkChangeSchema.optional() });
const stepLine = bulkProgressSchema.pick({ done: true, failed: true, failures: true });
/** Of a file that is being written anew: one that a kill has left is no change. */
const UNFINISHED = '.new';

/** @param failed hears of the first file that cannot be written or read; the changes themselves go on */
export function keptChanges(folder: string, failed: (error: unknown) => void): KeptChanges {
  const fileOf = (id: string): string => path.join(folder, `${id}.jsonl`);
  let isFailing = false;
  const guarded = (work: () => void): void => {
    try {
      work();
      isFailing = false;
    } catch (error) {
      // A full disk is told of once, not with each step.
      if (!isFailing) failed(error);
      isFailing = true;
    }
  };
  const write = ({ change, progress }: KeptChange): void =>
    guarded(() => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const file = fileOf(progress.id);
      const text = `${JSON.stringify({ change })}\n${JSON.stringify(progress)}\n`;
      writeFileSync(`${file}${UNFINISHED}`, text, { mode: 0o600 });
      renameSync(`${file}${UNFINISHED}`, file);
    });
  return {
    load() {
      const found: KeptChange[] = [];
      for (const name of namesIn(folder)) {
        guarded(() => {
          const file = path.join(folder, name);
          if (name.endsWith(UNFINISHED)) return rmSync(file, { force: true });
          if (!name.endsWith('.jsonl')) return;
          if (statSync(file).size > limits.bulkChangeFileBytesMax) throw new Error(`${name} is too long`);
          found.push(readChange(readFileSync(file, 'utf8')));
        });
      }
      return found;
    },
    begin: (change, progress) => write({ change, progress }),
    step: (id, step) => guarded(() => append(fileOf(id), `${JSON.stringify(step)}\n`)),
    end: write,
    remove: (id) => guarded(() => rmSync(fileOf(id), { force: true })),
  };
}

/** Of a change whose beginning could not be written nothing is kept: steps alone say nothing. @throws where there is no file */
function append(file: string, line: string): void {
  const opened = openSync(file, constants.O_WRONLY | constants.O_APPEND);
  try {
    appendFileSync(opened, line);
  } finally {
    closeSync(opened);
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    // No change was kept yet.
    return [];
  }
}

/** Lines that are whole count: a hub that was killed may have written a part of the last one. @throws where there is no beginning */
function readChange(text: string): KeptChange {
  const [first, beginning, ...steps] = text.split('\n').slice(0, -1);
  const { change } = firstLine.parse(JSON.parse(first ?? ''));
  const begun = bulkProgressSchema.parse(JSON.parse(beginning ?? ''));
  const added = steps.map((line) => stepLine.parse(JSON.parse(line)));
  const { done, failed } = added.at(-1) ?? begun;
  const failures = [...begun.failures, ...added.flatMap((step) => step.failures)];
  return { change, progress: { ...begun, done, failed, failures: failures.slice(0, limits.bulkChangeFailuresMax) } };
}
