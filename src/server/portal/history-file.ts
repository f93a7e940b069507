/**
 * What the charts of the portal show of the past, in one file of fixed size: rings of slots, each with its time, its values and a
 * checksum. A slot is written in one piece at its place, so that a hub that is killed leaves the file as it was before or
 * after; a slot that is torn by a loss of power fails its checksum and counts as never written. It is no record of the hub: a
 * file that cannot be read is begun anew.
 *
 *     0   u32le  CRC-32 of the bytes behind it
 *     4   u32le  0
 *     8   f64le  UTC milliseconds at which the step begins
 *     16  f64le  values, in the order of `historyValues`; NaN = not known
 */
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** What is kept of each step. Rates per second, latencies in milliseconds, sizes in bytes. */
export const historyValues = [
  'connected',
  'messagesIn',
  'bytesIn',
  'messagesOut',
  'refused',
  'latencyP50',
  'latencyP99',
  'diskUsed',
  'diskFree',
] as const;
export type HistoryValue = (typeof historyValues)[number];
export type HistoryPoint = Readonly<Record<HistoryValue, number | undefined>>;

const HEAD_BYTES = 16;
const SLOT_BYTES = HEAD_BYTES + 8 * historyValues.length;

export interface Ring {
  readonly stepMs: number;
  readonly slots: number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/** Fine for the last hour, a minute for the last day, ten minutes for the last eight days. The file's layout: a change begins it anew. */
export const historyRings: readonly Ring[] = [
  { stepMs: 10 * SECOND_MS, slots: 361 },
  { stepMs: MINUTE_MS, slots: 1441 },
  { stepMs: 10 * MINUTE_MS, slots: 1153 },
];

/** The file, read whole at its opening and kept in memory: a quarter of a megabyte. */
export class HistoryFile {
  /** Absent where it cannot be opened: the past is then what this process has seen. */
  readonly #handle: FileHandle | undefined;
  readonly #bytes: Buffer;
  readonly #failed: (error: unknown) => void;
  /** The disk has not taken everything: it is full, or fails. */
  #isBehind = false;

  private constructor(handle: FileHandle | undefined, bytes: Buffer, failed: (error: unknown) => void) {
    this.#handle = handle;
    this.#bytes = bytes;
    this.#failed = failed;
  }

  /** @param failed hears why the file cannot be used, or not any more; the hub goes on, and what it sees is in memory */
  static async open(file: string, failed: (error: unknown) => void): Promise<HistoryFile> {
    const bytes = Buffer.alloc(SLOT_BYTES * historyRings.reduce((sum, { slots }) => sum + slots, 0));
    try {
      // Made when missing, and not cut when there.
      await open(file, 'a', 0o600).then((made) => made.close());
      const handle = await open(file, 'r+');
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
      bytes.fill(0, bytesRead);
      return new HistoryFile(handle, bytes, failed);
    } catch (error) {
      failed(error);
      return new HistoryFile(undefined, bytes, failed);
    }
  }

  /**
   * Writes the step of a ring that begins at `time`. It is in memory at once, on disk when the system likes. What a full disk does not take
   * goes along with the first step that it takes again.
   */
  async put(ring: Ring, time: number, point: HistoryPoint): Promise<void> {
    const at = placeOf(ring, time);
    const slot = this.#bytes.subarray(at, at + SLOT_BYTES);
    slot.writeDoubleLE(time, 8);
    for (const [index, name] of historyValues.entries()) {
      slot.writeDoubleLE(point[name] ?? Number.NaN, HEAD_BYTES + 8 * index);
    }
    slot.writeUInt32LE(crc32(slot.subarray(4)), 0);
    if (this.#handle === undefined) return;
    try {
      await (this.#isBehind ? writeAll(this.#handle, this.#bytes, 0) : writeAll(this.#handle, slot, at));
      this.#isBehind = false;
    } catch (error) {
      // Told once: the next tries fail for the same reason.
      if (!this.#isBehind) this.#failed(error);
      this.#isBehind = true;
    }
  }

  /** The step that begins at `time`; undefined = nothing is known of it. */
  at(ring: Ring, time: number): HistoryPoint | undefined {
    const at = placeOf(ring, time);
    const slot = this.#bytes.subarray(at, at + SLOT_BYTES);
    if (slot.readDoubleLE(8) !== time || slot.readUInt32LE(0) !== crc32(slot.subarray(4))) return undefined;
    const values = historyValues.map((name, index) => {
      const value = slot.readDoubleLE(HEAD_BYTES + 8 * index);
      return [name, Number.isNaN(value) ? undefined : value] as const;
    });
    return Object.fromEntries(values) as HistoryPoint;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }
}

/** A full disk may take a part. @throws Error of the disk */
async function writeAll(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

/** Where the slot of a time is in the file: rings lie behind each other. */
function placeOf(ring: Ring, time: number): number {
  const before = historyRings.slice(0, historyRings.indexOf(ring)).reduce((sum, { slots }) => sum + slots, 0);
  return SLOT_BYTES * (before + (Math.floor(time / ring.stepMs) % ring.slots));
}
