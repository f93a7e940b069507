/**
 * A hub that is stopped, taken from its data folder into Kafka and PostgreSQL or back, into a new data folder. What it is taken from is
 * not changed. Until the last step no hub starts on what is half there: `hub.json` is written last, tables in PostgreSQL have a mark, and
 * topics keep times of their own.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { kafkaRecordForm } from '../../records/kafka/record-form.ts';
import { beginPostgresLoad, openPostgresRows } from '../../stores/cluster/row-copy.ts';
import { type ReadJournal, readJournal } from '../../stores/embedded/event-log/read-journal.ts';
import { openKeyCipher } from '../../stores/embedded/tables/key-file.ts';
import { loadSqlite, openSqliteRows } from '../../stores/embedded/tables/row-copy.ts';
import { KafkaCluster } from '../../stores/kafka/cluster.ts';
import { openKafkaEventLog } from '../../stores/kafka/event-log.ts';
import { TopicLoader } from '../../stores/kafka/loader.ts';
import { beginLoading, endLoading } from '../../stores/kafka/topics.ts';
import { createKeyCipher, type KeyRing } from '../../stores/tables/key-cipher.ts';
import { TABLES_FORMAT } from '../../stores/tables/migrations.ts';
import { checkKey } from '../../stores/tables/prepare.ts';
import type { RowSource } from '../../stores/tables/row-copy.ts';
import type { Settings } from '../config/config.ts';
import { DATA_FORMAT, DataFolderError, type HubFacts, readDataFacts, writeFacts } from '../data/data-folder.ts';
import { accessOf } from '../storage/cluster.ts';
import { type CopiedEvents, journalToTopic, topicToJournal } from './event-copies.ts';
import { type ExportedLog, exportedLogs } from './exported-logs.ts';
import { copyParts, makeEmptyFolder } from './folder-parts.ts';
import { type JournalSums, sumUp } from './journal-sums.ts';

export interface ExportWish {
  /** Those of Kafka and PostgreSQL, `dataDir` (the source) and the keys. */
  readonly settings: Settings;
  /** The new data folder. */
  readonly target: string;
  readonly withFiles: boolean;
  /** Events get new numbers, from 0 on. Into a cluster only. */
  readonly renumbers: boolean;
  readonly clock: Clock;
  readonly random: Random;
  /** Told often. @param total undefined = not known */
  progress(what: string, done: number, total: number | undefined): void;
}

export interface Exported {
  readonly hubName: string;
  /** By event hub. */
  readonly events: Readonly<Record<string, CopiedEvents>>;
  /** Rows by table. */
  readonly rows: Readonly<Record<string, number>>;
}

/** @throws Error that says what to do; the source is as it was */
export async function exportToCluster(wish: ExportWish): Promise<Exported> {
  const { settings, target, clock } = wish;
  const facts = factsOf(settings.dataDir, 'embedded');
  const rows = openSqliteRows(path.join(settings.dataDir, 'tables', 'hub.db'));
  const cluster = await KafkaCluster.open({
    brokers: settings.kafkaBrokers,
    access: accessOf({ settings, clock }),
    log: silentLog,
  });
  try {
    const source = sourceRing(wish);
    checkRows(rows, source);
    const { logs: found, endpoints } = await exportedLogs(settings, facts, rows, source);
    if (wish.renumbers && endpoints.length > 0) throw new Error(keepPlaces(endpoints));
    const logs = await journalsOf(wish, found);
    makeEmptyFolder(target);
    const ring = ringFor(wish, source);
    const place = { url: settings.postgresUrl ?? '', schema: settings.postgresSchema };
    const tables = await beginPostgresLoad(place, new Date(clock.now()).toISOString());
    try {
      const events: Record<string, CopiedEvents> = {};
      for (const log of logs) events[log.name] = await fillTopic(wish, cluster, log);
      const counts: Record<string, number> = {};
      await tables.load(rows, ring, (table, count) => {
        counts[table] = count;
        wish.progress(`table ${table}`, count, undefined);
      });
      await copyParts(settings.dataDir, target, wish.withFiles);
      for (const { topic } of logs) await endLoading(cluster, topic, clock);
      const parts = { ...(facts.parts?.tls === true && { tls: true }), storage: 'cluster', events: {} } as const;
      writeFacts(target, { ...bare(facts), parts });
      await tables.finish();
      return { hubName: facts.hubName, events, rows: counts };
    } finally {
      await tables.close();
    }
  } finally {
    cluster.close();
    await rows.close();
  }
}

/** @throws Error that says what to do; the source is as it was */
export async function exportToFolder(wish: ExportWish): Promise<Exported> {
  const { settings, target, clock, random } = wish;
  const facts = factsOf(settings.dataDir, 'cluster');
  const rows = await openPostgresRows({ url: settings.postgresUrl ?? '', schema: settings.postgresSchema });
  const cluster = await KafkaCluster.open({
    brokers: settings.kafkaBrokers,
    access: accessOf({ settings, clock }),
    log: silentLog,
  });
  try {
    const source = sourceRing(wish);
    checkRows(rows, source);
    makeEmptyFolder(target);
    const ring = ringFor(wish, source);
    const events: Record<string, CopiedEvents> = {};
    const ledger: Record<string, { newest: number; ceilings: number[] }> = {};
    const { logs } = await exportedLogs(settings, facts, rows, source);
    for (const { name, place, partitions, topic } of logs) {
      const log = await openKafkaEventLog({
        ...{ cluster, topic: topic.name, name, partitionCount: partitions, createdTime: facts.createdTime },
        ...{ clock, log: silentLog, form: kafkaRecordForm() },
      });
      const journal = { folder: path.join(target, 'events', place), segmentBytes: settings.segmentBytes, random };
      const { newest, nextSequences, ...copied } = await topicToJournal(log, journal, (done) =>
        wish.progress(`events of ${name}`, done, undefined),
      );
      await log.close();
      events[name] = copied;
      // What no event has been acknowledged in is not missed when it is gone.
      ledger[place] = { newest: copied.events > 0 ? newest : -1, ceilings: [...nextSequences] };
    }
    const counts: Record<string, number> = {};
    const tables = await loadSqlite(rows, {
      ...{ file: path.join(target, 'tables', 'hub.db'), ring, clock, log: silentLog },
      progress(table, count) {
        counts[table] = count;
        wish.progress(`table ${table}`, count, undefined);
      },
    });
    await copyParts(settings.dataDir, target, wish.withFiles);
    const parts = { tables, ...(facts.parts?.tls === true && { tls: true }), events: ledger };
    writeFacts(target, { ...bare(facts), parts });
    return { hubName: facts.hubName, events, rows: counts };
  } finally {
    cluster.close();
    await rows.close();
  }
}

