/**
 * Reported patches: devices over MQTT, each with one patch under way, beside PostgreSQL that merges the same values into a row of
 * `jsonb`, each in a transaction that waits for the disk. All servers run from the start; the load goes round between them.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Histogram } from './load/histogram.ts';
import { openDevices, type TopicDevice } from './load/topic-device.ts';
import { cpuSeconds, fdatasyncMedianMs, machine, machineBusySeconds } from './process-facts.ts';
import { countingReader } from './readers/counting.ts';
import { printTable, type RoundOptions, type Spread, show, spread, writeResult } from './report.ts';
import { callHub, type RunningHub, startHub } from './servers/hub.ts';
import { type RunningPostgres, startPostgres } from './servers/postgresql.ts';
import { placeOf } from './telemetry-out.ts';

export interface TwinsReportedOptions extends RoundOptions {
  readonly devices: number;
  /** Sizes of each twin's reported section. */
  readonly twinKiB: readonly number[];
  /** PostgreSQL's; none = without PostgreSQL. The better of them counts. */
  readonly clients: readonly number[];
  /** With events of twins beside. */
  readonly withEvents: boolean;
}

interface Round {
  readonly patchesPerSecond: number;
  readonly perCpuSecond: number;
  readonly serverCores: number;
  /** Of the hub: from a patch to its answer. */
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** Of PostgreSQL, as pgbench tells it. */
  readonly meanMs?: number;
  /** Cores that neither the server nor the generator used. */
  readonly otherCores?: number;
}

interface System {
  readonly name: string;
  fill(kib: number): Promise<void>;
  measure(): Promise<Round>;
  /** What was told is so. @throws Error */
  check(): Promise<void>;
  stop(): Promise<void>;
}

const HUB = 'mooring';
const EVENTS = 'mooring, twinChangeEvents';
const PROPERTY_BYTES = 200;
const EVENTS_WAIT_MS = 60_000;

export async function twinsReported(options: TwinsReportedOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const fdatasyncMs = fdatasyncMedianMs(options.directory);
  const directory = mkdtempSync(path.join(options.directory, 'twins-'));
  const systems: System[] = [];
  try {
    systems.push(await hubSystem(HUB, false, directory, options));
    if (options.withEvents) systems.push(await hubSystem(EVENTS, true, directory, options));
    if (options.clients.length > 0) systems.push(...(await postgresSystems(directory, options)));
    const results = [];
    for (const kib of options.twinKiB) {
      for (const system of systems) await system.fill(kib);
      const rounds: Record<string, Round[]> = Object.fromEntries(systems.map(({ name }) => [name, []]));
      for (let round = 0; round < options.rounds; round++) {
        for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
          rounds[system.name].push(await system.measure());
        }
      }
      const ratios = ratiosOf(rounds, options);
      results.push({ kib, rounds, ratios });
      print(kib, rounds, ratios, options);
    }
    for (const system of systems) await system.check();
    process.stdout.write(`\nfdatasync of 512 appended bytes on this disk: p50 ${fdatasyncMs.toFixed(2)} ms\n`);
    const { directory: _, jsonFile, ...settings } = options;
    const result = { machine: machine(), fdatasyncMs, settings, results };
    process.stdout.write(`${writeResult('twins-reported', result, jsonFile)}\n`);
  } finally {
    for (const system of systems) await system.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function hubSystem(
  name: string,
  withEvents: boolean,
  directory: string,
  options: TwinsReportedOptions,
): Promise<System> {
  const folder = mkdtempSync(path.join(directory, 'mooring-'));
  const flags = withEvents ? ['--event-sources', 'DeviceMessages,twinChangeEvents'] : [];
  const hub = await startHub({ connections: options.devices, tls: false, directory: folder, bag: '', flags });
  const devices = await openDevices(hub.port, hub.logins, () => ['$iothub/twin/res/#']);
  const reporters = devices.map((device) => new Reporter(device));
  return {
    name,
    async fill(kib) {
      await Promise.all(reporters.map((reporter) => reporter.report(documentOf(kib))));
    },
    async measure() {
      const latency = new Histogram();
      const round = await loaded(
        () => cpuSeconds(hub.pid),
        options,
        (isOn) => Promise.all(reporters.map((reporter) => reporter.run(isOn, latency))),
        () => latency.clear(),
      );
      const { seconds, serverCores, otherCores } = round;
      return {
        patchesPerSecond: latency.total / seconds,
        perCpuSecond: latency.total / seconds / serverCores,
        serverCores,
        p50Ms: latency.percentile(0.5),
        p99Ms: latency.percentile(0.99),
        otherCores,
      };
    },
    check: () => checkHub(hub, reporters, withEvents),
    async stop() {
      for (const device of devices) device.close();
      await hub.stop();
    },
  };
}

/** A device that reports one patch behind the other. */
class Reporter {
  readonly id: string;
  accepted = 0;
  readonly #device: TopicDevice;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};

  constructor(device: TopicDevice) {
    this.id = device.id;
    this.#device = device;
    device.hear = (topic) => this.#answered(topic);
  }

  report(patch: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#device.publish(`$iothub/twin/PATCH/properties/reported/?$rid=${this.accepted}`, Buffer.from(patch));
    });
  }

  async run(isOn: () => boolean, latency: Histogram): Promise<void> {
    while (isOn()) {
      const begun = performance.now();
      const temperature = Math.floor(Math.random() * 100_000);
      await this.report(`{"temperature":${temperature},"count":${this.accepted}}`);
      latency.record(performance.now() - begun);
    }
  }

  #answered(topic: string): void {
    if (topic.startsWith(`$iothub/twin/res/204/?$rid=${this.accepted}&`)) {
      this.accepted++;
      this.#resolve();
    } else this.#reject(new Error(`${this.id}: patch ${this.accepted} was answered ${topic}`));
  }
}

