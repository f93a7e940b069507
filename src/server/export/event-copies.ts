/** The events of one event hub, from a journal into a topic and from a topic into a journal. */
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { EventRun } from '../../core/events/types.ts';
import { kafkaContentOf } from '../../records/kafka/from-record.ts';
import type { ReadJournal } from '../../stores/embedded/event-log/read-journal.ts';
import { JournalFiller } from '../../stores/embedded/event-log/write-journal.ts';
import type { ParsedRun } from '../../stores/event-log/format.ts';
import type { TopicLoader } from '../../stores/kafka/loader.ts';
import type { JournalSums } from './journal-sums.ts';

export interface CopiedEvents {
  readonly events: number;
  /** Of these, how many are put together in another way than the hub that took them did; what they say is the same. */
  readonly changed: number;
  /** Of these, how many have a later enqueued time than before. */
  readonly later: number;
}

export type EventProgress = (events: number) => void;

/** @param keepsNumbers else they begin at 0, without gaps @throws Error that says what to do */
export async function journalToTopic(
  journal: ReadJournal,
  { firstSequences, nextSequences }: JournalSums,
  loader: TopicLoader,
  keepsNumbers: boolean,
  progress: EventProgress,
): Promise<CopiedEvents> {
  let [events, changed] = [0, 0];
  const next = firstSequences.map(() => 0);
  const reach = async (partition: number, sequence: number): Promise<void> => {
    const missing = keepsNumbers ? sequence - next[partition] : 0;
    if (missing > 0) await loader.skip(partition, missing);
    next[partition] = sequence;
  };
  for (const [partition, first] of firstSequences.entries()) await reach(partition, first);
  for await (const { runs } of journal.batches()) {
    for (const run of runs.filter(({ lost }) => !lost)) {
      await reach(run.partition, run.firstSequence);
      changed += await addRun(loader, run);
      next[run.partition] += run.count;
      events += run.count;
      progress(events);
    }
  }
  for (const [partition, end] of nextSequences.entries()) await reach(partition, end);
  await loader.settle();
  for (const [partition, first] of firstSequences.entries()) {
    if (keepsNumbers && first > 0) await loader.removeBefore(partition, first);
  }
  return { events, changed, later: 0 };
}

/** @returns how many of its events are put together in another way */
async function addRun(loader: TopicLoader, { partition, time, bytes, start, end }: ParsedRun): Promise<number> {
  let changed = 0;
  for (let at = start; at < end; ) {
    const from = at + LENGTH_BYTES;
    at = from + bytes.readUInt32LE(at);
    const content = kafkaContentOf(bytes, from, at);
    if (!content.isSame) changed++;
    await loader.add(partition, time, content.bytes);
  }
  return changed;
}

const LENGTH_BYTES = 4;

export interface JournalPlace {
  readonly folder: string;
  readonly segmentBytes: number;
  readonly random: Random;
}

export interface WrittenJournal extends CopiedEvents {
  /** As the ledger of the data folder keeps it. */
  readonly newest: number;
  readonly nextSequences: readonly number[];
}

/** Partitions are read side by side, because a journal keeps their events in the order of their times. */
export async function topicToJournal(
  log: EventLog,
  { folder, segmentBytes, random }: JournalPlace,
  progress: EventProgress,
): Promise<WrittenJournal> {
  const facts = await Promise.all(Array.from({ length: log.partitionCount }, (_, at) => log.partition(at)));
  const filler = await JournalFiller.open({
    ...{ folder, segmentBytes, random, createdTime: log.createdTime },
    firstSequences: facts.map(({ firstSequence }) => firstSequence),
  });
  const readers = facts.map(({ partition, firstSequence, lastSequence }) =>
    runsOf(log, partition, firstSequence, lastSequence),
  );
  const heads = await Promise.all(readers.map((reader) => reader.next()));
  let [events, later] = [0, 0];
  for (;;) {
    let earliest = -1;
    for (const [partition, { done, value }] of heads.entries()) {
      if (done !== true && (earliest < 0 || value.time < (heads[earliest].value as EventRun).time))
        earliest = partition;
    }
    if (earliest < 0) break;
    const run = heads[earliest].value as EventRun;
    if ((await filler.add(earliest, run)) !== run.time) later += run.count;
    events += run.count;
    progress(events);
    heads[earliest] = await readers[earliest].next();
  }
  const { newest, nextSequences } = await filler.finish(facts.map(({ lastSequence }) => lastSequence + 1));
  return { events, changed: 0, later, newest, nextSequences };
}

async function* runsOf(
  log: EventLog,
  partition: number,
  first: number,
  last: number,
): AsyncGenerator<EventRun, undefined> {
  for (let from = first; from <= last; ) {
    const runs = await log.read(partition, from, limits.exportReadBytes);
    if (runs.length === 0) return undefined;
    for (const run of runs) {
      from = run.firstSequence + run.count;
      yield run;
    }
  }
  return undefined;
}
