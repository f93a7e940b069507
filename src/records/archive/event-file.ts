/** The file that is made of packed events, in a thread of its own. */
import type { ArchiveFormat } from '../../core/archive/types.ts';
import type { RoutedEvent } from '../../core/routes/ports.ts';
import { createEncoder, type FileFacts } from './archive-format.ts';
import type { ArchiveEncoder } from './encoder.ts';
import { type PackedEvents, PLACE_NUMBERS } from './packed-events.ts';
import type { RowReader } from './row-reader.ts';

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
    const { places } = events;
    for (let nth = 0, at = 0; at < places.length; nth++, at += PLACE_NUMBERS) {
      const place = {
        partition: this.#partition,
        sequence: places[at],
        time: places[at + 1],
        isShown: places[at + 2] === 1,
        enrichments: events.enrichments?.[nth] ?? NOTHING_ADDED,
      };
      this.#encoder.add(this.#rows.read(place, bytes, places[at + 3], places[at + 4]));
    }
    this.#pieces.push(...this.#encoder.take());
  }

  finish(): Uint8Array<ArrayBuffer>[] {
    return [...this.#pieces, ...this.#encoder.finish()];
  }
}
