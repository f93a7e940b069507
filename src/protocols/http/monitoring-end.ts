/** The end of the stored stream of monitoring: what happened lately, also before a restart and at other listener threads and nodes. */
import { limits } from '../../base/limits.ts';
import type { Hub } from '../../core/hub.ts';
import type { Principal } from '../../core/identity/types.ts';
import { readBareMessage } from '../../wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES } from '../../wire/amqp/record.ts';

/** An event of the stream, as `core/monitoring/messages.ts` writes it. */
export type ToldEvent = Readonly<Record<string, unknown>>;

/** A record in a page of the log, which is good until `hear` returns. */
export interface StoredEvent {
  readonly bytes: Buffer;
  readonly from: number;
  readonly to: number;
}

export type MonitoringStream = Awaited<ReturnType<Hub['events']['openReader']>>;

/** As a reader of the stream asks for it. @throws HubError IotHubUnauthorizedAccess, AmqpAddressNotFound (there is no monitoring) */
export function openMonitoring(hub: Pick<Hub, 'name' | 'events'>, principal: Principal): Promise<MonitoringStream> {
  const place = { eventHub: `${hub.name}-monitoring`, consumerGroup: '$Default', partition: '0' };
  return hub.events.openReader(principal, place);
}

/**
 * Tells the newest `recordsMax` records, oldest first.
 * @returns `lookedSince` (ISO 8601) where the stream goes back further @throws what `hear` throws
 */
export async function readMonitoringEnd(
  { log, partition }: MonitoringStream,
  recordsMax: number,
  hear: (event: StoredEvent) => void,
): Promise<{ readonly lookedSince?: string }> {
  const { firstSequence, lastSequence } = await log.partition(partition);
  const begin = Math.max(firstSequence, lastSequence + 1 - recordsMax);
  let [at, since] = [begin, 0];
  while (at <= lastSequence) {
    const runs = await log.read(partition, at, limits.portalReadBytesMax);
    if (runs.length === 0) break;
    for (const { firstSequence: first, count, time, bytes, start } of runs) {
      since ||= time;
      let next = start;
      for (let sequence = first; sequence < first + count; sequence++) {
        const from = next + 4;
        next = from + bytes.readUInt32LE(next);
        // A run may begin before the place that was asked for.
        if (sequence >= at) hear({ bytes, from, to: next });
      }
      at = Math.max(at, first + count);
    }
    log.giveBack(runs);
  }
  return begin === firstSequence ? {} : { lookedSince: new Date(since).toISOString() };
}

const TYPE = Buffer.from('"type":"');
const QUOTE = 0x22;

/** The event's type, of which nothing is decoded: most events that are looked through are of other types. Undefined = the record is damaged. */
export function typeOfEvent({ bytes, from, to }: StoredEvent): string | undefined {
  const at = bytes.indexOf(TYPE, from) + TYPE.length;
  const end = bytes.indexOf(QUOTE, at);
  return at < TYPE.length || end === -1 || end >= to ? undefined : bytes.toString('latin1', at, end);
}

/** Undefined of a record that is damaged: the others are of use all the same. */
export function toldEvent({ bytes, from, to }: StoredEvent): ToldEvent | undefined {
  try {
    const message = readBareMessage(bytes.subarray(from + RECORD_HEADER_BYTES, to));
    const event: unknown = JSON.parse(message.body.toString('utf8'));
    return typeof event === 'object' && event !== null ? (event as ToldEvent) : undefined;
  } catch {
    return undefined;
  }
}
