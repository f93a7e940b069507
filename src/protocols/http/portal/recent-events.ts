/** The last monitoring events, for a page that begins to follow them: what happened before it was opened. */
import { limits } from '../../../base/limits.ts';
import type { Hub } from '../../../core/hub.ts';
import type { Principal } from '../../../core/identity/types.ts';
import { openMonitoring, readMonitoringEnd, toldEvent } from '../monitoring-end.ts';
import { AlikeEvents } from './stream/alike-events.ts';

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
  const events = new AlikeEvents();
  await readMonitoringEnd(await openMonitoring(hub, principal), limits.portalRecentEventsLookedMax, (stored) => {
    const event = toldEvent(stored);
    if (event !== undefined) events.add(event);
  });
  return events.take().slice(-top);
}
