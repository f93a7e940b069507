/**
 * The passport of a telemetry message: each step that it takes, as a monitoring event. Wrapped around the room of events,
 * and only where a setting asks for it: a hub that traces nothing has no line of this on any path.
 *
 * A message is known by an id of the hub, in an annotation of its record, because devices give theirs twice. A message
 * that is traced leaves the fast path of its door: it is encoded alone.
 */
import type { Clock } from '../../base/clock.ts';
import { type Random, uuid } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { DurabilityWaiter, TraceMark, TraceReader } from '../events/ports.ts';
import type { EventSender, Events } from '../events/room.ts';
import type { Telemetry } from '../events/types.ts';
import type { Guarded } from '../identity/guard.ts';
import { clipped, concerning } from './concerned.ts';
import { StoredFinder } from './stored-finder.ts';
import { traceParentOf } from './trace-context.ts';
import type { Recorder, TraceFacts } from './types.ts';

/** Which messages are traced. Plain data: it crosses to listener threads. */
export interface TraceWishes {
  readonly devices: readonly string[];
  /** One message of so many; 0 = none. Counted by each listener thread. */
  readonly sample: number;
}

export interface TracingParts extends TraceWishes {
  /** The event hub of telemetry; others are not traced. */
  readonly eventHub: string;
  readonly traceOf: TraceReader;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly random: Random;
}

/** The same room, whose messages are followed. */
export function tracedEvents<Room extends Guarded<Events>>(events: Room, parts: TracingParts): Room {
  const { recorder, clock, random, traceOf, sample } = parts;
  const devices = new Set(parts.devices);
  let count = 0;
  let finder: StoredFinder | undefined;

  const tell = (mark: TraceMark, time: number, facts: Omit<TraceFacts, keyof Known>): void => {
    recorder.record({ type: 'traceStep', time, ...concerning(mark), ...knownOf(mark), ...facts });
  };
  const finderOf = ({ log }: EventSender): StoredFinder => {
    finder ??= new StoredFinder({
      log,
      traceOf,
      found: (mark, { time, ...place }) => tell(mark, time, { step: 'stored', ...place }),
      lost: (mark, reason) => tell(mark, clock.now(), { step: 'not-stored', reason: clipped(reason) }),
    });
    return finder;
  };
  const isWanted = (sender: EventSender): boolean => {
    const isDue = sample > 0 && ++count % sample === 0;
    return (isDue || devices.has(sender.stamp.deviceId)) && !finderOf(sender).isFull;
  };

  /** A message's first two steps; it is looked for from now on. */
  const begin = ({ stamp, partition, via, openedTime }: EventSender, message: Telemetry): TraceMark => {
    const { messageId, diagnosticId } = message.system;
    const { deviceId, moduleId } = stamp;
    const { address } = message;
    const traceparent = traceParentOf(message.properties, diagnosticId);
    const mark: TraceMark = {
      traceId: uuid(random),
      deviceId,
      ...(moduleId !== undefined && { moduleId }),
      ...(messageId !== undefined && { messageId }),
      ...(traceparent !== undefined && { traceparent }),
    };
    const now = clock.now();
    const received = { type: 'traceStep', step: 'received', time: now } as const;
    recorder.record({
      ...received,
      ...concerning(mark),
      ...knownOf(mark),
      ...via,
      ...(address !== undefined && { address }),
    });
    tell(mark, now, { step: 'authorised', operation: 'telemetry.send', checkedTime: openedTime });
    finder?.expect(partition, mark);
    return mark;
  };
  const refuse = ({ partition }: EventSender, mark: TraceMark, error: unknown): void => {
    if (finder?.forget(partition, mark.traceId) !== true) return;
    const refusal = error instanceof HubError ? error : undefined;
    const reason = refusal?.reason ?? refusal?.limit?.name ?? (error instanceof Error ? error.message : String(error));
    tell(mark, clock.now(), {
      step: refusal?.code === 'ServiceUnavailable' ? 'not-stored' : 'refused',
      ...(refusal !== undefined && { code: refusal.code }),
      reason: clipped(reason),
    });
  };
  const enqueue = (sender: EventSender, telemetry: Telemetry, waiter: DurabilityWaiter): number => {
    const mark = begin(sender, telemetry);
    try {
      const batch = events.enqueue(sender, { ...telemetry, traceId: mark.traceId }, waiter);
      finder?.placed(sender.partition, mark.traceId);
      return batch;
    } catch (error) {
      refuse(sender, mark, error);
      throw error;
    }
  };

  return {
    ...events,
    enqueue: (sender, telemetry, waiter) =>
      isWanted(sender) ? enqueue(sender, telemetry, waiter) : events.enqueue(sender, telemetry, waiter),
    prepare: (sender, { system, properties, address }) => ({
      ...events.prepare(sender, { system, properties }),
      message: { system, properties, ...(address !== undefined && { address }) },
    }),
    enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter) {
      const { sender, message } = prepared;
      if (message === undefined || !isWanted(sender)) {
        return events.enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter);
      }
      return enqueue(sender, { ...message, body: source.subarray(bodyStart, bodyEnd) }, waiter);
    },
    async send(sender, messages) {
      const marks: TraceMark[] = [];
      const marked = messages.map((message) => {
        if (!isWanted(sender)) return message;
        const mark = begin(sender, message);
        marks.push(mark);
        return { ...message, traceId: mark.traceId };
      });
      try {
        await events.send(sender, marked);
      } catch (error) {
        for (const mark of marks) refuse(sender, mark, error);
        throw error;
      }
    },
    async openReader(principal, place) {
      const source = await events.openReader(principal, place);
      if (source.log.name !== parts.eventHub) return source;
      const { partition, consumerGroup } = source;
      return {
        ...source,
        delivered({ bytes, start, end, sequence }, reader) {
          const mark = traceOf(bytes, start, end);
          if (mark === undefined) return;
          const to = { partition, sequence, consumerGroup, reader: clipped(reader) };
          tell(mark, clock.now(), { step: 'delivered', ...to });
        },
      };
    },
  };
}

/** What every step of a message says of it. */
type Known = Pick<TraceFacts, 'traceId' | 'messageId' | 'traceparent'>;

function knownOf({ traceId, messageId, traceparent }: TraceMark): Known {
  return {
    traceId,
    ...(messageId !== undefined && { messageId: clipped(messageId) }),
    ...(traceparent !== undefined && { traceparent }),
  };
}
