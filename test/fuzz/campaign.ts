/**
 * How the fuzzers run: a campaign draws inputs from a seed, one after the other, until its time is over. Input `n` comes
 * from the seed, the campaign's name and `n` alone, so that a failure is repeated by itself:
 *
 *     MOORING_FUZZ_SEED=7 MOORING_FUZZ_INPUT=1234 node --test test/fuzz/codecs.test.ts
 *
 * `MOORING_FUZZ_SECONDS` makes every campaign longer (a night: 3600).
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { seededRandom } from '../../src/base/random.ts';

export const seed = Number(process.env.MOORING_FUZZ_SEED ?? Date.now() % 2 ** 31);
const only = process.env.MOORING_FUZZ_INPUT;
const stretch = process.env.MOORING_FUZZ_SECONDS;

/** Where an input's choices come from. */
export interface Chance {
  /** A whole number from 0 to below `max`. */
  below(max: number): number;
  /** True once in so many times. */
  once(times: number): boolean;
  pick<T>(from: readonly T[]): T;
  bytes(count: number): Buffer;
}

export function chanceOf(name: string, input: number): Chance {
  let hash = seed >>> 0;
  for (const byte of Buffer.from(`${name} ${input}`)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  const random = seededRandom(hash);
  const below = (max: number): number => Math.floor(random.next() * max);
  return {
    below,
    once: (times) => below(times) === 0,
    pick: (from) => from[below(from.length)],
    bytes: (count) => random.bytes(count),
  };
}

export interface Result {
  readonly inputs: number;
  /** Milliseconds of the slowest input. */
  readonly slowestMs: number;
}

/**
 * Feeds inputs to `take` for about `seconds` (or the longer time that was asked for) and says how many they were.
 * @throws Error that names the input, when `take` throws.
 */
export async function campaign(
  name: string,
  seconds: number,
  take: (chance: Chance, input: number) => void | Promise<void>,
): Promise<Result> {
  const end = performance.now() + 1000 * (stretch === undefined ? seconds : Number(stretch));
  let slowestMs = 0;
  let inputs = 0;
  for (let input = only === undefined ? 0 : Number(only); ; input++) {
    const begun = performance.now();
    try {
      await take(chanceOf(name, input), input);
    } catch (error) {
      const repeat = `MOORING_FUZZ_SEED=${seed} MOORING_FUZZ_INPUT=${input}`;
      throw new Error(`${name}: input ${input} of seed ${seed} failed (${repeat})`, { cause: error });
    }
    inputs++;
    const now = performance.now();
    slowestMs = Math.max(slowestMs, now - begun);
    if (now >= end || only !== undefined) break;
  }
  console.log(`fuzz ${name}: ${inputs} inputs, slowest ${slowestMs.toFixed(1)} ms, seed ${seed}`);
  return { inputs, slowestMs };
}

/** Kept inputs of a kind: one a line, as a JSON text. */
export function corpus(name: string): readonly string[] {
  const text = readFileSync(path.join(import.meta.dirname, 'corpus', `${name}.jsonl`), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as string);
}
