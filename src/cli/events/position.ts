import { parseDuration } from '../output/values.ts';

/** Where a reader begins. */
export type StartPosition =
  /** Only what comes in from now on. */
  | { readonly kind: 'now' }
  /** Everything that is kept. */
  | { readonly kind: 'start' }
  /** What was enqueued at or after a time, UTC milliseconds. */
  | { readonly kind: 'time'; readonly time: number };

/** What a receiver asks a partition for: the place behind an event that has been seen, or a place by time. */
export type PartitionPosition =
  | { readonly kind: 'start' }
  | { readonly kind: 'time'; readonly time: number }
  | { readonly kind: 'behind'; readonly sequence: number };

/** Reads `now`, `start`, a duration back from `now` (`10m`) or an ISO 8601 time; undefined if it is none of them. */
export function parseStartPosition(text: string, now: number): StartPosition | undefined {
  if (text === 'now') return { kind: 'now' };
  if (text === 'start') return { kind: 'start' };
  const back = parseDuration(text);
  if (back !== undefined) return { kind: 'time', time: now - back };
  // `Date.parse` takes far more than ISO 8601 and would read a mistyped word as a time.
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text)) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : { kind: 'time', time };
}

/** The selector of a receiver's source (service reference 5.4). */
export function selectorOf(position: PartitionPosition): string {
  switch (position.kind) {
    case 'start':
      return "amqp.annotation.x-opt-offset > '-1'";
    case 'time':
      return `amqp.annotation.x-opt-enqueued-time >= '${Math.max(0, Math.floor(position.time))}'`;
    case 'behind':
      return `amqp.annotation.x-opt-sequence-number > '${position.sequence}'`;
  }
}