/** Runs a load for warm-up and measured seconds. @param begin when the measured part begins */
async function loaded(
  cpu: () => number,
  { warmupSeconds, seconds }: TwinsReportedOptions,
  run: (isOn: () => boolean) => Promise<unknown>,
  begin: () => void,
): Promise<{ readonly seconds: number; readonly serverCores: number; readonly otherCores: number }> {
  let isOn = true;
  const ended = run(() => isOn);
  await Promise.race([sleep(warmupSeconds * 1000), ended]);
  begin();
  const at = performance.now();
  const [server, own, busy] = [cpu(), process.cpuUsage(), machineBusySeconds()];
  await Promise.race([sleep(seconds * 1000), ended]);
  isOn = false;
  const serverSeconds = cpu() - server;
  const used = process.cpuUsage(own);
  const others = machineBusySeconds() - busy - serverSeconds - (used.user + used.system) / 1e6;
  const measured = (performance.now() - at) / 1000;
  await ended;
  return {
    seconds: measured,
    serverCores: serverSeconds / measured,
    otherCores: Math.max(0, others / measured),
  };
}

/** Each twin's version is the number of its device's accepted patches; each of them is one event, where events are on. */
async function checkHub(hub: RunningHub, reporters: readonly Reporter[], withEvents: boolean): Promise<void> {
  for (const { id, accepted } of reporters) {
    const twin = JSON.parse(await callHub(hub, 'GET', `/twins/${id}?api-version=2021-04-12`, ''));
    const { $version } = twin.properties.reported;
    if ($version !== accepted + 1) throw new Error(`${id}: ${accepted} patches were accepted, $version is ${$version}`);
  }
  if (!withEvents) return;
  const events = reporters.reduce((sum, { accepted }) => sum + accepted, 0);
  const late = sleep(EVENTS_WAIT_MS, 'late', { ref: false });
  const read = countingReader(placeOf(hub, false), events);
  if ((await Promise.race([read, late])) === 'late') throw new Error(`fewer events than ${events} patches`);
}

