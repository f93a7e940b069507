/** Events next to each other in memory that can be sent to another thread, and the file that is made of them there. */
import type { ArchiveFormat } from '../../core/archive/types.ts';
import type { RoutedEvent } from '../../core/routes/ports.ts';
import { createEncoder, type FileFacts } from './archive-format.ts';
import type { ArchiveEncoder } from './encoder.ts';
import type { RowReader } from './event-row.ts';

/** Numbers of one event among `PackedEvents.places`: sequence number, time, whether it is shown, and the end of its record. */
const PLACE_NUMBERS = 4;

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

const NOTHING_ADDED: RoutedEvent['enrichments'] = [];

/** One file that grows by packed events. */
export class EventFile {
  readonly #partition: number;
  readonly #encoder: ArchiveEncoder;
  readonly #rows: RowReader;
  readonly #pieces: Uint8Array<ArrayBuffer>[] = [];

  /** @param rows what files that follow each other may share */
  constructor(format: ArchiveFormat, file: FileFacts, rows: RowReader) {
    this.#partition = file.partition;
    this.#encoder = createEncoder(format, file);
    this.#rows = rows;
  }

  /** @throws Error the records are none: the store is damaged */
  add(events: PackedEvents): void {
    const { buffer, byteOffset, byteLength } = events.bytes;
    const bytes = Buffer.from(buffer, byteOffset, byteLength);
    let start = 0;
    for (let nth = 0; nth * PLACE_NUMBERS < events.places.length; nth++) {
      const [sequence, time, shown, end] = events.places.subarray(nth * PLACE_NUMBERS, (nth + 1) * PLACE_NUMBERS);
      const enrichments = events.enrichments?.[nth] ?? NOTHING_ADDED;
      const place = { partition: this.#partition, sequence, time, isShown: shown === 1, enrichments };
      this.#encoder.add(this.#rows.read(place, bytes, start, end));
      start = end;
    }
    this.#pieces.push(...this.#encoder.take());
  }

  finish(): Uint8Array<ArrayBuffer>[] {
    return [...this.#pieces, ...this.#encoder.finish()];
  }
}
