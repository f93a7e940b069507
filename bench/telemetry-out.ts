import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { sendMessages } from './load/load.ts';
import { cpuSeconds, machine, residentMiB, residentPeakMiB } from './process-facts.ts';
import { countingReader } from './readers/counting.ts';
import type { ReaderOptions } from './readers/reader.ts';
import { rheaReader } from './readers/rhea.ts';
import { printTable, type Spread, show, spread, writeResult } from './report.ts';
import { type HubOptions, type RunningHub, startHub } from './servers/hub.ts';
import type { Checkout } from './servers/revision.ts';
import { startProgram, stopProgram } from './servers/server.ts';

const CONNECTIONS = 50;
const PRELOAD_IN_FLIGHT = 20;
const PRELOAD_PER_SECOND = 50_000;
const PARTITIONS = 4;
/** This checkout's hub. */
const OWN = 'mooring';

export interface TelemetryOutOptions {
  readonly events: number;
  readonly payloadBytes: number;
  /** Readers at the same time, each of every partition, all in one consumer group. */
  readonly readers: number;
  readonly client: 'counting' | 'rhea';
  readonly tls: boolean;
  /** Also reads from a plain rhea sender (`servers/rhea-sender.ts`), in rounds that alternate with the hub's. */
  readonly rheaPeer: boolean;
  /** Other revisions of the hub, each filled and read as this one is. */
  readonly compared: readonly Checkout[];
  readonly rounds: number;
  readonly threads: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

export interface Round {
  readonly eventsPerSecond: number;
  readonly perServerCpuSecond: number;
  readonly serverCores: number;
  readonly readerCores: number;
  readonly residentMiB: number;
  readonly residentPeakMiB: number;
}

/** Who is read from. */
export interface Source {
  readonly name: string;
  readonly pid: number;
  readonly place: ReaderOptions;
  stop(): Promise<void>;
}

/** Fills a hub with events, then lets readers catch up from the start, round by round on the same events. */
export async function telemetryOut(options: TelemetryOutOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'mooring-'));
  if (options.rheaPeer && options.tls) throw new Error('the rhea peer is measured over plain TCP only');
  const sources: Source[] = [];
  try {
    const own: Checkout = { name: OWN, folder: path.dirname(import.meta.dirname) };
    for (const checkout of [own, ...options.compared]) sources.push(await filledHub(options, directory, checkout));
    if (options.rheaPeer) sources.push(await rheaSender(options));
    const rounds: Record<string, Round[]> = Object.fromEntries(sources.map(({ name }) => [name, []]));
    for (let round = 0; round < options.rounds; round++) {
      for (const source of round % 2 === 0 ? sources : sources.toReversed()) {
        rounds[source.name].push(await measureReaders(source, options));
      }
    }
    const ratios = ratiosOf(rounds);
    print(options, rounds, ratios);
    const { jsonFile, directory: _, ...settings } = options;
    const file = writeResult('telemetry-out', { machine: machine(), settings, rounds, ratios }, jsonFile);
    process.stdout.write(`${file}\n`);
  } finally {
    for (const source of sources) await source.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function filledHub(options: TelemetryOutOptions, parent: string, { name, folder }: Checkout): Promise<Source> {
  return filled(name, options, parent, (start) => startHub({ ...start, checkout: folder }));
}

/** A hub, however it is started, that holds the events to be read. */
export async function filled(
  name: string,
  options: Pick<TelemetryOutOptions, 'events' | 'payloadBytes' | 'tls'>,
  parent: string,
  start: (options: HubOptions) => Promise<RunningHub>,
): Promise<Source> {
  const directory = mkdtempSync(path.join(parent, 'hub-'));
  const hub = await start({ connections: CONNECTIONS, tls: false, bag: '', partitions: PARTITIONS, directory });
  const { host, port } = hub;
  const target = { host, port, inFlight: PRELOAD_IN_FLIGHT, payloadBytes: options.payloadBytes };
  try {
    await sendMessages(options.events, PRELOAD_PER_SECOND, target, hub.logins);
  } catch (error) {
    await hub.stop();
    throw error;
  }
  return { name, pid: hub.pid, place: placeOf(hub, options.tls), stop: () => hub.stop() };
}

/** Where readers of a hub read, in the default consumer group. */
export function placeOf(hub: RunningHub, tls: boolean): ReaderOptions {
  return {
    host: '127.0.0.1',
    port: (tls ? hub.endpoints.ports.amqps : hub.endpoints.ports.amqp) as number,
    ca: tls ? hub.caText : undefined,
    connectionString: hub.endpoints.connectionStrings.eventHubs,
    consumerGroup: '$Default',
    partitions: PARTITIONS,
  };
}

async function rheaSender({ events, payloadBytes }: TelemetryOutOptions): Promise<Source> {
  const program = path.join(import.meta.dirname, 'servers/rhea-sender.ts');
  const args = [program, String(events), String(PARTITIONS), String(payloadBytes)];
  const { child, ready } = await startProgram(process.execPath, args, /^ready (\d+)$/m, 30_000);
  const connectionString = 'Endpoint=sb://localhost/;SharedAccessKeyName=p;SharedAccessKey=k=;EntityPath=hub';
  const place = { host: '127.0.0.1', port: Number(ready[1]), connectionString };
  return {
    name: 'rhea',
    pid: child.pid as number,
    place: { ...place, consumerGroup: '$Default', partitions: PARTITIONS },
    stop: () => stopProgram(child),
  };
}

/** One reading of all events. */
export async function measureReaders(
  { pid, place }: Source,
  { events, readers, client }: Pick<TelemetryOutOptions, 'events' | 'readers' | 'client'>,
): Promise<Round> {
  const cpu = cpuSeconds(pid);
  const own = process.cpuUsage();
  const begun = performance.now();
  const read = client === 'rhea' ? rheaReader : countingReader;
  const times = await Promise.all(Array.from({ length: readers }, () => read(place, events)));
  const seconds = (performance.now() - begun) / 1000;
  const used = process.cpuUsage(own);
  const serverCpu = cpuSeconds(pid) - cpu;
  return {
    eventsPerSecond: times.reduce((sum, ms) => sum + events / (ms / 1000), 0),
    perServerCpuSecond: (events * readers) / serverCpu,
    serverCores: serverCpu / seconds,
    readerCores: (used.user + used.system) / 1e6 / seconds,
    residentMiB: residentMiB(pid),
    residentPeakMiB: residentPeakMiB(pid),
  };
}

/** This hub against each of the others, round by round. */
function ratiosOf({ [OWN]: own, ...others }: Record<string, Round[]>): Record<string, Spread> {
  const ratios: Record<string, Spread> = {};
  for (const [name, rounds] of Object.entries(others)) {
    const ratio = (of: (round: Round) => number): Spread => spread(own.map((round, at) => of(round) / of(rounds[at])));
    ratios[`events/s against ${name}`] = ratio((round) => round.eventsPerSecond);
    ratios[`events per server CPU second against ${name}`] = ratio((round) => round.perServerCpuSecond);
  }
  return ratios;
}

function print(
  options: TelemetryOutOptions,
  rounds: Record<string, readonly Round[]>,
  ratios: Record<string, Spread>,
): void {
  const way = options.tls ? 'TLS' : 'plain TCP';
  process.stdout.write(
    `${options.events} events x ${options.payloadBytes} bytes to ${options.readers} ${options.client} reader(s), ${way}, ` +
      `${options.rounds} rounds, median (min..max)\n`,
  );
  const columns: readonly ((round: Round) => number)[] = [
    (round) => round.eventsPerSecond,
    (round) => round.perServerCpuSecond,
    (round) => round.serverCores,
    (round) => round.readerCores,
    (round) => round.residentMiB,
    (round) => round.residentPeakMiB,
  ];
  printTable([
    ['', 'events/s', 'per CPU s', 'server cores', 'reader cores', 'RSS MiB', 'RSS peak MiB'],
    ...Object.entries(rounds).map(([name, of]) => [name, ...columns.map((column) => show(spread(of.map(column))))]),
  ]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
}
