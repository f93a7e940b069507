/** The last monitoring events, for a page that begins to follow them: what happened before it was opened. */
import { limits } from '../../../base/limits.ts';
import type { Hub } from '../../../core/hub.ts';
import type { Principal } from '../../../core/identity/types.ts';
import { readBareMessage } from '../../../wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES } from '../../../wire/amqp/record.ts';

/**
 * At most `top`, the newest last, each as the stream of monitoring tells it. Asked for as a reader of that stream is.
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
  const events: object[] = [];
  let at = Math.max(firstSequence, lastSequence + 1 - top);
  while (at <= lastSequence) {
    const runs = await log.read(partition, at, limits.portalReadBytesMax);
    if (runs.length === 0) break;
    for (const { firstSequence: first, count, bytes, start } of runs) {
      let place = start;
      for (let sequence = first; sequence < first + count; sequence++) {
        const from = place + 4;
        place = from + bytes.readUInt32LE(place);
        // A run may begin before the place that was asked for.
        if (sequence >= at) events.push(...told(bytes.subarray(from + RECORD_HEADER_BYTES, place)));
      }
      at = Math.max(at, first + count);
    }
    log.giveBack(runs);
  }
  return events.slice(-top);
}

/** None of a record that is damaged: the others are of use all the same. */
function told(message: Buffer): readonly object[] {
  try {
    const event: unknown = JSON.parse(readBareMessage(message).body.toString('utf8'));
    return typeof event === 'object' && event !== null ? [event] : [];
  } catch {
    return [];
  }
}