async function postgresSystems(directory: string, options: TwinsReportedOptions): Promise<readonly System[]> {
  const postgres = await startPostgres(directory);
  process.stdout.write(`PostgreSQL ${postgres.version}\n`);
  return options.clients.map((clients, nth) => ({
    name: nameOf(clients),
    async fill(kib) {
      if (nth === 0) postgres.fill(options.devices, documentOf(kib));
    },
    measure: () => measurePostgres(postgres, clients, directory, options),
    check: async () => {},
    stop: async () => {
      if (nth === 0) await postgres.stop();
    },
  }));
}

const nameOf = (clients: number): string => `postgresql, ${clients} clients`;

async function measurePostgres(
  postgres: RunningPostgres,
  clients: number,
  directory: string,
  { devices, warmupSeconds, seconds }: TwinsReportedOptions,
): Promise<Round> {
  const cpu = { begin: 0, end: 0 };
  const { perSecond, meanMs } = await postgres.update({
    twins: devices,
    clients,
    warmupSeconds,
    seconds,
    directory,
    mark(end, used) {
      cpu[end] = used;
    },
  });
  const serverCores = (cpu.end - cpu.begin) / seconds;
  return {
    patchesPerSecond: perSecond,
    perCpuSecond: perSecond / serverCores,
    serverCores,
    meanMs,
  };
}

/** JSON of about that size: properties of text that does not compress to nothing. */
function documentOf(kib: number): string {
  const document: Record<string, string> = {};
  let seed = 1;
  const text = (length: number): string =>
    Array.from({ length }, () => {
      seed = (seed * 48_271) % 0x7fffffff;
      return (seed % 36).toString(36);
    }).join('');
  for (let left = kib * 1024, at = 0; left > 0; left -= PROPERTY_BYTES, at++) {
    document[`property${at}`] = text(Math.max(1, Math.min(left, PROPERTY_BYTES) - 16));
  }
  return JSON.stringify(document);
}

function ratiosOf(rounds: Record<string, Round[]>, options: TwinsReportedOptions): Record<string, Spread> {
  const own = rounds[HUB];
  const ratios: Record<string, Spread> = {};
  const better = (of: (round: Round) => number, at: number): number =>
    Math.max(...options.clients.map((clients) => of(rounds[nameOf(clients)][at])));
  const of = {
    'patches/s': (round: Round): number => round.patchesPerSecond,
    'patches per server CPU second': (round: Round): number => round.perCpuSecond,
  };
  for (const [name, value] of Object.entries(of)) {
    if (options.clients.length > 0) {
      ratios[`${name} against the better of postgresql`] = spread(
        own.map((round, at) => value(round) / better(value, at)),
      );
    }
    if (options.withEvents) {
      ratios[`${name} with twinChangeEvents against without`] = spread(
        own.map((round, at) => value(rounds[EVENTS][at]) / value(round)),
      );
    }
  }
  return ratios;
}

function print(
  kib: number,
  rounds: Record<string, Round[]>,
  ratios: Record<string, Spread>,
  options: TwinsReportedOptions,
): void {
  process.stdout.write(
    `\n${options.devices} devices with one reported patch under way, twins of ${kib} KiB, plain TCP, ` +
      `${options.rounds} x ${options.seconds} s, median (min..max)\n`,
  );
  const columns: readonly (readonly [string, (round: Round) => number | undefined])[] = [
    ['patches/s', (round) => round.patchesPerSecond],
    ['per CPU s', (round) => round.perCpuSecond],
    ['cores', (round) => round.serverCores],
    ['p50 ms', (round) => round.p50Ms],
    ['p99 ms', (round) => round.p99Ms],
    ['mean ms', (round) => round.meanMs],
    ['other cores', (round) => round.otherCores],
  ];
  const cell = (values: readonly (number | undefined)[]): string => {
    const known = values.filter((value) => value !== undefined);
    return known.length === 0 ? '' : show(spread(known));
  };
  printTable([
    ['', ...columns.map(([name]) => name)],
    ...Object.entries(rounds).map(([name, of]) => [name, ...columns.map(([, value]) => cell(of.map(value)))]),
  ]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
}
