/** History for listener threads: the main thread reads it from the archive, as it does the log. */
import { historyOver } from '../../core/archive/history.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { EventPosition } from '../../core/events/types.ts';
import { Moved, type ThreadLink } from './calls.ts';
import { type PackedRuns, packRuns, unpackRuns } from './event-runs.ts';

interface HistoryCalls {
  seek(partition: number, position: EventPosition): Promise<number>;
  read(partition: number, fromSequence: number, bytesMax: number, signal?: AbortSignal): Promise<unknown>;
}

const NAME = 'history';

/** @param history as `historyLog` gives it */
export function serveHistory(link: ThreadLink, history: EventLog): void {
  link.serve(NAME, {
    seek: (partition, position) => history.seek(partition, position),
    async read(partition, fromSequence, bytesMax, signal) {
      const answer = await history.read(partition, fromSequence, bytesMax, signal);
      const packed = packRuns(answer);
      history.giveBack(answer);
      return new Moved(packed, [packed.bytes]);
    },
  } satisfies HistoryCalls);
}

/** @param log the thread's stand-in for the log that history is of */
export function historyStandIn(link: ThreadLink, log: EventLog): EventLog {
  // A reading may wait for a minute. Each link of a reader has one at most, and ends it when it ends.
  const remote = link.remote<HistoryCalls>(NAME, { seek: true, read: 'uncounted' });
  return historyOver(log, {
    seek: (partition, position) => remote.seek(partition, position),
    read: async (partition, fromSequence, bytesMax, signal) =>
      unpackRuns((await remote.read(partition, fromSequence, bytesMax, signal)) as PackedRuns),
    giveBack: () => {},
  });
}
