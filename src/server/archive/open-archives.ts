/** Archives of the hub: one archiver for each endpoint of this kind that is in force. */
import { readFileSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { type Archiver, startArchiver } from '../../core/archive/archiver.ts';
import type { KnownArchive } from '../../core/archive/archives.ts';
import type { ArchiveEndpoint } from '../../core/routes/endpoints/archive.ts';
import type { Enrichments } from '../../core/routes/enrichments.ts';
import type { CursorStore, RoutedLog } from '../../core/routes/ports.ts';
import type { PlacedEndpoint, RouteSet } from '../../core/routes/types.ts';
import { type ArchiveStoreParts, openArchiveStore } from './archive-store.ts';
import { createFileBuilders } from './file-builders.ts';

/** The routes in force, and news of them. */
export interface RouteSource {
  current(): RouteSet;
  /** The returned function ends it. */
  onChange(listener: () => void): () => void;
}

export interface OpenArchivesParts extends Pick<ArchiveStoreParts, 'folder' | 'staging' | 'observe'> {
  readonly routes: RouteSource;
  readonly eventHub: string;
  readonly log: RoutedLog;
  readonly cursors: CursorStore;
  readonly node: string;
  /** As `CursorClaim.node`. */
  readonly process: string;
  readonly mayWork?: () => boolean;
  /** Of the stores. */
  readonly clock: Clock;
  readonly logger: Log;
  /** Certificate authority of stores elsewhere (PEM). */
  readonly caFile: string | undefined;
  readonly enrichments: Enrichments;
}

export interface OpenArchives {
  /** All that are in force, in the order in which they came. */
  known(): readonly KnownArchive[];
  /**
   * Of each partition, the first event that an archive is still to have; undefined = it is not known, because an archive is not open,
   * or another node has the partition.
   */
  wanted(): readonly number[] | undefined;
  /** Those that run here. */
  archivers(): readonly Archiver[];
  close(): Promise<void>;
}

type Opened = NonNullable<KnownArchive['open']>;

interface Running {
  readonly placed: PlacedEndpoint;
  readonly endpoint: ArchiveEndpoint;
  readonly opening: Promise<Opened | undefined>;
  opened: Opened | undefined;
}

export function openArchives(parts: OpenArchivesParts): OpenArchives {
  const { routes, clock, logger, enrichments } = parts;
  const builders = createFileBuilders({ clock, log: logger });
  let running: readonly Running[] = [];
  const ends = new Set<Promise<void>>();

  async function start(placed: PlacedEndpoint, endpoint: ArchiveEndpoint): Promise<Opened | undefined> {
    try {
      const ca = parts.caFile === undefined ? undefined : readFileSync(parts.caFile, 'utf8');
      const store = await openArchiveStore({ ...parts, endpoint, ca });
      const archiver = startArchiver({
        ...{ endpoint, slot: placed.slot, since: placed.since, store, builders },
        ...{ eventHub: parts.eventHub, log: parts.log, cursors: parts.cursors, node: parts.process, clock, logger },
        ...(parts.mayWork && { mayWork: parts.mayWork }),
        enriched: (records) => enrichments.enriched(endpoint.name, records),
      });
      return { archiver, store };
    } catch (error) {
      logger.error(
        { endpoint: endpoint.name, error },
        'the archive could not be opened; its events wait in the event hub',
      );
      return undefined;
    }
  }

  function begin(placed: PlacedEndpoint, endpoint: ArchiveEndpoint, before: Promise<unknown>): Running {
    const opening = before.then(() => start(placed, endpoint));
    const one: Running = { placed, endpoint, opening, opened: undefined };
    void opening.then((opened) => {
      one.opened = opened;
    });
    return one;
  }

  function end(one: Running): void {
    const done = one.opening
      .then((opened) => opened?.archiver.close())
      .catch((error) => logger.warn({ error }, 'an archive did not close well'))
      .finally(() => ends.delete(done));
    ends.add(done);
  }

  function follow(): void {
    const wanted = routes.current().endpoints;
    const stays = (one: Running): boolean => wanted.some((other) => isSame(one.placed, other));
    const gone = running.filter((one) => !stays(one));
    const kept = running.filter(stays);
    const come = wanted.flatMap((placed) => {
      const { endpoint } = placed;
      if (endpoint.kind !== 'archive' || kept.some((one) => isSame(one.placed, placed))) return [];
      return [{ placed, endpoint }];
    });
    for (const one of gone) end(one);
    // One that changed its settings must have let go before it is opened again.
    const before = Promise.all(ends);
    running = [...kept, ...come.map(({ placed, endpoint }) => begin(placed, endpoint, before))];
  }

  follow();
  const stop = routes.onChange(follow);
  return {
    known: () => running.map(({ placed, endpoint, opened }) => ({ endpoint, since: placed.since, open: opened })),
    wanted() {
      const archives = running.map(({ opened }) => opened?.archiver.unarchived());
      const first: number[] = [];
      for (let partition = 0; partition < parts.log.partitionCount; partition++) {
        const each = archives.map((unarchived) => unarchived?.get(partition));
        if (each.some((sequence) => sequence === undefined)) return undefined;
        first.push(Math.min(Number.POSITIVE_INFINITY, ...each.map(Number)));
      }
      return first;
    },
    archivers: () => running.flatMap(({ opened }) => opened?.archiver ?? []),
    async close() {
      stop();
      for (const one of running) end(one);
      running = [];
      await Promise.all(ends);
      await builders.close();
    },
  };
}

/** The same endpoint with the same settings. */
function isSame(a: PlacedEndpoint, b: PlacedEndpoint): boolean {
  return a.since === b.since && a.slot === b.slot && JSON.stringify(a.endpoint) === JSON.stringify(b.endpoint);
}
