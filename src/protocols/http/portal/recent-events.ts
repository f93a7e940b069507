/** The last monitoring events, for a page that begins to follow them: what happened before it was opened. */
import { limits } from '../../../base/limits.ts';
import type { Hub } from '../../../core/hub.ts';
import type { Principal } from '../../../core/identity/types.ts';
import { readBareMessage } from '../../../wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES } from '../../../wire/amqp/record.ts';
import { AlikeEvents, type ToldEvent } from './stream/alike-events.ts';

/**
 * At most `top`, the newest last, as pages are told of them: what one caller did many times is one entry, counted among the newest
 * `portalRecentEventsLookedMax`. Asked for as a reader of the stream of monitoring is.
 * @throws HubError IotHubUnauthorizedAccess, AmqpAddressNotFound (there is no monitoring)
 */
export async function recentEvents(
  hub: Pick<Hub, 'name' | 'events'>,
  principal: Principal,
  top: number,
): Promise<readonly object[]> {
  const place = { eventHub: `${hub.name}-monitoring`, consumerGroup: '$Default', partition: '0' };
  const { log, partition } = await hub.events.openReader(principal, place);
  const { firstSequence, lastSequence } = await log.partition(partition);
  const events = new AlikeEvents();
  let at = Math.max(firstSequence, lastSequence + 1 - limits.portalRecentEventsLookedMax);
  while (at <= lastSequence) {
    const runs = await log.read(partition, at, limits.portalReadBytesMax);
    if (runs.length === 0) break;
    for (const { firstSequence: first, count, bytes, start } of runs) {
      let place = start;
      for (let sequence = first; sequence < first + count; sequence++) {
        const from = place + 4;
        place = from + bytes.readUInt32LE(place);
        // A run may begin before the place that was asked for.
        if (sequence < at) continue;
        const event = told(bytes.subarray(from + RECORD_HEADER_BYTES, place));
        if (event !== undefined) events.add(event);
      }
      at = Math.max(at, first + count);
    }
    log.giveBack(runs);
  }
  return events.take().slice(-top);
}

/** Undefined of a record that is damaged: the others are of use all the same. */
function told(message: Buffer): ToldEvent | undefined {
  try {
    const event: unknown = JSON.parse(readBareMessage(message).body.toString('utf8'));
    return typeof event === 'object' && event !== null ? (event as ToldEvent) : undefined;
  } catch {
    return undefined;
  }
}
