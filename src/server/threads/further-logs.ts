/** Event hubs of endpoints for listener threads, whose doors let them be read. They come and go while the threads run. */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { StoredLog } from '../../stores/event-log/stored-log.ts';
import type { EveryCall, ThreadLink } from './calls.ts';
import { EventLogHost, type LogStart } from './event-log-host.ts';
import { type EventLogStandIn, eventLogStandIn, type StandInBounds } from './event-log-stand-in.ts';

/** The event hubs that are open, and news of them. */
export interface SharedHubs {
  logs(): readonly StoredLog[];
  watch(listener: () => Promise<void>): () => void;
}

interface FurtherLog {
  /** One that is opened again has another. */
  readonly id: number;
  readonly start: LogStart;
}

interface FurtherCalls {
  /** Answers when the thread knows these, and no others. */
  apply(logs: readonly FurtherLog[]): Promise<void>;
}

const SERVICE = 'further logs';
const calls: EveryCall<FurtherCalls> = { apply: true };

/** In the main thread. */
export class FurtherLogs {
  readonly #hubs: SharedHubs;
  readonly #clock: Clock;
  readonly #hosts = new Map<StoredLog, { readonly id: number; readonly host: EventLogHost }>();
  #lastId = 0;

  constructor(hubs: SharedHubs, clock: Clock) {
    this.#hubs = hubs;
    this.#clock = clock;
  }

  /** Serves one thread; the returned function ends it. */
  serve(link: ThreadLink): () => void {
    const served = new Map<number, () => void>();
    const thread = link.remote<FurtherCalls>(SERVICE, calls);
    const tell = async (): Promise<void> => {
      const now = this.#now();
      for (const [id, end] of served) {
        if (now.some((each) => each.id === id)) continue;
        end();
        served.delete(id);
      }
      for (const { id, host } of now) if (!served.has(id)) served.set(id, host.serve(link));
      // A thread that has ended has no readers any more.
      await thread.apply(now.map(({ id, host }) => ({ id, start: host.start() }))).catch(() => {});
    };
    const unwatch = this.#hubs.watch(tell);
    void tell();
    return () => {
      unwatch();
      for (const end of served.values()) end();
    };
  }

  #now() {
    const logs = this.#hubs.logs();
    for (const [log, { host }] of this.#hosts) {
      if (logs.includes(log)) continue;
      host.close();
      this.#hosts.delete(log);
    }
    return logs.map((log) => {
      let kept = this.#hosts.get(log);
      if (kept === undefined) {
        const host = new EventLogHost(log, this.#clock);
        log.followFacts(() => host.changed());
        kept = { id: ++this.#lastId, host };
        this.#hosts.set(log, kept);
      }
      return kept;
    });
  }
}

/** In a listener thread: those that are open. */
export function furtherLogsStandIn(link: ThreadLink, log: Log, bounds: StandInBounds): () => readonly EventLog[] {
  let known = new Map<number, EventLogStandIn>();
  const apply = async (logs: readonly FurtherLog[]): Promise<void> => {
    known = new Map(logs.map(({ id, start }) => [id, known.get(id) ?? eventLogStandIn(link, start, log, bounds)]));
  };
  link.serve(SERVICE, { apply } satisfies FurtherCalls);
  return () => [...known.values()];
}