interface SourceLog extends ExportedLog {
  /** Undefined = nothing was ever written into it. */
  readonly journal: ReadJournal | undefined;
  readonly sums: JournalSums;
}

const keepPlaces = (endpoints: readonly string[]): string =>
  `--renumber is not for a hub with endpoints (${endpoints.join(', ')}): they keep their places in the log by its numbers. Start it, let ` +
  'them come to the end of the log, and remove them; declare them again where the hub is then.';

/** All journals, read once. @throws Error one is damaged, or its numbers cannot be kept */
async function journalsOf(
  { settings, renumbers, progress }: ExportWish,
  found: readonly ExportedLog[],
): Promise<readonly SourceLog[]> {
  const logs: SourceLog[] = [];
  for (const log of found) {
    const { name, place, partitions } = log;
    const folder = path.join(settings.dataDir, 'events', place);
    const journal = existsSync(folder) ? await readJournal(folder, partitions) : undefined;
    const none = new Array<number>(partitions).fill(0);
    const nothing: JournalSums = { events: 0, firstSequences: none, nextSequences: none, unused: 0 };
    progress(`looking through the events of ${name}`, 0, undefined);
    const sums = journal === undefined ? nothing : await sumUp(journal);
    if (sums.unused > limits.exportFillersMax && !renumbers) {
      throw new Error(
        `The events of ${name} cannot keep their numbers: Kafka would have to count ${sums.unused} numbers that no event has any ` +
          `more, and up to ${limits.exportFillersMax} are taken. Let them get new numbers, from 0 on, with --renumber; ` +
          'back ends must forget their checkpoints then.',
      );
    }
    logs.push({ ...log, journal, sums });
  }
  return logs;
}

async function fillTopic(
  { clock, renumbers, progress }: ExportWish,
  cluster: KafkaCluster,
  { name, partitions, topic, journal, sums }: SourceLog,
): Promise<CopiedEvents> {
  await beginLoading(cluster, topic, clock);
  const parts = { cluster, topic: topic.name, partitionCount: partitions, clock, log: silentLog };
  const loader = await TopicLoader.open(parts);
  try {
    if (journal === undefined) return { events: 0, changed: 0, later: 0 };
    return await journalToTopic(journal, sums, loader, !renumbers, (done) =>
      progress(`events of ${name}`, done, sums.events),
    );
  } finally {
    loader.close();
  }
}

/** @throws DataFolderError there is no hub, or one of another storage */
function factsOf(folder: string, storage: 'embedded' | 'cluster'): HubFacts {
  const facts = readDataFacts(folder);
  if (facts === undefined) throw new DataFolderError(`${folder} holds no hub, or its hub.json is damaged.`);
  if (facts.format > DATA_FORMAT) throw new DataFolderError(`${folder} is of a newer program.`);
  const has = facts.parts?.storage === 'cluster' ? 'cluster' : 'embedded';
  if (has === storage) return facts;
  throw new DataFolderError(`The hub of ${folder} has storage ${has} already.`);
}

const bare = ({ format, hubName, partitions, createdTime }: HubFacts): HubFacts => ({
  ...{ format, hubName, partitions, createdTime },
});

/** @throws Error that says what to do */
function checkRows(rows: RowSource, ring: KeyRing): void {
  if (rows.format !== TABLES_FORMAT) {
    throw new Error(
      `The tables have format ${rows.format}, and this program exports format ${TABLES_FORMAT}. Start the hub once with this program.`,
    );
  }
  checkKey(rows.keyCheck, createKeyCipher(ring), ring);
}

/** Everything that may open what is sealed. @throws Error there is no key */
function sourceRing({ settings, random }: ExportWish): KeyRing {
  const { dataDir, keyEncryptionKey: given, previousKeyEncryptionKey: previous } = settings;
  const file = path.join(dataDir, 'keys', 'tables.key');
  if (!existsSync(file) && given === undefined) {
    throw new DataFolderError(`${file} is missing. Put it back, or give the key in MOORING_KEY_ENCRYPTION_KEY.`);
  }
  return openKeyCipher({ file, ...(given && { given }), ...(previous && { previous }), random, log: silentLog });
}

/** The key of the target, given or made in its folder, and behind it those of the source. */
function ringFor({ settings, target, random }: ExportWish, source: KeyRing): KeyRing {
  const { keyEncryptionKey: given } = settings;
  const file = path.join(target, 'keys', 'tables.key');
  const own = openKeyCipher({ file, ...(given && { given }), random, log: silentLog });
  return { keys: [...own.keys, ...source.keys], source: source.source };
}
