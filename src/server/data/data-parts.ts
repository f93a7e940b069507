/**
 * What must be in a data folder, as `hub.json` keeps it: which tables, up to where each event log goes, and that there is an
 * authority. A folder that has lost one of them would otherwise start as a new hub.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { limits } from '../../base/limits.ts';
import { systemFiles } from '../../stores/embedded/event-log/files.ts';
import { type Ledger, type LedgerEntry, lossOf } from '../../stores/embedded/event-log/ledger.ts';
import { positionsOf } from '../../stores/embedded/event-log/segment.ts';

export const partsSchema = z.object({
  /** `EmbeddedTables.generation`. */
  tables: z.string().optional(),
  /** The hub has made an authority of its own. */
  tls: z.boolean().optional(),
  /** Events and everything else are not in the folder, but where the setting `storage` says. */
  storage: z.literal('cluster').optional(),
  events: z
    .record(
      z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9])?$/),
      z.object({
        newest: z.number().int().min(-1),
        ceilings: z.array(z.number().int().min(0)).min(1).max(limits.partitionsMax),
      }),
    )
    .default({}),
});

export type Parts = Readonly<z.infer<typeof partsSchema>>;

export interface LostPart {
  /** As `--accept-loss` takes it: `tables`, `tls` or `events/<name>`. */
  readonly part: string;
  /** Below the data folder. */
  readonly file: string;
  readonly what: string;
}

/** Parts that must be there and are not, as far as their names and lengths tell. */
export function lostParts(folder: string, parts: Parts | undefined): readonly LostPart[] {
  if (parts === undefined) return [];
  const lost: LostPart[] = [];
  const look = (part: string, ...names: readonly string[]): void => {
    const file = path.join(...names);
    const size = statSync(path.join(folder, file), { throwIfNoEntry: false })?.size;
    if (size === undefined || size === 0) {
      lost.push({ part, file, what: size === 0 ? 'it is empty' : 'it is missing' });
    }
  };
  if (parts.tables !== undefined) look('tables', 'tables', 'hub.db');
  if (parts.tls === true) look('tls', 'tls', 'ca.pem');
  for (const [name, entry] of Object.entries(parts.events)) {
    const at = path.join(folder, 'events', name);
    const what = lossOf(entry, existsSync(at) ? positionsOf(readdirSync(at), 'journal') : []);
    if (what !== undefined) lost.push({ part: `events/${name}`, file: path.join('events', name), what });
  }
  return lost;
}

export function lostMessage(folder: string, lost: readonly LostPart[]): string {
  const named = lost.map(({ file, what }) => `${file}: ${what}`).join('; ');
  return (
    `The data folder ${folder} has lost a part that was there: ${named}. Put it back from a copy, or look whether a disk is ` +
    'not mounted. If the loss has to be accepted, say so, and the hub goes on without what is lost: ' +
    `mooring data repair --data-dir ${folder} --accept-loss ${lost.map(({ part }) => part).join(',')}`
  );
}

/** Keeps the parts: writes follow each other, and what is asked for meanwhile shares the next one. */
export class PartsKeeper {
  readonly #file: string;
  readonly #facts: object;
  #parts: Parts;
  #next: Promise<void> | undefined;
  #turn: Promise<void> = Promise.resolve();

  /** @param facts everything else in the file */
  constructor(file: string, facts: object, parts: Parts | undefined) {
    this.#file = file;
    this.#facts = facts;
    this.#parts = parts ?? { events: {} };
  }

  get parts(): Parts {
    return this.#parts;
  }

  /** Resolves when it is durable. */
  keep(changes: Partial<Parts>): Promise<void> {
    this.#parts = { ...this.#parts, ...changes };
    this.#next ??= this.#turn.then(() => {
      this.#next = undefined;
      return this.#write();
    });
    this.#turn = this.#next.catch(() => {});
    return this.#next;
  }

  ledgerOf(log: string): Ledger {
    const keep = ({ newest, ceilings }: LedgerEntry): Promise<void> =>
      this.keep({ events: { ...this.#parts.events, [log]: { newest, ceilings: [...ceilings] } } });
    return { kept: this.#parts.events[log], keep };
  }

  async #write(): Promise<void> {
    const draft = `${this.#file}.new`;
    const handle = await open(draft, 'w', 0o600);
    try {
      await handle.writeFile(hubFileText(this.#facts, this.#parts));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, this.#file);
    await systemFiles.syncFolder(path.dirname(this.#file));
  }
}

export function hubFileText(facts: object, parts: Parts | undefined): string {
  return `${JSON.stringify({ ...facts, ...(parts !== undefined && { parts }) }, undefined, 2)}\n`;
}
