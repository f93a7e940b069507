import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { runLoad } from './load/load.ts';
import { PageCache } from './page-cache.ts';
import { cpuSeconds, fdatasyncMedianMs, machine, machineBusySeconds, residentMiB } from './process-facts.ts';
import { countingReader } from './readers/counting.ts';
import { figure, printTable, type Spread, show, spread, writeResult } from './report.ts';
import { bareIngest } from './servers/bare.ts';
import { createConsumerGroups, hub, type RunningHub, startHub } from './servers/hub.ts';
import { hubWithMqttTopics } from './servers/hub-adapter.ts';
import { mosquitto } from './servers/mosquitto.ts';
import { rabbitmq } from './servers/rabbitmq.ts';
import type { ServerKind } from './servers/server.ts';
import { placeOf } from './telemetry-out.ts';

export const peers: Readonly<Record<string, ServerKind>> = {
  mosquitto,
  rabbitmq,
  bare: bareIngest('bare', 0),
  'bare-paced': bareIngest('bare-paced', 1),
  'mqtt-topics': hubWithMqttTopics('process'),
  'mqtt-topics-in-hub': hubWithMqttTopics('hub'),
};

/** The hub while so many consumer groups each read everything as it comes. */
export function hubWithReaders(groups: number): ServerKind {
  return {
    name: `mooring, ${groups} groups read`,
    acknowledges: hub.acknowledges,
    async start(options): Promise<RunningHub> {
      const running = await startHub(options);
      const names = Array.from({ length: groups }, (_, at) => `bench-${at}`);
      await createConsumerGroups(running, names);
      const tally = { events: 0 };
      for (const consumerGroup of names) {
        // They read until the hub ends, and hear of that as an error.
        countingReader({ ...placeOf(running, false), consumerGroup, tally }, Number.POSITIVE_INFINITY).catch(() => {});
      }
      return { ...running, eventsRead: () => tally.events };
    },
  };
}

/** Connections x unacknowledged messages on each x bytes of payload. */
export interface Shape {
  readonly connections: number;
  readonly inFlight: number;
  readonly payloadBytes: number;
}

export interface TelemetryInOptions {
  readonly shapes: readonly Shape[];
  readonly peers: readonly ServerKind[];
  readonly tls: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly threads: number;
  readonly ratePerSecond?: number;
  readonly bag: string;
  /** Servers keep their data in folders made below this one: the disk that is measured. */
  readonly directory: string;
  /** This checkout's, the others' measure; undefined = only they are measured. */
  readonly hub: ServerKind | undefined;
  /** Fill the page cache before each round. */
  readonly fullPageCache: boolean;
  /** All servers of a round side by side, each under its own load: what others do on the machine is the same for all of them. */
  readonly atOnce?: boolean;
  readonly jsonFile?: string;
}

export interface Round {
  readonly acknowledgedPerSecond: number;
  readonly perServerCpuSecond: number;
  readonly serverCores: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly residentMiB: number;
  readonly generatorCores: number;
  /** Cores that neither the server nor the generator used: other work on the machine. */
  readonly otherCores: number;
  readonly unacknowledged: number;
  /** Events that readers beside the load were given, all of them together. */
  readonly readPerSecond?: number;
}

/** Runs every shape on every server, in rounds that alternate between the servers, and prints and writes the figures. */
export async function telemetryIn(options: TelemetryInOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const fdatasyncMs = fdatasyncMedianMs(options.directory);
  const systems = [...(options.hub === undefined ? [] : [options.hub]), ...options.peers];
  const pageCache = options.fullPageCache ? new PageCache(options.directory) : undefined;
  const results: { shape: Shape; rounds: Record<string, Round[]>; ratios: Record<string, Spread> }[] = [];
  for (const shape of options.shapes) {
    const rounds: Record<string, Round[]> = Object.fromEntries(systems.map(({ name }) => [name, []]));
    for (let round = 0; round < options.rounds; round++) {
      // Every second round begins with the other end, so that no server always runs behind the same one.
      const turns = round % 2 === 0 ? systems : systems.toReversed();
      const measure = async (system: ServerKind): Promise<void> => {
        rounds[system.name].push(await measureServer(system, shape, options));
      };
      if (options.atOnce) pageCache?.fill();
      if (options.atOnce) await Promise.all(turns.map(measure));
      for (const system of options.atOnce ? [] : turns) {
        pageCache?.fill();
        await measure(system);
      }
    }
    const ratios = ratiosOf(rounds, systems);
    results.push({ shape, rounds, ratios });
    print(shape, rounds, ratios, options);
  }
  pageCache?.close();
  process.stdout.write(`\nfdatasync of 512 appended bytes on this disk: p50 ${fdatasyncMs.toFixed(2)} ms\n`);
  const { peers: _, hub: __, directory: ___, jsonFile, ...settings } = options;
  const systemsNamed = systems.map(({ name, acknowledges }) => ({ name, acknowledges }));
  const file = writeResult(
    'telemetry-in',
    { machine: machine(), fdatasyncMs, settings, systems: systemsNamed, results },
    jsonFile,
  );
  process.stdout.write(`${file}\n`);
}

