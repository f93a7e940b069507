/** The file that is made of packed events, in a thread of its own. */
import type { ArchiveFormat } from '../../core/archive/types.ts';
import type { RoutedEvent } from '../../core/routes/ports.ts';
import { createEncoder, type FileFacts } from './archive-format.ts';
import type { ArchiveEncoder } from './encoder.ts';
import type { RowReader } from './event-row.ts';
import { type PackedEvents, PLACE_NUMBERS } from './packed-events.ts';

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
