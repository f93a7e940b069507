/**
 * What is kept of changes of many devices, so that a hub that was killed still tells what became of them: a file of each, a line of
 * JSON for what is to be done and a line for each step of it. Lines are not synced: the registry itself is, and a line that was lost
 * makes a step be done again, which changes nothing. The end of a change leaves the two lines that say what became of it.
 */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { type BulkChange, type BulkProgress, bulkChangeSchema, bulkProgressSchema } from '../../api/bulk-change.ts';
import { limits } from '../../base/limits.ts';

export interface KeptChange {
  /** Absent where it is completed: nothing is to be gone on with. */
  readonly change: BulkChange | undefined;
  readonly progress: BulkProgress;
}

export interface KeptChanges {
  /** In no order. */
  load(): readonly KeptChange[];
  begin(change: BulkChange, progress: BulkProgress): void;
  step(progress: BulkProgress): void;
  end(kept: KeptChange): void;
  remove(id: string): void;
}

const firstLine = z.object({ change: bulkChangeSchema.optional() });

/** @param failed hears of a file that cannot be written or read; the change itself goes on */
export function keptChanges(folder: string, failed: (error: unknown) => void): KeptChanges {
  const fileOf = (id: string): string => path.join(folder, `${id}.jsonl`);
  const guarded = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      failed(error);
    }
  };
  const write = ({ change, progress }: KeptChange): void =>
    guarded(() => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(fileOf(progress.id), `${JSON.stringify({ change })}\n${JSON.stringify(progress)}\n`, {
        mode: 0o600,
      });
    });
  return {
    load() {
      const found: KeptChange[] = [];
      for (const name of namesIn(folder)) {
        guarded(() => {
          const file = path.join(folder, name);
          if (statSync(file).size > limits.bulkChangeFileBytesMax) throw new Error(`${name} is too long`);
          found.push(readChange(readFileSync(file, 'utf8')));
        });
      }
      return found;
    },
    begin: (change, progress) => write({ change, progress }),
    step: (progress) => guarded(() => appendFileSync(fileOf(progress.id), `${JSON.stringify(progress)}\n`)),
    end: write,
    remove: (id) => guarded(() => rmSync(fileOf(id), { force: true })),
  };
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
  } catch {
    // No change was kept yet.
    return [];
  }
}

/** The last line that is whole counts: a hub that was killed may have written a part of one. @throws where there is none */
function readChange(text: string): KeptChange {
  const [first, ...steps] = text.split('\n').slice(0, -1);
  const { change } = firstLine.parse(JSON.parse(first ?? ''));
  return { change, progress: bulkProgressSchema.parse(JSON.parse(steps.at(-1) ?? '')) };
}
