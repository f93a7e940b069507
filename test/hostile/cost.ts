/** What an input costs: bytes of memory that stay, and CPU time. Both are compared with themselves, so a slow machine does not matter. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { limits } from '../../src/base/limits.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that the process keeps now: heap and buffers, without garbage. */
export function keptBytes(): number {
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Bytes that the process keeps because of `doing`, as long as its result is held. */
export async function growthOf<Result>(doing: () => Result | Promise<Result>): Promise<[bytes: number, Result]> {
  const before = keptBytes();
  const result = await doing();
  return [keptBytes() - before, result];
}

/** CPU milliseconds of this process that `doing` takes; the least of a few times, because others use the machine too. */
export async function cpuMsOf(doing: () => unknown, times = 3): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let time = 0; time < times; time++) {
    const begun = process.cpuUsage();
    await doing();
    const { user, system } = process.cpuUsage(begun);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

/** Bytes that are looked at for one measurement, so that a clock of microseconds is exact enough. */
const LOOKED_AT = 2 * 1024 * 1024;

/** CPU time of `take`, for each byte of its input, in that of a loop that looks at each byte once. */
export async function looksOf(input: Buffer, take: () => unknown): Promise<number> {
  const cpuMs = async (doing: () => unknown, times: number): Promise<number> =>
    cpuMsOf(() => {
      for (let time = 0; time < times; time++) doing();
    }, 3);
  const times = Math.max(1, Math.ceil(LOOKED_AT / input.length));
  const one = await cpuMs(() => look(input), 16 * times);
  const all = await cpuMs(take, times);
  return all / (one / 16);
}

let seen = 0;

function look(bytes: Buffer): void {
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0x22) sum++;
  // So that it is not left out.
  seen += sum;
  if (seen > Number.MAX_SAFE_INTEGER / 2) seen = 0;
}

export type LimitName = keyof typeof limits;

/** Runs `doing` as if the bounds did not exist: what a test measures must then be too much, or it measures nothing. */
export async function without<Result>(names: readonly LimitName[], doing: () => Promise<Result>): Promise<Result> {
  return withLimits(Object.fromEntries(names.map((name) => [name, Number.MAX_SAFE_INTEGER])), doing);
}

/** Runs `doing` with other bounds: smaller ones are reached by fewer connections. Of a hub that is made within it. */
export async function withLimits<Result>(
  values: Readonly<Partial<Record<LimitName, number>>>,
  doing: () => Promise<Result>,
): Promise<Result> {
  const changeable = limits as { -readonly [Name in LimitName]: number };
  const names = Object.keys(values) as LimitName[];
  const before = names.map((name) => [name, limits[name]] as const);
  Object.assign(changeable, values);
  try {
    return await doing();
  } finally {
    for (const [name, value] of before) changeable[name] = value;
  }
}
