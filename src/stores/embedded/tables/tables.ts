import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import type { Log } from '../../../base/log.ts';
import type { PresenceStateStore } from '../../../core/presence/states.ts';
import type { FieldPath } from '../../../core/query/fields.ts';
import type { FleetStore } from '../../../core/query/ports.ts';
import { indexedPlace } from '../../tables/document-paths.ts';
import type { KeyRing } from '../../tables/key-cipher.ts';
import { createTablePresence, createTableStores, type TableStores } from '../../tables/stores.ts';
import { BackgroundLook, type LookReport } from './background-look.ts';
import { QueryThread } from './query-thread.ts';
import { type TablesHealth, TableThread } from './thread.ts';

export interface EmbeddedTablesParts {
  /** The database's file; its folder is made if it is missing. */
  readonly file: string;
  /** From `openKeyCipher`. */
  readonly cipher: KeyRing;
  /** Which tables must be there; absent = whatever there is, also nothing. */
  readonly generation?: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Whether events of created and deleted identities are kept with them (`TwinStore.events`). Default: no. */
  readonly keepsLifecycle?: boolean;
  /** Values of tags and desired properties that queries find by an index; absent = none. */
  readonly queryIndexes?: readonly FieldPath[];
}

export interface EmbeddedTables extends TableStores {
  readonly presenceStates: PresenceStateStore;
  /** Where queries read, on a thread of their own. */
  readonly fleet: FleetStore;
  /** Which tables these are; stays for as long as they do. */
  readonly generation: string;
  /** Not ok: the hub must be stopped. */
  health(): TablesHealth;
  /**
   * Writes and waits for the disk: very little, but after something could not be written as much as a large operation.
   * @throws HubError ServiceUnavailable: its `reason` says why it could not
   */
  probe(): Promise<void>;
  /** Looks for damage on a thread of its own, which `health` then knows of. One look at a time; never rejects. */
  lookThrough(): Promise<LookReport>;
  /** Finishes what waits and closes the file. */
  close(): Promise<void>;
}

/**
 * Everything but events, in SQLite on a thread of its own (design section 4).
 * @throws Error that says what to do: not a database, a newer format, another key.
 */
export async function openEmbeddedTables(parts: EmbeddedTablesParts): Promise<EmbeddedTables> {
  mkdirSync(path.dirname(parts.file), { recursive: true, mode: 0o700 });
  const indexes = (parts.queryIndexes ?? []).map(indexedPlace);
  const thread = await TableThread.open(
    { file: parts.file, ring: parts.cipher, generation: parts.generation, indexes },
    parts.log,
  );
  const background = new BackgroundLook(parts.file, (what) => thread.foundDamaged(what));
  const { file, clock, log } = parts;
  const queries = new QueryThread({ file, indexes, clock, log, damaged: (what) => thread.foundDamaged(what) });
  return {
    ...createTableStores(thread, parts.clock, parts.keepsLifecycle),
    generation: thread.generation,
    presenceStates: createTablePresence(thread, ''),
    fleet: queries,
    health: () => thread.health(),
    probe: () => thread.probe(),
    lookThrough: () => background.look(),
    close: () => thread.close(Promise.all([background.close(), queries.close()]).then(() => {})),
  };
}
