/** Archives and history of one hub, as `compose` puts them in. */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { createArchives, type KnownArchive } from '../../core/archive/archives.ts';
import { historyLog } from '../../core/archive/history.ts';
import type { HistoryArchive } from '../../core/archive/history-list.ts';
import type { Archives } from '../../core/archive/room.ts';
import type { EventsParts } from '../../core/events/events.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { Guard, Guarded } from '../../core/identity/guard.ts';
import type { Enrichments } from '../../core/routes/enrichments.ts';
import type { CursorStore } from '../../core/routes/ports.ts';
import { routedLog } from '../../core/routes/routed-log.ts';
import { createHistoryFiles } from '../../records/archive/history-files.ts';
import { routingMark } from '../../records/record-codec.ts';
import type { Outcome } from '../../stores/objects/remote/store-client.ts';
import type { Settings } from '../config/config.ts';
import { createHistoryThread } from './history-thread.ts';
import { type OpenArchives, openArchives, type RouteSource } from './open-archives.ts';

export interface OpenArchiveParts {
  readonly settings: Settings;
  readonly routes: RouteSource;
  readonly telemetry: EventLog;
  readonly cursors: CursorStore;
  /** Where archives are whose store is a folder, unless the settings say another; and what is on its way to others. */
  readonly folder: string;
  readonly staging: string;
  readonly node: string;
  /** As `OpenArchivesParts`. */
  readonly process: string;
  readonly mayWork?: () => boolean;
  /** Of the stores. */
  readonly clock: Clock;
  readonly logger: Log;
  readonly enrichments: Enrichments;
  observe(outcome: Outcome, seconds: number): void;
}

export interface OpenArchive {
  readonly archives: OpenArchives;
  /** For those whose consumer group is to have history; undefined = nobody is. */
  readonly history: EventsParts['history'];
  room(guard: Guard): Guarded<Archives>;
  close(): Promise<void>;
}

export function openArchive(parts: OpenArchiveParts): OpenArchive {
  const { settings, telemetry, cursors, clock, logger } = parts;
  const { archiveFolder, historyGroups, historyArchive, filesStoreCaFile } = settings;
  const log = routedLog(telemetry, routingMark);
  const archives = openArchives({
    ...parts,
    ...{ log, eventHub: telemetry.name, folder: archiveFolder ?? parts.folder, caFile: filesStoreCaFile },
  });
  const decoder = createHistoryThread({ clock, log: logger });
  const files = createHistoryFiles(decoder);
  const history = {
    groups: historyGroups,
    log: historyLog({
      ...{ log: telemetry, cursors, files, clock },
      archive: () => chosen(archives.known(), historyArchive),
    }),
  };
  if (historyGroups.length > 0) logger.info({ groups: historyGroups }, 'these consumer groups have history');
  return {
    archives,
    history: historyGroups.length === 0 ? undefined : history,
    room: (guard) => createArchives({ guard, cursors, log, files, known: () => archives.known() }),
    async close() {
      await Promise.all([archives.close(), decoder.close()]);
    },
  };
}

/** The archive that history is read from. */
function chosen(known: readonly KnownArchive[], name: string | undefined): HistoryArchive | 'notOpen' | undefined {
  const fit = known.filter(
    ({ endpoint }) =>
      endpoint.format === 'parquet' && (name === undefined || endpoint.name.toLowerCase() === name.toLowerCase()),
  );
  if (fit.length !== 1) return undefined;
  const [{ endpoint, since, open }] = fit;
  return open === undefined ? 'notOpen' : { endpoint: endpoint.name, since, ...open };
}
