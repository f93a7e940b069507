/** Desired changes: PATCHes over HTTPS, so many under way, of devices that are connected over MQTT: from request to device. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Histogram } from './load/histogram.ts';
import { HttpsLane } from './load/https-lane.ts';
import { openDevices, type TopicDevice } from './load/topic-device.ts';
import { cpuSeconds, fdatasyncMedianMs, machine, machineBusySeconds } from './process-facts.ts';
import { printTable, type RoundOptions, show, spread, writeResult } from './report.ts';
import { ownerToken, startHub } from './servers/hub.ts';

export interface TwinsDesiredOptions extends RoundOptions {
  readonly devices: number;
  readonly underWay: number;
}

interface Round {
  readonly patchesPerSecond: number;
  readonly perCpuSecond: number;
  /** From the request's first byte to the device's hearing of the change. */
  readonly pushedP50Ms: number;
  readonly pushedP99Ms: number;
  readonly pushedLongestMs: number;
  /** From the request's first byte to the answer's last. */
  readonly answeredP50Ms: number;
  readonly answeredP99Ms: number;
  readonly serverCores: number;
  readonly otherCores: number;
}

/** A fresh twin's; the first change is the next. */
const FRESH_VERSION = 1;
const LAST_PUSHES_MS = 10_000;

export async function twinsDesired(options: TwinsDesiredOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const fdatasyncMs = fdatasyncMedianMs(options.directory);
  const directory = mkdtempSync(path.join(options.directory, 'twins-'));
  const { devices: connections, underWay } = options;
  const rounds: Round[] = [];
  try {
    const hub = await startHub({ connections, tls: false, directory, bag: '' });
    try {
      const opened = await openDevices(hub.port, hub.logins, () => ['$iothub/twin/PATCH/properties/desired/#']);
      const devices = opened.map((device) => new Listener(device));
      const port = hub.endpoints.ports.https as number;
      const lanes = await Promise.all(Array.from({ length: underWay }, () => HttpsLane.open(port, hub.caText)));
      const head = `Authorization: ${ownerToken(hub.endpoints)}\r\nContent-Type: application/json\r\n`;
      for (let round = 0; round < options.rounds; round++) {
        rounds.push(await measure(hub.pid, devices, lanes, head, options));
      }
      for (const lane of lanes) lane.close();
      for (const device of opened) device.close();
    } finally {
      await hub.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  print(rounds, options);
  process.stdout.write(`\nfdatasync of 512 appended bytes on this disk: p50 ${fdatasyncMs.toFixed(2)} ms\n`);
  const { directory: _, jsonFile, ...settings } = options;
  process.stdout.write(
    `${writeResult('twins-desired', { machine: machine(), fdatasyncMs, settings, rounds }, jsonFile)}\n`,
  );
}

/** A device that hears of its twin's changes; each must be the one behind the last. */
class Listener {
  readonly id: string;
  /** Of the last change that it was told. */
  version = FRESH_VERSION;
  /** PATCHes that were sent, each one version. */
  sent = FRESH_VERSION;
  heard: () => void = () => {};

  constructor(device: TopicDevice) {
    this.id = device.id;
    device.hear = (topic, payload) => {
      if (!topic.endsWith(`?$version=${this.version + 1}`)) {
        throw new Error(`${this.id}: ${topic} came behind version ${this.version}`);
      }
      const { $version, interval } = JSON.parse(payload.toString());
      // A PATCH sets `interval` to the version that it makes.
      if ($version !== this.version + 1 || interval !== $version) throw new Error(`${this.id}: ${payload}`);
      this.version++;
      this.heard();
    };
  }
}

async function measure(
  pid: number,
  devices: readonly Listener[],
  lanes: readonly HttpsLane[],
  head: string,
  { seconds, warmupSeconds }: TwinsDesiredOptions,
): Promise<Round> {
  const pushed = new Histogram();
  const answered = new Histogram();
  let isOn = true;
  let next = 0;
  const work = async (lane: HttpsLane): Promise<void> => {
    while (isOn) {
      // One after the other: with fewer requests under way than devices, none has two.
      const device = devices[next++ % devices.length];
      const version = ++device.sent;
      const begun = performance.now();
      device.heard = () => pushed.record(performance.now() - begun);
      const body = `{"properties":{"desired":{"interval":${version}}}}`;
      const { status, body: text } = await lane.ask(`PATCH /twins/${device.id}?api-version=2021-04-12`, head, body);
      if (status !== 200) throw new Error(`PATCH was answered ${status} ${text.slice(0, 300)}`);
      answered.record(performance.now() - begun);
    }
  };
  const ended = Promise.all(lanes.map(work));
  await Promise.race([sleep(warmupSeconds * 1000), ended]);
  pushed.clear();
  answered.clear();
  const begun = performance.now();
  const [cpu, own, busy] = [cpuSeconds(pid), process.cpuUsage(), machineBusySeconds()];
  await Promise.race([sleep(seconds * 1000), ended]);
  const count = answered.total;
  const server = cpuSeconds(pid) - cpu;
  const used = process.cpuUsage(own);
  const others = machineBusySeconds() - busy - server - (used.user + used.system) / 1e6;
  const measured = (performance.now() - begun) / 1000;
  isOn = false;
  await ended;
  await allPushed(devices);
  return {
    patchesPerSecond: count / measured,
    perCpuSecond: count / server,
    pushedP50Ms: pushed.percentile(0.5),
    pushedP99Ms: pushed.percentile(0.99),
    pushedLongestMs: pushed.percentile(1),
    answeredP50Ms: answered.percentile(0.5),
    answeredP99Ms: answered.percentile(0.99),
    serverCores: server / measured,
    otherCores: Math.max(0, others / measured),
  };
}

/** @throws Error unless each device was told each of its changes; one told twice, or not in order, has thrown before */
async function allPushed(devices: readonly Listener[]): Promise<void> {
  const late = performance.now() + LAST_PUSHES_MS;
  for (;;) {
    const missing = devices.filter(({ version, sent }) => version !== sent);
    if (missing.length === 0) return;
    const [{ id, version, sent }] = missing;
    if (performance.now() > late) throw new Error(`${id} was told version ${version}, its twin has ${sent}`);
    await sleep(10);
  }
}

function print(rounds: readonly Round[], { devices, underWay, seconds }: TwinsDesiredOptions): void {
  process.stdout.write(
    `\n${devices} connected devices, ${underWay} PATCHes of desired properties under way, ` +
      `${rounds.length} x ${seconds} s, median (min..max); each was pushed once, in order\n`,
  );
  const columns: readonly (readonly [string, keyof Round])[] = [
    ['PATCHes/s', 'patchesPerSecond'],
    ['per CPU s', 'perCpuSecond'],
    ['to device p50 ms', 'pushedP50Ms'],
    ['p99', 'pushedP99Ms'],
    ['longest', 'pushedLongestMs'],
    ['to answer p50 ms', 'answeredP50Ms'],
    ['p99', 'answeredP99Ms'],
    ['cores', 'serverCores'],
    ['other cores', 'otherCores'],
  ];
  printTable([
    ['', ...columns.map(([name]) => name)],
    ['mooring', ...columns.map(([, of]) => show(spread(rounds.map((round) => round[of]))))],
  ]);
}
