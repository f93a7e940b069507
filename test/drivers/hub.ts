/**
 * Starts the real hub as a process of its own, on free ports and in a folder of its own.
 *
 *     await using hub = await startHub();
 *     connect(hub.endpoints.ports.mqtts, hub.ca);
 *
 * `await using` stops the hub and removes its folder. A test that outlives its hub may also call `stop`, `kill` and
 * `restart` itself. A hub never outlives the process that started it. `MOORING_TEST_THREADS` gives every hub
 * that many listener threads, unless the test says how many; `MOORING_TEST_KAFKA` with `MOORING_TEST_POSTGRES` has every hub keep what
 * it has in these, in topics and a schema of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Endpoints } from '../../src/api/endpoints.ts';
import { freePorts } from './free-ports.ts';

const root = path.join(import.meta.dirname, '..', '..');
const main = path.join(root, 'src', 'main.ts');
/** A start on Kafka and PostgreSQL makes topics and tables; a busy machine needs most of a minute for it. */
const READY_MS_MAX = 90_000;
const STOP_MS_MAX = 20_000;
const OUTPUT_CHARS_MAX = 4_000_000;

export interface HubOptions {
  /** Given: kept when the hub is disposed of. Absent: a new one, removed then. */
  readonly dataDir?: string;
  /** Flags behind `serve`, e.g. `['--partitions', '8']`. They win over the free ports that are asked for otherwise. */
  readonly args?: readonly string[];
  /** Variables beside those of this process (whose own `MOORING_…` are left out). */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface TestHub extends AsyncDisposable {
  readonly dataDir: string;
  readonly pid: number;
  /** What `endpoints.json` says. */
  readonly endpoints: Endpoints;
  /** The CA's certificate in PEM, for clients. */
  readonly ca: string;
  /** Milliseconds from the start of the process to `ready`. */
  readonly readyMs: number;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
  /** Resolves when the log (stderr) has matched, also before the call. */
  logged(pattern: RegExp): Promise<void>;
  /** Resolves when the process has ended, for whatever reason. */
  readonly ended: Promise<Exit>;
  /** SIGTERM, and waits until it has drained. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
  /** `kill -9`. */
  kill(): Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
  /** Starts it again (after `stop` or `kill`) with the same folder, flags and ports. */
  restart(changes?: Pick<HubOptions, 'args' | 'env'>): Promise<TestHub>;
}

const portFlags = {
  mqtts: 'mqtts',
  amqps: 'amqps',
  https: 'https',
  admin: 'admin',
  amqp: 'amqp',
  mqtt: 'mqtt',
} as const;

/** @throws Error with everything that the hub wrote, when it ends or stays silent instead of becoming ready. */
export async function startHub(options: HubOptions = {}): Promise<TestHub> {
  const ownFolder = options.dataDir === undefined ? mkdtempSync(path.join(tmpdir(), 'mooring-hub-')) : undefined;
  const dataDir = options.dataDir ?? path.join(ownFolder ?? '', 'data');
  try {
    return await launch({ ...options, dataDir }, ownFolder);
  } catch (error) {
    if (ownFolder !== undefined) rmSync(ownFolder, { recursive: true, force: true });
    throw error;
  }
}

async function launch(options: HubOptions & { dataDir: string }, ownFolder: string | undefined): Promise<TestHub> {
  const { dataDir, args = [], env = {} } = options;
  const flags = Object.values(portFlags)
    .map((name) => `--${name}-port`)
    .filter((flag) => !args.some((argument) => argument === flag || argument.startsWith(`${flag}=`)));
  // Not 0: while a hub is away, a client that tries to reach it may get its very port from the system, if that may give it.
  const ports = await freePorts(flags.length);
  const free = flags.flatMap((flag, at) => [flag, String(ports[at])]);
  const threads = process.env.MOORING_TEST_THREADS;
  const chosen = threads === undefined || args.includes('--threads') ? [] : ['--threads', threads];
  const started = performance.now();
  const cluster = clusterOf(dataDir, args);
  const isCluster = [...cluster.args, ...args].includes('cluster') && !args.includes('--node-port');
  const nodePort = isCluster ? ['--node-port', '0'] : [];
  const run = watched(['serve', '--data-dir', dataDir, ...free, ...chosen, ...nodePort, ...cluster.args, ...args], {
    ...cluster.env,
    ...env,
  });
  await readyOf(run);
  const readyMs = performance.now() - started;
  const endpoints = JSON.parse(readFileSync(path.join(dataDir, 'endpoints.json'), 'utf8')) as Endpoints;
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> => {
    run.child.kill(signal);
    return within(STOP_MS_MAX, run.ended, () => `the hub did not stop\n${run.err()}`);
  };
  const pinned = Object.entries(portFlags).flatMap(([name, flag]) => [
    `--${flag}-port`,
    String(endpoints.ports[name as keyof Endpoints['ports']] ?? 'off'),
  ]);
  return {
    dataDir,
    pid: run.child.pid as number,
    endpoints,
    ca: readFileSync(endpoints.caFile, 'utf8'),
    readyMs,
    stdout: run.out,
    stderr: run.err,
    logged: run.logged,
    ended: run.ended,
    stop,
    kill: () => stop('SIGKILL'),
    signal: (signal) => void run.child.kill(signal),
    restart: (changes = {}) => {
      const kept = withoutPorts(args);
      const next = { dataDir, args: [...pinned, ...kept, ...(changes.args ?? [])], env: { ...env, ...changes.env } };
      return launch(next, ownFolder);
    },
    async [Symbol.asyncDispose]() {
      if (run.child.exitCode === null && run.child.signalCode === null) await stop();
      if (ownFolder !== undefined) rmSync(ownFolder, { recursive: true, force: true });
    },
  };
}

/** Where the hub of a data folder keeps what it has; the same for each of its runs. */
function clusterOf(dataDir: string, args: readonly string[]): Required<Pick<HubOptions, 'args' | 'env'>> {
  const { MOORING_TEST_KAFKA: kafka, MOORING_TEST_POSTGRES: postgres } = process.env;
  // Several listener threads are for a hub on its own disk.
  const isEmbedded =
    args.includes('--storage') || (args.includes('--threads') && args[args.indexOf('--threads') + 1] !== '1');
  if (kafka === undefined || postgres === undefined || isEmbedded) return { args: [], env: {} };
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  return {
    args: [
      ...['--storage', 'cluster', '--kafka-brokers', kafka, '--kafka-topic-prefix', `${name}-`],
      ...['--kafka-replicas', '1', '--kafka-in-sync-min', '1', '--postgres-schema', `hub_${name}`],
    ],
    env: { MOORING_POSTGRES_URL: postgres },
  };
}

/** The flags without those of ports, which a restart pins to what they were. */
function withoutPorts(args: readonly string[]): readonly string[] {
  const isPort = (argument: string | undefined): boolean =>
    argument !== undefined && /^--[a-z]+-port(=|$)/.test(argument);
  return args.filter((argument, at) => !isPort(argument) && !(isPort(args[at - 1]) && !args[at - 1].includes('=')));
}

export interface Finished extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of `mooring` to its end, e.g. `['config', 'print']`, or a `serve` that is to be refused. */
export async function runMooring(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const run = watched(args, env);
  try {
    const exit = await within(
      READY_MS_MAX,
      run.ended,
      () => `mooring ${args[0]} did not end\n${run.out()}${run.err()}`,
    );
    return { ...exit, stdout: run.out(), stderr: run.err() };
  } finally {
    run.child.kill('SIGKILL');
  }
}

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<Exit>;
  out(): string;
  err(): string;
  logged(pattern: RegExp): Promise<void>;
  /** Calls `look` now and after each piece of output, until it returns true. */
  watch(look: () => boolean): void;
}

