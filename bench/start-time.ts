import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { cpuSeconds, machine } from './process-facts.ts';
import { printTable, type Spread, show, spread, writeResult } from './report.ts';
import { startHub } from './servers/hub.ts';
import type { Checkout } from './servers/revision.ts';

export interface StartTimeOptions {
  /** This checkout first, then those that it is compared with. */
  readonly checkouts: readonly Checkout[];
  readonly rounds: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

interface Start {
  /** From the start of the process to `ready`. */
  readonly seconds: number;
  /** Of the process until then. */
  readonly cpuSeconds: number;
}

interface Round {
  /** In an empty folder: the certificates, keys and stores are made. */
  readonly first: Start;
  /** In the folder of the first, which ended in an orderly way. */
  readonly again: Start;
}

/**
 * How long the hub takes to start, in an empty folder and in one that is there, in alternating rounds. What starts is built
 * first, as it is published: of the source each start would strip the types again, file by file.
 */
export async function startTime(options: StartTimeOptions): Promise<void> {
  const { checkouts, jsonFile } = options;
  for (const { folder } of checkouts) build(folder);
  mkdirSync(options.directory, { recursive: true });
  const rounds: Record<string, Round[]> = Object.fromEntries(checkouts.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const checkout of round % 2 === 0 ? checkouts : checkouts.toReversed()) {
      rounds[checkout.name].push(await measure(checkout, options.directory));
    }
  }
  const columns: Readonly<Record<string, (round: Round) => number>> = {
    'first start, s': ({ first }) => first.seconds,
    'CPU s': ({ first }) => first.cpuSeconds,
    'later start, s': ({ again }) => again.seconds,
    'CPU s of it': ({ again }) => again.cpuSeconds,
  };
  const [own, ...others] = checkouts;
  const ratios: Record<string, Spread> = {};
  for (const { name } of others) {
    for (const [column, of] of Object.entries(columns)) {
      ratios[`${column} against ${name}`] = spread(
        rounds[own.name].map((round, at) => of(round) / of(rounds[name][at])),
      );
    }
  }
  process.stdout.write(`start of the hub, ${options.rounds} rounds, median (min..max)\n`);
  printTable([
    ['', ...Object.keys(columns)],
    ...Object.entries(rounds).map(([name, all]) => [
      name,
      ...Object.values(columns).map((of) => show(spread(all.map(of)))),
    ]),
  ]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
  process.stdout.write(`${writeResult('start-time', { machine: machine(), rounds, ratios }, jsonFile)}\n`);
}

async function measure({ folder }: Checkout, parent: string): Promise<Round> {
  const directory = mkdtempSync(path.join(parent, 'start-'));
  try {
    return { first: await start(folder, directory), again: await start(folder, directory) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Into `dist` of the checkout. @throws Error */
function build(folder: string): void {
  rmSync(path.join(folder, 'dist'), { recursive: true, force: true });
  const compiler = path.join(folder, 'node_modules/typescript/bin/tsc');
  const run = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: folder, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`${folder} could not be built: ${run.stdout}${run.stderr}`);
}

async function start(checkout: string, directory: string): Promise<Start> {
  const begun = performance.now();
  let taken: Start | undefined;
  const hub = await startHub({
    ...{ connections: 0, tls: false, bag: '', directory, checkout, program: 'dist/main.js' },
    ready: (pid) => {
      taken = { seconds: (performance.now() - begun) / 1000, cpuSeconds: cpuSeconds(pid) };
    },
  });
  await hub.stop();
  if (taken === undefined) throw new Error('the hub was not ready');
  return taken;
}
