/**
 * Live queries: devices over MQTT report at a fixed rate in all, and clients follow queries over HTTPS. Measured is the time from a
 * device's report to its answer, which is behind the commit, and to each client that is told of it. At the end each client must hold what
 * its query answers.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, createApiClient } from '../src/api/client.ts';
import { Histogram } from './load/histogram.ts';
import { openDevices, type TopicDevice } from './load/topic-device.ts';
import { cpuSeconds, machine } from './process-facts.ts';
import { figure, printTable, type RoundOptions, writeResult } from './report.ts';
import { type RunningHub, startHub } from './servers/hub.ts';

export interface LiveQueryOptions extends RoundOptions {
  readonly devices: number;
  readonly followers: number;
  /** Reports per second of all devices. */
  readonly ratePerSecond: number;
}

/** One of ten follows all devices; the others a part each. */
const EVERY = 10;
const SETTLE_MS = 5000;

export async function liveQuery(options: LiveQueryOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'live-'));
  const hub = await startHub({ connections: options.devices, tls: false, directory, bag: '' });
  const api = clientOf(hub);
  try {
    const devices = await openDevices(hub.port, hub.logins, () => ['$iothub/twin/res/#']);
    const reporters = devices.map((device, at) => new Reporter(device, at % (options.followers - 1)));
    const alone = await measure(hub, reporters, [], options);
    const followers = Array.from({ length: options.followers }, (_, at) => new Follower(api, at, reporters));
    await Promise.all(followers.map((follower) => follower.ready));
    const beside = await measure(hub, reporters, followers, options);
    await checkAll(api, followers);
    for (const follower of followers) follower.leave();
    for (const device of devices) device.close();
    print(options, alone, beside);
    const { directory: _, jsonFile, ...settings } = options;
    const result = { machine: machine(), settings, alone, beside };
    process.stdout.write(`${writeResult('live-query', result, jsonFile)}\n`);
  } finally {
    api.close();
    await hub.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function clientOf(hub: RunningHub): ApiClient {
  return createApiClient({
    connectionString: hub.endpoints.connectionStrings.service,
    port: hub.endpoints.ports.https as number,
    ca: hub.caText,
  });
}

/** A device that reports one patch behind the other: the number of each is its value. */
class Reporter {
  /** When each was answered. */
  readonly answeredAt: number[] = [];
  readonly sentAt: number[] = [];
  readonly #device: TopicDevice;
  readonly #zone: number;
  #resolve: () => void = () => {};

  constructor(device: TopicDevice, zone: number) {
    this.#device = device;
    this.#zone = zone;
    device.hear = (topic) => {
      if (!topic.startsWith('$iothub/twin/res/204/')) throw new Error(`${device.id}: ${topic}`);
      this.answeredAt.push(performance.now());
      this.#resolve();
    };
  }

  get id(): string {
    return this.#device.id;
  }

  report(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      const n = this.sentAt.length;
      this.sentAt.push(performance.now());
      const patch = `{"n":${n},"zone":${this.#zone}}`;
      this.#device.publish(`$iothub/twin/PATCH/properties/reported/?$rid=${n}`, Buffer.from(patch));
    });
  }
}

class Follower {
  /** From the report, and from its answer, to the client. */
  readonly sinceSent = new Histogram();
  readonly sinceAnswered = new Histogram();
  readonly ready: Promise<void>;
  readonly query: string;
  readonly rows = new Map<string, unknown>();
  told = 0;
  readonly #gone = new AbortController();

  constructor(api: ApiClient, at: number, reporters: readonly Reporter[]) {
    const where = at % EVERY === 0 ? '' : ` WHERE properties.reported.zone = ${at}`;
    this.query = `SELECT deviceId, properties.reported.n AS n FROM devices${where}`;
    const byId = new Map(reporters.map((reporter) => [reporter.id, reporter]));
    this.ready = new Promise((resolve, reject) => {
      this.#follow(api, byId, resolve).catch((error) => {
        if (!this.#gone.signal.aborted) reject(error);
      });
    });
  }

  leave(): void {
    this.#gone.abort();
  }

  async #follow(api: ApiClient, byId: ReadonlyMap<string, Reporter>, ready: () => void): Promise<void> {
    let isReady = false;
    for await (const { event } of api.live.follow(this.query, { signal: this.#gone.signal })) {
      if (event?.kind === 'ready') {
        isReady = true;
        ready();
      }
      if (event?.kind === 'leave') this.rows.delete(event.deviceId);
      if (event?.kind !== 'enter' && event?.kind !== 'change') continue;
      this.rows.set(event.deviceId, event.row);
      const reporter = byId.get(event.deviceId);
      const n = event.row.n as number | undefined;
      if (!isReady || reporter === undefined || n === undefined) continue;
      const now = performance.now();
      this.told++;
      this.sinceSent.record(now - reporter.sentAt[n]);
      // Told before the device itself: its answer is on the way.
      this.sinceAnswered.record(Math.max(0, now - (reporter.answeredAt[n] ?? now)));
    }
  }
}

