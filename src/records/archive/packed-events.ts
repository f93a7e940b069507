/** Events next to each other in memory, so that they can be sent to another thread. What writes files is not loaded with it. */
import type { RoutedEvent } from '../../core/routes/ports.ts';

/** Numbers of one event among `PackedEvents.places`: sequence number, time, whether it is shown, start and end of its record. */
export const PLACE_NUMBERS = 5;

export interface PackedEvents {
  /** Records behind each other, with what lay between them. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly places: Float64Array<ArrayBuffer>;
  /** Of each event; absent = none has any. */
  readonly enrichments?: readonly RoutedEvent['enrichments'][];
}

/** So many bytes between two records are copied with them: a log has the length of each before it. */
const GAP_BYTES = 4;

/**
 * Records that lie next to each other are copied at once: one by one they cost four times as much.
 * @param memory for the records, if it is large enough: it is the caller's no more
 */
export function packEvents(events: readonly RoutedEvent[], memory?: ArrayBuffer): PackedEvents {
  const places = new Float64Array(events.length * PLACE_NUMBERS);
  const stretches: Stretch[] = [];
  let size = 0;
  let last: Stretch | undefined;
  let place = 0;
  for (const { sequence, time, isShown, bytes, start, end } of events) {
    const gap = last?.bytes === bytes ? start - last.end : -1;
    if (last === undefined || gap < 0 || gap > GAP_BYTES) {
      last = { bytes, start, end: start, at: size };
      stretches.push(last);
    }
    last.end = end;
    size = last.at + end - last.start;
    places[place++] = sequence;
    places[place++] = time;
    places[place++] = isShown ? 1 : 0;
    places[place++] = size - (end - start);
    places[place++] = size;
  }
  const packed =
    memory !== undefined && memory.byteLength >= size ? new Uint8Array(memory, 0, size) : new Uint8Array(size);
  for (const { bytes, start, end, at } of stretches) packed.set(bytes.subarray(start, end), at);
  const enriched = events.some(({ enrichments }) => enrichments.length > 0);
  return { bytes: packed, places, ...(enriched && { enrichments: events.map(({ enrichments }) => enrichments) }) };
}

interface Stretch {
  readonly bytes: Buffer;
  readonly start: number;
  end: number;
  /** Its place among what is packed. */
  readonly at: number;
}