/** One round of a load on a server that is started for it. */
export async function measureServer(
  system: ServerKind,
  shape: Shape,
  options: Omit<TelemetryInOptions, 'peers' | 'hub' | 'fullPageCache'>,
): Promise<Round> {
  const directory = mkdtempSync(path.join(options.directory, `${system.name.replaceAll('/', '-')}-`));
  const { connections, inFlight, payloadBytes } = shape;
  try {
    const server = await system.start({ connections, tls: options.tls, directory, bag: options.bag });
    try {
      const cpu = { begin: 0, end: 0 };
      const busy = { begin: 0, end: 0 };
      const at = { begin: 0, end: 0 };
      const read = { begin: 0, end: 0 };
      let resident = 0;
      const { host, port, ca } = server;
      const load = await runLoad({
        target: { host, port, ca, inFlight, payloadBytes },
        logins: server.logins,
        threads: options.threads,
        warmupSeconds: options.warmupSeconds,
        seconds: options.seconds,
        ratePerSecond: options.ratePerSecond,
        mark(end) {
          cpu[end] = server.cpuSeconds?.() ?? cpuSeconds(server.pid);
          busy[end] = machineBusySeconds();
          at[end] = performance.now() / 1000;
          read[end] = server.eventsRead?.() ?? 0;
          resident = residentMiB(server.pid);
        },
      });
      const seconds = at.end - at.begin;
      const serverCores = (cpu.end - cpu.begin) / seconds;
      return {
        acknowledgedPerSecond: load.acknowledgedPerSecond,
        perServerCpuSecond: load.acknowledgedPerSecond / serverCores,
        serverCores,
        p50Ms: load.latency.percentile(0.5),
        p99Ms: load.latency.percentile(0.99),
        p999Ms: load.latency.percentile(0.999),
        residentMiB: resident,
        generatorCores: load.generatorCores,
        otherCores: Math.max(0, (busy.end - busy.begin) / seconds - serverCores - load.generatorCores),
        unacknowledged: load.unacknowledged,
        ...(server.eventsRead !== undefined && { readPerSecond: (read.end - read.begin) / seconds }),
      };
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The hub against each peer, round by round: rates and rates per CPU second of the server. */
function ratiosOf(rounds: Record<string, Round[]>, systems: readonly ServerKind[]): Record<string, Spread> {
  const ratios: Record<string, Spread> = {};
  const own = rounds[hub.name];
  if (own === undefined) return ratios;
  for (const { name } of systems.filter((system) => system.name !== hub.name)) {
    const ratio = (of: (round: Round) => number): Spread =>
      spread(own.map((round, at) => of(round) / of(rounds[name][at])));
    ratios[`messages/s against ${name}`] = ratio((round) => round.acknowledgedPerSecond);
    ratios[`messages per server CPU second against ${name}`] = ratio((round) => round.perServerCpuSecond);
    ratios[`p99 against ${name}`] = ratio((round) => round.p99Ms);
    ratios[`cores against ${name}`] = ratio((round) => round.serverCores);
  }
  return ratios;
}

function print(
  shape: Shape,
  rounds: Record<string, Round[]>,
  ratios: Record<string, Spread>,
  options: TelemetryInOptions,
): void {
  const pace = options.ratePerSecond === undefined ? 'closed loop' : `${options.ratePerSecond} messages/s due`;
  process.stdout.write(
    `\n${shape.connections} connections x ${shape.inFlight} in flight x ${shape.payloadBytes} bytes, ` +
      `${options.tls ? 'TLS' : 'plain TCP'}, QoS 1, ${pace}, ${options.rounds} x ${options.seconds} s, ` +
      'median (min..max)\n',
  );
  const head = [
    '',
    'acked/s',
    'per CPU s',
    'cores',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'RSS MiB',
    'load gen. cores',
    'other cores',
    'read/s',
  ];
  const columns: readonly ((round: Round) => number)[] = [
    (round) => round.acknowledgedPerSecond,
    (round) => round.perServerCpuSecond,
    (round) => round.serverCores,
    (round) => round.p50Ms,
    (round) => round.p99Ms,
    (round) => round.p999Ms,
    (round) => round.residentMiB,
    (round) => round.generatorCores,
    (round) => round.otherCores,
  ];
  const rows = Object.entries(rounds).map(([name, of]) => {
    const read = of.flatMap(({ readPerSecond }) => readPerSecond ?? []);
    return [
      name,
      ...columns.map((column) => show(spread(of.map(column)))),
      read.length === 0 ? '' : show(spread(read)),
    ];
  });
  printTable([head, ...rows]);
  for (const [name, ratio] of Object.entries(ratios)) {
    process.stdout.write(`${name}: ${show(ratio)} times\n`);
  }
  const lost = Object.values(rounds)
    .flat()
    .reduce((sum, round) => sum + round.unacknowledged, 0);
  if (lost > 0) process.stdout.write(`${figure(lost)} messages were never acknowledged: the run is not valid\n`);
}
