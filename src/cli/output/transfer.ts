import type { Terminal } from '../terminal.ts';
import { progressLine } from './progress.ts';
import { byteCount, duration } from './values.ts';

export interface TransferState {
  readonly name: string;
  /** Bytes. */
  readonly done: number;
  readonly total: number;
  /** 0 = not known yet. */
  readonly bytesPerSecond: number;
}

const BAR = 20;
/** A line with fewer columns has no bar. */
const BAR_COLUMNS_MIN = 70;
/** The rate is that of the last so many milliseconds: what was long ago says little of the time that is left. */
const RATE_MS = 5000;

/** `fw.bin  [#####---------------]  25 %  12.3 MiB of 49.2 MiB  4.50 MiB/s  8.2 s left` */
export function transferText({ name, done, total, bytesPerSecond }: TransferState, columns: number): string {
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const filled = Math.floor(share * BAR);
  const parts = [
    name,
    `${columns < BAR_COLUMNS_MIN ? '' : `[${'#'.repeat(filled)}${'-'.repeat(BAR - filled)}] `}${`${Math.floor(share * 100)}`.padStart(3)} %`,
    `${byteCount(done)} of ${byteCount(total)}`,
  ];
  if (bytesPerSecond > 0) {
    parts.push(`${byteCount(bytesPerSecond)}/s`);
    if (done < total) parts.push(`${duration(((total - done) / bytesPerSecond) * 1000)} left`);
  }
  return parts.join('  ');
}

/** Passes a file's bytes on, and shows a person how far it has come and when it will be done. */
export async function* metered(
  source: AsyncIterable<Uint8Array>,
  { name, total }: Pick<TransferState, 'name' | 'total'>,
  terminal: Terminal,
): AsyncGenerator<Uint8Array> {
  const line = progressLine(terminal);
  let done = 0;
  let samples = [{ at: performance.now(), done }];
  try {
    for await (const piece of source) {
      yield piece;
      done += piece.length;
      const now = performance.now();
      const last = samples[samples.length - 1];
      if (now - last.at >= 100) samples = [...samples.filter(({ at }) => now - at < RATE_MS), { at: now, done }];
      const [first] = samples;
      const bytesPerSecond = now - first.at < 100 ? 0 : ((done - first.done) / (now - first.at)) * 1000;
      line.show(transferText({ name, done, total, bytesPerSecond }, terminal.err.columns()));
    }
  } finally {
    line.end();
  }
}
