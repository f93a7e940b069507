/**
 * What readers of the built-in event hub know of the end of a partition. Events that they do not see may stand there: a reader that
 * waits for the last number of all would wait for ever.
 */
import { limits } from '../../base/limits.ts';
import { type EventLog, HIDDEN_MARK, type Routing, type RoutingMarkReader } from './ports.ts';
import type { PartitionFacts } from './types.ts';

/** What of routing tells hidden events from others. */
export type ShownRouting = Pick<Routing, 'mayHide'> & { readonly markOf: RoutingMarkReader };

interface Seen {
  /** All up to here is looked at. */
  upTo: number;
  /** The last one that is shown; -1 = none. */
  sequence: number;
  time: number;
  looking: Promise<void> | undefined;
}

export class ShownFacts {
  readonly #log: EventLog;
  readonly #routing: ShownRouting | undefined;
  readonly #seen: (Seen | undefined)[] = [];

  /** @param routing Absent = every event of the log is shown */
  constructor(log: EventLog, routing: ShownRouting | undefined) {
    this.#log = log;
    this.#routing = routing;
  }

  /** The log as its readers see it. Its records are as they are: who reads them leaves out what is hidden. */
  asLog(): EventLog {
    if (this.#routing === undefined) return this.#log;
    const log = this.#log;
    return {
      name: log.name,
      partitionCount: log.partitionCount,
      createdTime: log.createdTime,
      writer: log.writer,
      partition: (partition) => this.partition(partition),
      lastKnown: (partition) => this.lastKnown(partition),
      seek: (partition, position) => log.seek(partition, position),
      read: (partition, from, bytesMax) => log.read(partition, from, bytesMax),
      giveBack: (answer) => log.giveBack(answer),
      watch: (partition, listener) => log.watch(partition, listener),
      health: () => log.health(),
    };
  }

  /** As `EventLog.partition`, of what is shown. */
  async partition(partition: number): Promise<PartitionFacts> {
    const facts = await this.#log.partition(partition);
    if (!this.#routing?.mayHide || facts.lastSequence < facts.firstSequence) return facts;
    const seen = this.#of(partition);
    while (seen.upTo < facts.lastSequence) await this.#look(partition, seen);
    return shownOf(facts, seen);
  }

  /** As `EventLog.lastKnown`: the newest that was looked at; what has come since is looked at, for the next call. */
  lastKnown(partition: number): PartitionFacts {
    const facts = this.#log.lastKnown(partition);
    if (!this.#routing?.mayHide || facts.lastSequence < facts.firstSequence) return facts;
    const seen = this.#of(partition);
    // A log that cannot be read fails its readers.
    if (seen.upTo < facts.lastSequence) this.#look(partition, seen).catch(() => {});
    return shownOf(facts, seen);
  }

  #of(partition: number): Seen {
    this.#seen[partition] ??= { upTo: -1, sequence: -1, time: 0, looking: undefined };
    return this.#seen[partition];
  }

  #look(partition: number, seen: Seen): Promise<void> {
    seen.looking ??= this.#read(partition, seen).finally(() => {
      seen.looking = undefined;
    });
    return seen.looking;
  }

  async #read(partition: number, seen: Seen): Promise<void> {
    const { firstSequence, lastSequence } = await this.#log.partition(partition);
    const from = Math.max(firstSequence, seen.upTo + 1);
    // From the end backwards, in steps that grow: mostly one of the last ones is shown.
    for (let step = STEP_FIRST, end = lastSequence; end >= from; end -= step, step *= 4) {
      const begin = Math.max(from, end - step + 1);
      if (await this.#readPiece(partition, seen, begin, end)) break;
    }
    seen.upTo = Math.max(seen.upTo, lastSequence);
  }

  /** @returns whether one of them is shown */
  async #readPiece(partition: number, seen: Seen, begin: number, end: number): Promise<boolean> {
    const { markOf } = this.#routing as ShownRouting;
    let found = false;
    for (let next = begin; next <= end; ) {
      const runs = await this.#log.read(partition, next, limits.traceReadBytesMax);
      if (runs.length === 0) return found;
      for (const { firstSequence, count, time, bytes, start } of runs) {
        let at = start;
        for (let sequence = firstSequence; sequence < firstSequence + count && sequence <= end; sequence++) {
          const record = at + 4;
          at = record + bytes.readUInt32LE(at);
          if ((markOf(bytes, record) & HIDDEN_MARK) !== 0) continue;
          found = true;
          if (sequence > seen.sequence) [seen.sequence, seen.time] = [sequence, time];
        }
        next = firstSequence + count;
      }
      this.#log.giveBack(runs);
    }
    return found;
  }
}

const STEP_FIRST = 256;

function shownOf(facts: PartitionFacts, seen: Seen): PartitionFacts {
  // Nothing that is kept is shown: as an empty partition, whose next number is the first that is kept.
  if (seen.sequence < facts.firstSequence)
    return { ...facts, lastSequence: facts.firstSequence - 1, lastTime: seen.time };
  return { ...facts, lastSequence: seen.sequence, lastTime: seen.time };
}
