/**
 * Direct methods over HTTPS to devices on MQTT and back, beside the least that can do it: a bare HTTPS server over Mosquitto. One call
 * at a time for the time that it takes, many for how many there can be. Both run from the start; the load goes round between them.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Histogram } from './load/histogram.ts';
import { HttpsLane } from './load/https-lane.ts';
import { openDevices } from './load/topic-device.ts';
import { machine, machineBusySeconds } from './process-facts.ts';
import { printTable, type RoundOptions, type Spread, show, spread, writeResult } from './report.ts';
import type { MethodServer, MethodServerKind } from './servers/method-servers.ts';

export interface MethodsOptions extends RoundOptions {
  /** The hub first. */
  readonly systems: readonly MethodServerKind[];
  readonly devices: number;
  /** Calls under way, one measurement each. */
  readonly underWay: readonly number[];
}

interface Round {
  readonly callsPerSecond: number;
  readonly perCpuSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  readonly serverCores: number;
  readonly otherCores: number;
}

/** One that runs, with its devices connected. */
interface Opened {
  readonly name: string;
  readonly server: MethodServer;
  readonly deviceIds: readonly string[];
  close(): Promise<void>;
}

const RID = /\?\$rid=(.+)$/;

export async function methods(options: MethodsOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'methods-'));
  const opened: Opened[] = [];
  try {
    for (const kind of options.systems) opened.push(await open(kind, directory, options.devices));
    const results = [];
    for (const underWay of options.underWay) {
      const rounds: Record<string, Round[]> = Object.fromEntries(opened.map(({ name }) => [name, []]));
      for (let round = 0; round < options.rounds; round++) {
        for (const system of round % 2 === 0 ? opened : opened.toReversed()) {
          rounds[system.name].push(await measure(system, underWay, options));
        }
      }
      const ratios = ratiosOf(rounds);
      results.push({ underWay, rounds, ratios });
      print(underWay, rounds, ratios, options);
    }
    const { directory: _, jsonFile, systems, ...settings } = options;
    const result = { machine: machine(), settings, systems: systems.map(({ name }) => name), results };
    process.stdout.write(`${writeResult('methods', result, jsonFile)}\n`);
  } finally {
    for (const system of opened) await system.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function open(kind: MethodServerKind, directory: string, count: number): Promise<Opened> {
  const server = await kind.start(count, mkdtempSync(path.join(directory, 'server-')));
  const devices = await openDevices(server.mqttPort, server.logins, (id) => [server.filterOf(id)]);
  for (const device of devices) {
    device.hear = (topic, payload) => {
      const rid = RID.exec(topic)?.[1];
      if (rid === undefined) throw new Error(`a call on ${topic}`);
      device.publish(`${server.responseTopic}/200/?$rid=${rid}`, payload);
    };
  }
  return {
    name: kind.name,
    server,
    deviceIds: devices.map(({ id }) => id),
    async close() {
      for (const device of devices) device.close();
      await server.stop();
    },
  };
}

async function measure({ server, deviceIds }: Opened, underWay: number, options: MethodsOptions): Promise<Round> {
  const lanes = await Promise.all(Array.from({ length: underWay }, () => HttpsLane.open(server.httpsPort, server.ca)));
  const latency = new Histogram();
  let isOn = true;
  let calls = 0;
  const work = async (lane: HttpsLane): Promise<void> => {
    while (isOn) {
      const call = calls++;
      const line = `POST /twins/${deviceIds[call % deviceIds.length]}/methods?api-version=2021-04-12`;
      const payload = `{"call":${call},"text":"as far as the device"}`;
      const begun = performance.now();
      const body = `{"methodName":"echo","responseTimeoutInSeconds":30,"payload":${payload}}`;
      const answer = await lane.ask(line, server.head, body);
      latency.record(performance.now() - begun);
      // The device answers with what it was sent.
      if (answer.status !== 200 || answer.body !== `{"status":200,"payload":${payload}}`) {
        throw new Error(`${line} was answered ${answer.status} ${answer.body.slice(0, 300)}`);
      }
    }
  };
  const ended = Promise.all(lanes.map(work));
  await Promise.race([sleep(options.warmupSeconds * 1000), ended]);
  latency.clear();
  const begun = performance.now();
  const [cpu, own, busy] = [server.cpuSeconds(), process.cpuUsage(), machineBusySeconds()];
  await Promise.race([sleep(options.seconds * 1000), ended]);
  const count = latency.total;
  const used = process.cpuUsage(own);
  const serverSeconds = server.cpuSeconds() - cpu;
  const others = machineBusySeconds() - busy - serverSeconds - (used.user + used.system) / 1e6;
  const seconds = (performance.now() - begun) / 1000;
  isOn = false;
  await ended;
  for (const lane of lanes) lane.close();
  return {
    callsPerSecond: count / seconds,
    perCpuSecond: count / serverSeconds,
    p50Ms: latency.percentile(0.5),
    p99Ms: latency.percentile(0.99),
    longestMs: latency.percentile(1),
    serverCores: serverSeconds / seconds,
    otherCores: Math.max(0, others / seconds),
  };
}

const columns: readonly (readonly [string, keyof Round])[] = [
  ['calls/s', 'callsPerSecond'],
  ['per CPU s', 'perCpuSecond'],
  ['p50 ms', 'p50Ms'],
  ['p99 ms', 'p99Ms'],
  ['longest ms', 'longestMs'],
  ['cores', 'serverCores'],
  ['other cores', 'otherCores'],
];

/** The first against each of the others, round by round. */
function ratiosOf(rounds: Record<string, Round[]>): Record<string, Spread> {
  const [[, own], ...others] = Object.entries(rounds);
  const ratios: Record<string, Spread> = {};
  for (const [name, theirs] of others) {
    for (const [what, of] of columns.slice(0, 4)) {
      ratios[`${what} against ${name}`] = spread(own.map((round, at) => round[of] / theirs[at][of]));
    }
  }
  return ratios;
}

function print(
  underWay: number,
  rounds: Record<string, Round[]>,
  ratios: Record<string, Spread>,
  { devices, rounds: count, seconds }: MethodsOptions,
): void {
  process.stdout.write(
    `\n${underWay} calls under way of ${devices} devices, HTTPS to MQTT at QoS 0 and back, ${count} x ${seconds} s, ` +
      'median (min..max)\n',
  );
  printTable([
    ['', ...columns.map(([name]) => name)],
    ...Object.entries(rounds).map(([name, of]) => [
      name,
      ...columns.map(([, value]) => show(spread(of.map((round) => round[value])))),
    ]),
  ]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
}