interface Measured {
  readonly reportsPerSecond: number;
  readonly answerP50Ms: number;
  readonly answerP99Ms: number;
  readonly toldPerSecond: number;
  readonly sinceAnsweredP50Ms: number;
  readonly sinceAnsweredP99Ms: number;
  readonly sinceSentP99Ms: number;
  readonly serverCores: number;
}

async function measure(
  hub: RunningHub,
  reporters: readonly Reporter[],
  followers: readonly Follower[],
  { ratePerSecond, warmupSeconds, seconds }: LiveQueryOptions,
): Promise<Measured> {
  const answers = new Histogram();
  let isOn = true;
  const everyMs = (1000 * reporters.length) / ratePerSecond;
  const loads = reporters.map(async (reporter, at) => {
    const begun = performance.now() + (everyMs * at) / reporters.length;
    for (let nth = 0; isOn; nth++) {
      const wait = begun + nth * everyMs - performance.now();
      if (wait > 0) await sleep(wait);
      const sent = performance.now();
      await reporter.report();
      answers.record(performance.now() - sent);
    }
  });
  await sleep(warmupSeconds * 1000);
  answers.clear();
  for (const { sinceSent, sinceAnswered } of followers) {
    sinceSent.clear();
    sinceAnswered.clear();
  }
  const [at, cpu] = [performance.now(), cpuSeconds(hub.pid)];
  await sleep(seconds * 1000);
  const measured = (performance.now() - at) / 1000;
  const serverCores = (cpuSeconds(hub.pid) - cpu) / measured;
  const [sent, answered] = [new Histogram(), new Histogram()];
  for (const { sinceSent, sinceAnswered } of followers) {
    sent.add(sinceSent);
    answered.add(sinceAnswered);
  }
  const reports = answers.total;
  isOn = false;
  await Promise.all(loads);
  return {
    reportsPerSecond: reports / measured,
    answerP50Ms: answers.percentile(0.5),
    answerP99Ms: answers.percentile(0.99),
    toldPerSecond: answered.total / measured,
    sinceAnsweredP50Ms: answered.percentile(0.5),
    sinceAnsweredP99Ms: answered.percentile(0.99),
    sinceSentP99Ms: sent.percentile(0.99),
    serverCores,
  };
}

/** @throws Error when a client does not hold what its query answers */
async function checkAll(api: ApiClient, followers: readonly Follower[]): Promise<void> {
  const end = performance.now() + SETTLE_MS;
  for (const { query, rows } of followers) {
    for (;;) {
      const answer = new Map<string, unknown>();
      for await (const row of api.queries.rows(query, { countMax: 1000 })) answer.set(String(row.deviceId), row);
      const isSame =
        rows.size === answer.size &&
        [...answer].every(([id, row]) => JSON.stringify(rows.get(id)) === JSON.stringify(row));
      if (isSame) break;
      if (performance.now() > end)
        throw new Error(`${query}: the client holds ${rows.size} rows, and not what it answers`);
      await sleep(20);
    }
  }
}

function print({ followers, ratePerSecond, devices }: LiveQueryOptions, alone: Measured, beside: Measured): void {
  process.stdout.write(`${devices} devices, ${ratePerSecond} reports/s, ${followers} followers\n`);
  printTable([
    [
      '',
      'reports/s',
      'answer p50 ms',
      'p99 ms',
      'told/s',
      'answer to told p50 ms',
      'p99 ms',
      'report to told p99 ms',
      'server cores',
    ],
    ...[alone, beside].map((each, at) => [
      at === 0 ? 'without followers' : 'with',
      ...[
        figure(each.reportsPerSecond),
        figure(each.answerP50Ms),
        figure(each.answerP99Ms),
        figure(each.toldPerSecond),
      ],
      ...[figure(each.sinceAnsweredP50Ms), figure(each.sinceAnsweredP99Ms), figure(each.sinceSentP99Ms)],
      figure(each.serverCores),
    ]),
  ]);
}