const running = new Set<ChildProcess>();
const killAll = (): void => {
  for (const child of running) child.kill('SIGKILL');
};
process.on('exit', killAll);
// The test runner ends a file that takes too long by signal, and then there is no `exit`.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll();
    process.kill(process.pid, signal);
  });
}

function watched(args: readonly string[], env: Readonly<Record<string, string>>): Run {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MOORING_'));
  const child = spawn(process.execPath, [main, ...args], {
    cwd: root,
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let [out, err] = ['', ''];
  let looks: (() => boolean)[] = [];
  const look = (): void => {
    looks = looks.filter((one) => !one());
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out = (out + text).slice(-OUTPUT_CHARS_MAX);
    look();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = (err + text).slice(-OUTPUT_CHARS_MAX);
    look();
  });
  const ended = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    // `close` comes after the last output, `exit` may come before it.
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  const watch = (one: () => boolean): void => {
    if (!one()) looks.push(one);
  };
  const logged = (pattern: RegExp): Promise<void> => {
    const seen = new Promise<void>((resolve) => {
      watch(() => {
        const found = pattern.test(err);
        if (found) resolve();
        return found;
      });
    });
    return within(READY_MS_MAX, seen, () => `the log never matched ${pattern}\n${err}`);
  };
  return { child, ended, out: () => out, err: () => err, logged, watch };
}

async function readyOf(run: Run): Promise<void> {
  const said = (): string => `${run.out().replace(/SharedAccessKey=[^;\s]+/g, 'SharedAccessKey=…')}${run.err()}`;
  const ready = new Promise<void>((resolve) => {
    run.watch(() => {
      const found = /^ready$/m.test(run.out());
      if (found) resolve();
      return found;
    });
  });
  const early = run.ended.then(({ code, signal }) => {
    throw new Error(`the hub ended (${signal ?? code}) before it was ready\n${said()}`);
  });
  try {
    await within(READY_MS_MAX, Promise.race([ready, early]), () => `the hub was not ready in time\n${said()}`);
  } catch (error) {
    run.child.kill('SIGKILL');
    throw error;
  }
  early.catch(() => {});
}

async function within<T>(limitMs: number, promise: Promise<T>, complaint: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(complaint())), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
