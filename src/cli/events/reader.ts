import { setTimeout as wait } from 'node:timers/promises';
import type { Receiver } from 'rhea';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import type { Login } from '../login/login.ts';
import { AmqpFailure } from './amqp-failures.ts';
import { connectEvents, type EventConnection } from './connection.ts';
import { type ReceivedEvent, readEvent } from './event.ts';
import { type EventStreamName, eventHubOf, findEventHub } from './event-hub.ts';
import { type PartitionPosition, type StartPosition, selectorOf } from './position.ts';

const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 10_000;

export interface ReadOptions {
  readonly login: Login;
  /** Which event hub: that of telemetry, which is the default, or the monitoring one. */
  readonly stream?: EventStreamName;
  readonly consumerGroup: string;
  readonly from: StartPosition;
  /** Ends behind what there was at the beginning; absent = goes on with what comes. */
  readonly toEnd?: boolean;
  /** Aborted = the reading ends, in an orderly way. */
  readonly stop: AbortSignal;
  /** Told of the connection's life, for the person who waits. */
  onStatus(status: ReaderStatus): void;
}

export type ReaderStatus =
  | { readonly kind: 'reading'; readonly eventHub: string; readonly partitions: number; readonly again: boolean }
  /** Lost, or not made again yet; told before each new try. */
  | { readonly kind: 'lost'; readonly failure: Failure };

/**
 * Events of all partitions, in order within each, in batches as they come. A lost connection is made again, and reading
 * goes on behind the last event of each partition: none is left out, none comes twice. The next batch is asked for when
 * this one has been taken, so a slow taker slows the hub and costs no memory.
 * @throws Failure when the first connection fails, or for a reason that another try does not heal.
 */
export async function* readEvents(options: ReadOptions): AsyncGenerator<readonly ReceivedEvent[], void, undefined> {
  const { login, from, stop, onStatus } = options;
  const positions = new Map<string, PartitionPosition>();
  const stream = options.stream ?? 'telemetry';
  let eventHub = login.hubName === undefined ? undefined : eventHubOf(login.hubName, stream);
  let ends: ReadonlyMap<string, number> | undefined;
  const isOver = (): boolean =>
    ends !== undefined && [...ends].every(([partition, last]) => isBehind(positions.get(partition), last));
  let backoffMs = 0;
  let again = false;
  while (!stop.aborted) {
    let connection: EventConnection | undefined;
    try {
      connection = await connectEvents(login);
      eventHub ??= await findEventHub(connection, stream);
      for (const [partition, position] of await startOf(connection, eventHub, from)) {
        if (!positions.has(partition)) positions.set(partition, position);
      }
      if (options.toEnd === true) ends ??= await endsOf(connection, eventHub, [...positions.keys()], from);
      if (isOver()) return;
      const inbox = new Inbox(connection, eventHub, options.consumerGroup, positions, stop);
      onStatus({ kind: 'reading', eventHub, partitions: positions.size, again });
      again = true;
      for (;;) {
        const batch = await inbox.next();
        if (batch === undefined) return;
        backoffMs = 0;
        yield batch;
        inbox.taken(batch);
        if (isOver()) return;
      }
    } catch (error) {
      if (stop.aborted) return;
      if (!(error instanceof Failure) || !again || (error instanceof AmqpFailure && error.permanent)) throw error;
      backoffMs = Math.min(BACKOFF_MS_MAX, Math.max(BACKOFF_MS_MIN, backoffMs * 2));
      onStatus({ kind: 'lost', failure: error });
      await wait(backoffMs, undefined, { signal: stop }).catch(() => {});
    } finally {
      connection?.close();
    }
  }
}

/**
 * Where each partition's reading begins. "Now" becomes a sequence number at once, so that a connection which is lost
 * before the first event came leaves none out.
 */
async function startOf(
  connection: EventConnection,
  eventHub: string,
  from: StartPosition,
): Promise<[partition: string, PartitionPosition][]> {
  const read = readRequest(eventHub);
  const hub = await connection.request('$management', { ...read, type: 'com.microsoft:eventhub' });
  const ids: unknown = (hub.body as Record<string, unknown> | undefined)?.partition_ids;
  if (!Array.isArray(ids) || ids.length > limits.partitionsMax) throw unexpected('the partitions of the event hub');
  return Promise.all(
    ids.map(String).map(async (partition): Promise<[string, PartitionPosition]> => {
      if (from.kind !== 'now') return [partition, from];
      const { sequence } = await lastOf(connection, eventHub, partition);
      return [partition, sequence < 0 ? { kind: 'start' } : { kind: 'behind', sequence }];
    }),
  );
}

