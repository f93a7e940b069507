/**
 * The adapter `line` in the hub's machine against the hub's own plain MQTT: durable answers per CPU second of all processes, rounds that
 * alternate. The bounds are 0.2 in a process of its own and 0.3 beside the hub's loop.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createApiClient } from '../src/api/client.ts';
import { startLines } from './load/lines.ts';
import { runLoad } from './load/load.ts';
import { machine, processTreeCpuSeconds } from './process-facts.ts';
import { spread, writeResult } from './report.ts';
import { type RunningHub, startHub } from './servers/hub.ts';

export interface AdapterLineOptions {
  readonly connections: number;
  readonly inFlight: number;
  readonly payloadBytes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly threads: number;
  readonly directory: string;
  readonly jsonFile: string | undefined;
}

const systems = ['mqtt', 'line, a process of its own', "line, beside the hub's loop"] as const;
type System = (typeof systems)[number];

interface Round {
  readonly perSecond: number;
  readonly perCpuSecond: number;
}

export async function adapterLine(options: AdapterLineOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const rounds: Record<System, Round[]> = { [systems[0]]: [], [systems[1]]: [], [systems[2]]: [] } as never;
  for (let round = 0; round < options.rounds; round++) {
    for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
      const measured = await measure(system, options);
      rounds[system].push(measured);
      const [whole, cpu] = [measured.perSecond, measured.perCpuSecond].map((value) => Math.round(value));
      process.stdout.write(`${system.padEnd(30)} ${whole} messages/s, ${cpu} a CPU second\n`);
    }
  }
  const ratios = Object.fromEntries(
    systems.slice(1).map((system) => {
      const each = rounds[system].map(({ perCpuSecond }, at) => perCpuSecond / rounds.mqtt[at].perCpuSecond);
      return [system, spread(each)];
    }),
  );
  for (const [system, { median, min, max }] of Object.entries(ratios)) {
    const text = [median, min, max].map((value) => value.toFixed(2));
    process.stdout.write(`${system}: ${text[0]} (${text[1]} to ${text[2]}) of plain MQTT, per CPU second\n`);
  }
  const { directory: _, jsonFile, ...settings } = options;
  process.stdout.write(`${writeResult('adapter-line', { machine: machine(), settings, rounds, ratios }, jsonFile)}\n`);
}

async function measure(system: System, options: AdapterLineOptions): Promise<Round> {
  const { connections, inFlight, payloadBytes, seconds, warmupSeconds, threads } = options;
  const directory = mkdtempSync(path.join(options.directory, 'line-'));
  try {
    const config = path.join(directory, 'hub.json');
    const run = system === systems[2] ? 'hub' : 'process';
    const adapter = { adapter: 'line', run, settings: { port: 0 }, messagesPerSecond: 10_000_000 };
    writeFileSync(config, JSON.stringify(system === 'mqtt' ? {} : { adapters: [adapter] }));
    const hub = await startHub({ connections, tls: false, directory, bag: '', flags: ['--config', config] });
    try {
      const marks = { begin: { cpu: 0, at: 0, count: 0 }, end: { cpu: 0, at: 0, count: 0 } };
      const mark = (end: 'begin' | 'end', count: number): void => {
        marks[end] = { cpu: processTreeCpuSeconds(hub.pid), at: performance.now() / 1000, count };
      };
      let answered: number;
      if (system === 'mqtt') {
        const { host, port, ca, logins } = hub;
        const target = { host, port, ca, inFlight, payloadBytes };
        const load = await runLoad({ target, logins, threads, warmupSeconds, seconds, mark: (end) => mark(end, 0) });
        answered = load.acknowledged;
      } else {
        const load = await startLines({
          port: await portOf(hub),
          logins: await keysOf(hub, connections),
          inFlight,
          payloadBytes,
        });
        await delay(warmupSeconds * 1000);
        mark('begin', load.answered());
        await delay(seconds * 1000);
        mark('end', load.answered());
        await load.stop();
        answered = marks.end.count - marks.begin.count;
      }
      const cpu = marks.end.cpu - marks.begin.cpu;
      return { perSecond: answered / (marks.end.at - marks.begin.at), perCpuSecond: answered / cpu };
    } finally {
      await hub.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** From the numbers of the hub: the one that the adapter itself gives out. */
async function portOf({ endpoints }: RunningHub): Promise<number> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const page = await (await fetch(`http://127.0.0.1:${endpoints.ports.admin}/metrics`)).text();
    const found = /mooring_adapter_custom\{adapter="line",name="port"\} (\d+)/.exec(page);
    if (found !== null) return Number(found[1]);
    await delay(100);
  }
  throw new Error('The adapter line has not started.');
}

/** The devices that the hub was given for MQTT, with their keys. */
async function keysOf({ endpoints, caText }: RunningHub, count: number) {
  const { connectionStrings, ports } = endpoints;
  const api = createApiClient({ connectionString: connectionStrings.iothubowner, port: ports.https ?? 0, ca: caText });
  try {
    const devices = await api.devices.list({ top: count });
    return devices.map(({ deviceId, authentication }) => ({
      device: deviceId,
      key: authentication.symmetricKey?.primaryKey ?? '',
    }));
  } finally {
    api.close();
  }
}
