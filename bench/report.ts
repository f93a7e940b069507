import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { median } from './process-facts.ts';

/** How long a bench measures, and where its servers keep what they store. */
export interface RoundOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

/** Median, smallest and largest of the rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** `12,345 (11,000..13,200)`; one round shows one figure. */
export function show({ median: middle, min, max }: Spread): string {
  return min === max ? figure(middle) : `${figure(middle)} (${figure(min)}..${figure(max)})`;
}

/** Three digits that count: `123,456`, `12.3`, `0.45`. */
export function figure(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A table for people; the first row is its head. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    process.stdout.write(
      `${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('  ')}\n`,
    );
  }
}

/** Writes the whole result as JSON to `file`, or into `bench/results/` under the bench's name, time and revision. */
export function writeResult(bench: string, result: object, file?: string): string {
  const revision = revisionOf(import.meta.dirname);
  const when = new Date().toISOString();
  const target =
    file ?? path.join(import.meta.dirname, 'results', `${bench}-${when.replaceAll(/[:.]/g, '')}-${revision}.json`);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, `${JSON.stringify({ bench, when, revision, ...result }, null, 2)}\n`);
  return target;
}

/** The checkout's short commit; `unknown` in a copy without its history. */
function revisionOf(folder: string): string {
  const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: folder, encoding: 'utf8' });
  return git.status === 0 ? git.stdout.trim() : 'unknown';
}
