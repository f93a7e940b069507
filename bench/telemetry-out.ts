import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { sendMessages } from './load/load.ts';
import { cpuSeconds, machine, residentMiB, residentPeakMiB } from './process-facts.ts';
import { countingReader } from './readers/counting.ts';
import { rheaReader } from './readers/rhea.ts';
import { printTable, show, spread, writeResult } from './report.ts';
import { startHub } from './servers/hub.ts';

const CONNECTIONS = 50;
const PRELOAD_IN_FLIGHT = 20;
const PRELOAD_PER_SECOND = 50_000;
const PARTITIONS = 4;

export interface TelemetryOutOptions {
  readonly events: number;
  readonly payloadBytes: number;
  /** Readers at the same time, each of every partition, all in one consumer group. */
  readonly readers: number;
  readonly client: 'counting' | 'rhea';
  readonly tls: boolean;
  readonly rounds: number;
  readonly threads: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

interface Round {
  readonly eventsPerSecond: number;
  readonly perServerCpuSecond: number;
  readonly serverCores: number;
  readonly readerCores: number;
  readonly residentMiB: number;
  readonly residentPeakMiB: number;
}

/** Fills a hub with events, then lets readers catch up from the start, round by round on the same events. */
export async function telemetryOut(options: TelemetryOutOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'mooring-'));
  try {
    const hub = await startHub({ connections: CONNECTIONS, tls: false, directory, bag: '', partitions: PARTITIONS });
    try {
      const target = {
        host: hub.host,
        port: hub.port,
        inFlight: PRELOAD_IN_FLIGHT,
        payloadBytes: options.payloadBytes,
      };
      const { events } = options;
      await sendMessages(events, PRELOAD_PER_SECOND, target, hub.logins);
      const rounds: Round[] = [];
      for (let round = 0; round < options.rounds; round++) {
        const cpu = cpuSeconds(hub.pid);
        const own = process.cpuUsage();
        const begun = performance.now();
        const port = options.tls ? hub.endpoints.ports.amqps : hub.endpoints.ports.amqp;
        const place = {
          host: '127.0.0.1',
          port: port as number,
          ca: options.tls ? hub.caText : undefined,
          connectionString: hub.endpoints.connectionStrings.eventHubs,
          consumerGroup: '$Default',
          partitions: PARTITIONS,
        };
        const read = options.client === 'rhea' ? rheaReader : countingReader;
        const times = await Promise.all(Array.from({ length: options.readers }, () => read(place, events)));
        const seconds = (performance.now() - begun) / 1000;
        const used = process.cpuUsage(own);
        const serverCpu = cpuSeconds(hub.pid) - cpu;
        rounds.push({
          eventsPerSecond: times.reduce((sum, ms) => sum + events / (ms / 1000), 0),
          perServerCpuSecond: (events * options.readers) / serverCpu,
          serverCores: serverCpu / seconds,
          readerCores: (used.user + used.system) / 1e6 / seconds,
          residentMiB: residentMiB(hub.pid),
          residentPeakMiB: residentPeakMiB(hub.pid),
        });
      }
      print(options, rounds);
      const { jsonFile, directory: _, ...settings } = options;
      const file = writeResult('telemetry-out', { machine: machine(), settings, rounds }, jsonFile);
      process.stdout.write(`${file}\n`);
    } finally {
      await hub.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function print(options: TelemetryOutOptions, rounds: readonly Round[]): void {
  const way = options.tls ? 'TLS' : 'plain TCP';
  process.stdout.write(
    `${options.events} events x ${options.payloadBytes} bytes to ${options.readers} ${options.client} reader(s), ${way}, ` +
      `${rounds.length} rounds, median (min..max)\n`,
  );
  const column = (of: (round: Round) => number): string => show(spread(rounds.map(of)));
  printTable([
    ['', 'events/s', 'per CPU s', 'server cores', 'reader cores', 'RSS MiB', 'RSS peak MiB'],
    [
      'mooring',
      column((round) => round.eventsPerSecond),
      column((round) => round.perServerCpuSecond),
      column((round) => round.serverCores),
      column((round) => round.readerCores),
      column((round) => round.residentMiB),
      column((round) => round.residentPeakMiB),
    ],
  ]);
}
