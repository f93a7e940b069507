/** Room on the disk of the data folder, and how much of it events may take. */
import { statfs } from 'node:fs/promises';
import { limits } from '../../../base/limits.ts';
import type { HealthCheck } from './health.ts';

export interface DiskRoom {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Room on the disk of the data folder. @throws Error if the system does not tell */
export async function diskRoom(folder: string): Promise<DiskRoom> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** A log on that disk. */
interface CheckedLog {
  readonly name: string;
  /** `bytesMax` is infinite where the log has no bound. */
  stats(): { readonly bytes: number; readonly bytesMax: number };
}

export interface DiskCheckParts {
  /** The data folder. */
  readonly folder: string;
  /** Two files of the event log are to fit. */
  readonly segmentBytes: number;
  readonly logs: readonly CheckedLog[];
  /** Of the reserve for a start on a full disk; undefined while it is not known. */
  reserveBytes(): number | undefined;
}

/** Little room is a warning: a full disk shows itself where something cannot be written. Says what bounds events in any case. */
export function diskCheck({ folder, segmentBytes, logs, reserveBytes }: DiskCheckParts): HealthCheck {
  return {
    name: 'disk',
    async look() {
      const { freeBytes, totalBytes } = await diskRoom(folder);
      // Of a hub whose events are elsewhere there is nothing to say.
      const events = logs.length === 0 ? '' : `; ${logs.map(boundText).join(', ')}`;
      const missing = limits.diskReserveBytes - (reserveBytes() ?? limits.diskReserveBytes);
      const reserve = missing <= 0 ? '' : `; the reserve for a start on a full disk lacks ${kibibytes(missing)}`;
      const isShort = freeBytes < Math.max(2 * segmentBytes, totalBytes * limits.diskFreeShareMin);
      if (!isShort && missing <= 0) return { status: 'ok', reason: `${sizeText(freeBytes)} are free${events}` };
      const share = totalBytes === 0 ? 0 : Math.floor((100 * freeBytes) / totalBytes);
      return {
        status: 'warn',
        reason: `${sizeText(freeBytes)} (${share} %) are free on the disk of the data folder${events}${reserve}`,
        remedy: isShort
          ? 'Make room, or keep events for a shorter time: retentionDays, retentionBytes.'
          : 'The hub makes the reserve again by itself within a minute; see that the data folder can be written.',
      };
    },
  };
}

function boundText({ name, stats }: DiskCheckParts['logs'][number]): string {
  const { bytes, bytesMax } = stats();
  const bound = Number.isFinite(bytesMax) ? `of at most ${sizeText(bytesMax)}` : 'without a bound (retentionBytes)';
  return `${name} has ${sizeText(bytes)} ${bound}`;
}

const kibibytes = (bytes: number): string => `${Math.ceil(bytes / 1024)} KiB`;

/** @returns `12 MiB`, `3.4 GiB` */
function sizeText(bytes: number): string {
  return bytes < 10 * 2 ** 30 ? `${Math.floor(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
