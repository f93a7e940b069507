import type {
  EventLog,
  HIDDEN_MARK as HiddenMark,
  RoutingMarkReader,
  SLOTS_MASK as SlotsMask,
} from '../events/ports.ts';
import type { EventRun } from '../events/types.ts';
import type { ReadBounds, RoutedBatch, RoutedLog, RoutedRecord } from './ports.ts';

/** As `core/events/ports.ts` has them; rooms share types only. */
const HIDDEN_MARK: typeof HiddenMark = 0x10000;
const SLOTS_MASK: typeof SlotsMask = 0xffff;

/** The event log as delivery reads it: record by record, with what each says of its routing. */
export function routedLog(log: EventLog, markOf: RoutingMarkReader): RoutedLog {
  return {
    partitionCount: log.partitionCount,
    partition: (partition) => log.partition(partition),
    lastKnown: (partition) => log.lastKnown(partition),
    watch: (partition, listener) => log.watch(partition, listener),
    async read(partition, fromSequence, bounds) {
      const runs = await log.read(partition, fromSequence, bounds.bytesMax);
      return batchOf(runs, fromSequence, bounds, markOf, () => log.giveBack(runs));
    },
  };
}

function batchOf(
  runs: readonly EventRun[],
  from: number,
  bounds: ReadBounds,
  markOf: RoutingMarkReader,
  release: () => void,
): RoutedBatch {
  const records: RoutedRecord[] = [];
  const missed = runs.length === 0 ? 0 : Math.max(0, runs[0].firstSequence - from);
  let next = from + missed;
  for (const { firstSequence, count, time, bytes, start: first } of runs) {
    let at = first;
    for (let sequence = firstSequence; sequence < firstSequence + count; sequence++) {
      const start = at + 4;
      const end = start + bytes.readUInt32LE(at);
      at = end;
      const mark = markOf(bytes, start);
      next = sequence + 1;
      if (bounds.slots !== undefined && (mark & bounds.slots) === 0) continue;
      const slots = mark & SLOTS_MASK;
      records.push({ sequence, time, bytes, start, end, isShown: (mark & HIDDEN_MARK) === 0, slots });
      if (records.length >= bounds.recordsMax) return { records, next, missed, release };
    }
  }
  return { records, next, missed, release };
}
