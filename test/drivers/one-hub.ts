/** One hub process for tests; `hub.ts` is what they call. */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Endpoints } from '../../src/api/endpoints.ts';
import { freePorts } from './free-ports.ts';
import { type Exit, readyOf, watched, within } from './hub-process.ts';

const STOP_MS_MAX = 20_000;

export interface HubOptions {
  /** Given: kept when the hub is disposed of. Absent: a new one, removed then. */
  readonly dataDir?: string;
  /** Flags behind `serve`, e.g. `['--partitions', '8']`. They win over the free ports that are asked for otherwise. */
  readonly args?: readonly string[];
  /** Variables beside those of this process (whose own `MOORING_…` are left out). */
  readonly env?: Readonly<Record<string, string>>;
  /** The folder of the program, where another version is meant. */
  readonly program?: string;
}

export interface TestHub extends AsyncDisposable {
  readonly dataDir: string;
  readonly pid: number;
  /** The hubs that it consists of: its nodes behind a balancer, or itself. */
  readonly nodes: readonly TestHub[];
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
  /** Starts it again (after `stop` or `kill`) with the same folder, flags, ports and program. */
  restart(changes?: Pick<HubOptions, 'args' | 'env' | 'program'>): Promise<TestHub>;
}

const portFlags = {
  mqtts: 'mqtts',
  amqps: 'amqps',
  https: 'https',
  admin: 'admin',
  amqp: 'amqp',
  mqtt: 'mqtt',
} as const;

/** @param ownFolder removed when the hub is disposed of */
export async function launch(
  options: HubOptions & { dataDir: string },
  ownFolder: string | undefined,
): Promise<TestHub> {
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
  const all = ['serve', '--data-dir', dataDir, ...free, ...chosen, ...nodePort, ...cluster.args, ...args];
  const run = watched(all, { ...cluster.env, ...env }, options.program);

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
  const hub: TestHub = {
    dataDir,
    pid: run.child.pid as number,
    get nodes() {
      return [hub];
    },
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
      const program = changes.program ?? options.program;
      const next = { dataDir, args: [...pinned, ...kept, ...(changes.args ?? [])], env: { ...env, ...changes.env } };
      return launch({ ...next, ...(program !== undefined && { program }) }, ownFolder);
    },
    async [Symbol.asyncDispose]() {
      // One that does not stop fails the test, and must not keep the file of tests from ending.
      if (run.child.exitCode === null && run.child.signalCode === null) {
        await stop().finally(() => run.child.kill('SIGKILL'));
      }
      if (ownFolder !== undefined) rmSync(ownFolder, { recursive: true, force: true });
    },
  };
  return hub;
}

/** Where the hub of a data folder keeps what it has; the same for each of its runs. */
export function clusterOf(dataDir: string, args: readonly string[]): Required<Pick<HubOptions, 'args' | 'env'>> {
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

/** The topic that has a hub's telemetry, and its broker; undefined where the hub keeps it on its own disk. */
export function clusterTopicOf(
  hub: Pick<TestHub, 'dataDir' | 'endpoints'>,
): { readonly broker: string; readonly name: string } | undefined {
  const { args } = clusterOf(hub.dataDir, []);
  if (args.length === 0) return undefined;
  const said = (flag: string): string => args[args.indexOf(flag) + 1];
  const entity = /EntityPath=([^;]+)/.exec(hub.endpoints.connectionStrings.eventHubs)?.[1];
  return { broker: said('--kafka-brokers'), name: `${said('--kafka-topic-prefix')}${entity}` };
}

/** The flags without those of ports, which a restart pins to what they were. */
function withoutPorts(args: readonly string[]): readonly string[] {
  const isPort = (argument: string | undefined): boolean =>
    argument !== undefined && /^--[a-z]+-port(=|$)/.test(argument);
  return args.filter((argument, at) => !isPort(argument) && !(isPort(args[at - 1]) && !args[at - 1].includes('=')));
}