/** The last event of each partition that has one behind `from`. */
async function endsOf(
  connection: EventConnection,
  eventHub: string,
  partitions: readonly string[],
  from: StartPosition,
): Promise<ReadonlyMap<string, number>> {
  if (from.kind === 'now') return new Map();
  const ends = new Map<string, number>();
  for (const partition of partitions) {
    const { sequence, time } = await lastOf(connection, eventHub, partition);
    if (sequence >= 0 && (from.kind === 'start' || time >= from.time)) ends.set(partition, sequence);
  }
  return ends;
}

function isBehind(position: PartitionPosition | undefined, sequence: number): boolean {
  return position?.kind === 'behind' && position.sequence >= sequence;
}

async function lastOf(
  connection: EventConnection,
  eventHub: string,
  partition: string,
): Promise<{ readonly sequence: number; readonly time: number }> {
  const properties = { ...readRequest(eventHub), type: 'com.microsoft:partition', partition };
  const facts = (await connection.request('$management', properties)).body as Record<string, unknown> | undefined;
  const sequence = facts?.last_enqueued_sequence_number;
  if (typeof sequence !== 'number') throw unexpected('the last event of a partition');
  return { sequence, time: Number(facts?.last_enqueued_time_utc ?? 0) };
}

const readRequest = (eventHub: string) => ({ operation: 'READ', name: eventHub });

const unexpected = (what: string): Failure => new Failure(`The hub did not say ${what}.`);

/** What has come and has not been taken. Bounded by credit: the hub sends no more than has been asked for. */
class Inbox {
  readonly #receivers = new Map<string, Receiver>();
  readonly #positions: Map<string, PartitionPosition>;
  readonly #creditPerPartition: number;
  readonly #owed = new Map<string, number>();
  #waiting: ReceivedEvent[] = [];
  #end: Failure | 'stopped' | undefined;
  #wake: (() => void) | undefined;

  constructor(
    connection: EventConnection,
    eventHub: string,
    consumerGroup: string,
    positions: Map<string, PartitionPosition>,
    stop: AbortSignal,
  ) {
    this.#positions = positions;
    this.#creditPerPartition = Math.max(1, Math.floor(limits.cliEventsWaitingMax / positions.size));
    for (const [partition, position] of positions) {
      const receiver = connection.receive({
        address: `${eventHub}/ConsumerGroups/${consumerGroup}/Partitions/${partition}`,
        selector: selectorOf(position),
        onEvent: (message) => {
          try {
            this.#waiting.push(readEvent(message, partition));
          } catch (error) {
            this.#finish(new Failure(`The hub sent what is no event: ${(error as Error).message}.`, { cause: error }));
          }
          this.#wake?.();
        },
        onEnd: (failure) => this.#finish(failure),
      });
      receiver.add_credit(this.#creditPerPartition);
      this.#receivers.set(partition, receiver);
    }
    const onStop = (): void => this.#finish('stopped');
    stop.addEventListener('abort', onStop, { once: true });
    void connection.ended.then((failure) => {
      stop.removeEventListener('abort', onStop);
      this.#finish(failure);
    });
    if (stop.aborted) onStop();
  }

  /** The events that have come, at least one; undefined when the reading was stopped. @throws Failure when it ended. */
  async next(): Promise<readonly ReceivedEvent[] | undefined> {
    while (this.#waiting.length === 0 || this.#end === 'stopped') {
      if (this.#end === 'stopped') return undefined;
      if (this.#end !== undefined) throw this.#end;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const batch = this.#waiting;
    this.#waiting = [];
    return batch;
  }

  /** The batch is dealt with: reading resumes behind it, and as much again may come. */
  taken(batch: readonly ReceivedEvent[]): void {
    for (const { partition, sequence } of batch) {
      this.#positions.set(partition, { kind: 'behind', sequence });
      this.#owed.set(partition, (this.#owed.get(partition) ?? 0) + 1);
    }
    for (const [partition, owed] of this.#owed) {
      if (owed * 2 < this.#creditPerPartition) continue;
      this.#owed.set(partition, 0);
      const receiver = this.#receivers.get(partition);
      if (receiver?.is_open()) receiver.add_credit(owed);
    }
  }

  #finish(end: Failure | 'stopped'): void {
    this.#end ??= end;
    this.#wake?.();
  }
}
