/**
 * What one input costs its parser: bytes that are allocated, garbage included, and CPU time. An input over the bounds is a
 * failure like a crash, and is reduced: what is cut off without which it still costs too much is no part of the cause. With
 * `MOORING_FUZZ_KEEP` set, what is found goes to `corpus/dear.jsonl`, where it is looked at each time from then on.
 */
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { getHeapStatistics } from 'node:v8';

const kept = path.join(import.meta.dirname, 'corpus', 'dear.jsonl');

export interface Cost {
  /** Bytes of heap and of buffers outside of it. */
  readonly allocated: number;
  readonly cpuUs: number;
}

/**
 * What an input may cost at most: so much however short it is, and so much for each of its bytes. The parser with the highest
 * price takes an AMQP message apart, a MiB of values at most (`amqpMessageDecodedBytesMax`), in half a microsecond for each.
 */
const ALLOCATED_AT_ONCE_MAX = 2 * 1024 * 1024;
export const ALLOCATED_PER_BYTE_MAX = 24;
const CPU_US_AT_ONCE_MAX = 8_000;
const CPU_US_PER_BYTE_MAX = 0.06;

/** A machine that is busy elsewhere, a compiler or a collection make an input dear once, and not each time. */
const ATTEMPTS = 6;

/** So many times over the bounds twice is no accident: six attempts would take seconds. */
const FAR_OVER = 3;

/**
 * Work that no compiler makes faster meanwhile, and the microseconds that it takes where nothing else runs: a processor that two share
 * is slower for both.
 */
const text = JSON.stringify(Array.from({ length: 8000 }, (_, at) => `value ${at}`));
const TEXT_US = 300;

/** How many times slower this process is now than alone; at least 1. */
function slowness(): number {
  const times = Array.from({ length: 5 }, () => {
    const cpu = process.cpuUsage();
    JSON.parse(text);
    const { user, system } = process.cpuUsage(cpu);
    return user + system;
  });
  return Math.max(1, times.toSorted((a, b) => a - b)[2] / TEXT_US);
}

/** What keeps the machine busy may last longer than the attempts: milliseconds that are waited before it is tried again. */
const PAUSES_MS = [50, 200, 1000];
const nobody = new Int32Array(new SharedArrayBuffer(4));

function allocatedNow(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

const isLarge = ({ allocated }: Cost, bytes: number, perByteMax: number): boolean =>
  allocated > ALLOCATED_AT_ONCE_MAX + perByteMax * bytes;
const cpuUsMax = (bytes: number): number => CPU_US_AT_ONCE_MAX + CPU_US_PER_BYTE_MAX * bytes;

export function isOver(cost: Cost, bytes: number, perByteMax = ALLOCATED_PER_BYTE_MAX): boolean {
  return isLarge(cost, bytes, perByteMax) || cost.cpuUs > cpuUsMax(bytes);
}

function once(parse: () => unknown): Cost {
  const allocated = allocatedNow();
  const cpu = process.cpuUsage();
  try {
    parse();
  } catch {
    // A refusal, or a fault that another campaign looks for.
  }
  const { user, system } = process.cpuUsage(cpu);
  // A collection meanwhile makes it negative: then nothing is known.
  return { allocated: Math.max(0, allocatedNow() - allocated), cpuUs: user + system };
}

/** Undefined = within the bounds, once at least. */
export function overCost(parse: () => unknown, bytes: number, perByteMax = ALLOCATED_PER_BYTE_MAX): Cost | undefined {
  let cost: Cost | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    cost = once(parse);
    if (!isOver(cost, bytes, perByteMax)) return undefined;
    // Memory does not depend on who else uses the processor; what tells how slow that is would cost some, too.
    if (attempt === 0 || isLarge(cost, bytes, perByteMax)) continue;
    const cpuUs = cost.cpuUs / slowness();
    if (cpuUs <= cpuUsMax(bytes)) return undefined;
    if (cpuUs > FAR_OVER * cpuUsMax(bytes)) return cost;
  }
  return cost;
}

/** A shorter input that costs too much as well: halves, quarters and so on are left out as long as it does. */
export function reduced(input: Buffer, isDear: (input: Buffer) => boolean): Buffer {
  let least = input;
  for (let parts = 2; parts <= 64 && least.length > 1; ) {
    const size = Math.ceil(least.length / parts);
    let shorter: Buffer | undefined;
    for (let at = 0; at < least.length && shorter === undefined; at += size) {
      const without = Buffer.concat([least.subarray(0, at), least.subarray(at + size)]);
      if (without.length < least.length && isDear(without)) shorter = without;
    }
    if (shorter === undefined) parts *= 2;
    else least = shorter;
  }
  return least;
}

export class TooDear extends Error {
  override readonly name = 'TooDear';
  readonly input: Buffer;
  /** For `corpus/dear.jsonl`. */
  readonly line: string;

  constructor(parser: string, input: Buffer, { allocated, cpuUs }: Cost) {
    const shown = input.length > 200 ? `${input.toString('hex', 0, 200)}…` : input.toString('hex');
    super(`${parser}: ${input.length} bytes cost ${allocated} bytes of memory and ${cpuUs} µs: ${shown}`);
    this.input = input;
    this.line = JSON.stringify(JSON.stringify({ parser, input: input.toString('base64') }));
  }
}

/**
 * Feeds an input.
 * @param perByteMax bytes of memory for each byte
 * @throws TooDear with the shortest input found that costs too much
 */
export function priced(
  parser: string,
  input: Buffer,
  parse: (input: Buffer) => unknown,
  perByteMax = ALLOCATED_PER_BYTE_MAX,
): void {
  let cost = overCost(() => parse(input), input.length, perByteMax);
  for (const pause of PAUSES_MS) {
    if (cost === undefined) return;
    if (isLarge(cost, input.length, perByteMax)) break;
    Atomics.wait(nobody, 0, 0, pause);
    cost = overCost(() => parse(input), input.length, perByteMax);
  }
  if (cost === undefined) return;
  const least = reduced(input, (each) => {
    const dear = overCost(() => parse(each), each.length, perByteMax);
    cost = dear ?? cost;
    return dear !== undefined;
  });
  // What was no fault of the input is over by now.
  if (overCost(() => parse(input), input.length, perByteMax) === undefined) return;
  const found = new TooDear(parser, least, cost);
  if (process.env.MOORING_FUZZ_KEEP !== undefined) appendFileSync(kept, `${found.line}\n`);
  throw found;
}
