/** Events next to each other in memory, so that they can be sent to another thread. What writes files is not loaded with it. */
import type { RoutedEvent } from '../../core/routes/ports.ts';

/** Numbers of one event among `PackedEvents.places`: sequence number, time, whether it is shown, and the end of its record. */
export const PLACE_NUMBERS = 4;

export interface PackedEvents {
  /** Records behind each other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly places: Float64Array<ArrayBuffer>;
  /** Of each event; absent = none has any. */
  readonly enrichments?: readonly RoutedEvent['enrichments'][];
}

export function packEvents(events: readonly RoutedEvent[]): PackedEvents {
  const bytes = new Uint8Array(events.reduce((sum, { start, end }) => sum + end - start, 0));
  const places = new Float64Array(events.length * PLACE_NUMBERS);
  let at = 0;
  for (const [nth, event] of events.entries()) {
    bytes.set(event.bytes.subarray(event.start, event.end), at);
    at += event.end - event.start;
    places.set([event.sequence, event.time, event.isShown ? 1 : 0, at], nth * PLACE_NUMBERS);
  }
  const enriched = events.some(({ enrichments }) => enrichments.length > 0);
  return { bytes, places, ...(enriched && { enrichments: events.map(({ enrichments }) => enrichments) }) };
}
