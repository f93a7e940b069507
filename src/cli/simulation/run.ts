import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import { type Login, portOf, serverName } from '../login/login.ts';
import { progressLine } from '../output/progress.ts';
import { count } from '../output/values.ts';
import { numberedIds } from '../registry/bulk.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import type { DeviceTarget } from './device.ts';
import { Fleet, type FleetOptions, propertyBag } from './fleet.ts';
import { createIdentities, deleteIdentities } from './identities.ts';
import { defaultTemplate, type Payload, payloadOfSize, payloadTemplate } from './payload.ts';
import { liveLine, type SimulationSummary, summaryOf, summaryText } from './report.ts';

/** How long the last acknowledgements may take after the sending has ended. */
const SETTLE_MS = 10_000;
const REDRAW_MS = 500;

/** What a run is to be, as the command line says it. */
export interface SimulationOptions {
  readonly devices: number;
  /** Messages per second of each device; Infinity = as fast as the hub acknowledges. */
  readonly rate: number;
  /** The same of all together; goes before `rate`. */
  readonly totalRate?: number;
  /** Messages of each device. */
  readonly count?: number;
  /** Milliseconds. */
  readonly duration?: number;
  readonly payload?: string;
  readonly property?: readonly (readonly [string, string])[];
  readonly qos: 0 | 1;
  readonly window: number;
  readonly connectsAtOnce: number;
  /** Reported patches per second of each device; absent = they report nothing. */
  readonly report?: number;
  /** Whether they answer methods. */
  readonly methods?: boolean;
  readonly prefix?: string;
  readonly keep?: boolean;
}

/**
 * Creates the devices, lets them send until the end or until stopped, deletes them, and prints what it came to.
 * @throws Failure when none could connect, or messages were not acknowledged.
 */
export async function simulate(
  login: Login,
  options: SimulationOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  const fleetOptions = planOf(login, options, terminal);
  const prefix = options.prefix ?? `sim-${randomBytes(3).toString('hex')}-`;
  const ids = numberedIds(prefix, options.devices);
  // Ids with a random part are nobody else's. With a given prefix only those that were surely created here are deleted.
  const owned = new Set(options.prefix === undefined ? ids : []);
  const progress = progressLine(terminal);
  const showCount = (doing: string, answered: number, total: number): void =>
    progress.show(`${doing} devices: ${count(answered)} of ${count(total)}`);
  const remove = (): Promise<void> =>
    withApi(login, ['registryReadWrite'], (api) =>
      deleteIdentities(api, [...owned], { onAnswered: (answered) => showCount('Deleting', answered, owned.size) }),
    ).finally(() => progress.end());
  let summary: SimulationSummary | undefined;
  try {
    const devices = await withApi(login, ['registryReadWrite'], (api) =>
      createIdentities(api, ids, {
        stop,
        onAnswered(answered, created) {
          showCount('Creating', answered, ids.length);
          for (const id of created) owned.add(id);
        },
      }),
    );
    if (!stop.aborted) summary = await play(new Fleet(devices, fleetOptions), fleetOptions, options, stop, terminal);
  } catch (error) {
    progress.end();
    // The first failure is the one to tell; that cleaning up failed as well is its consequence.
    if (options.keep !== true) await remove().catch(() => {});
    throw error;
  }
  progress.end();
  if (options.keep === true) note(terminal, `Kept the devices ${ids[0]} to ${ids.at(-1)}.`);
  else await remove();
  if (summary === undefined) return;
  await print(terminal, terminal.json ? JSON.stringify(summary, undefined, 2) : summaryText(terminal.out, summary));
  if (summary.unacknowledged > 0) {
    throw new Failure(`${count(summary.unacknowledged)} messages were not acknowledged.`, {
      hint: summary.lastError ?? 'The hub’s log may say why.',
    });
  }
}

/** Connects, sends, waits for what is missing, says good-bye. */
async function play(
  fleet: Fleet,
  plan: FleetOptions,
  options: SimulationOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<SimulationSummary> {
  const progress = progressLine(terminal);
  const line = liveLine(fleet, options.qos);
  let away = false;
  const redraw = setInterval(() => {
    progress.show(line());
    const { connected, lastError } = fleet.facts();
    if (connected === 0 && !away && lastError !== undefined) {
      progress.end();
      note(terminal, `No device is connected: ${lastError.message} They go on trying.`);
    }
    away = connected === 0;
  }, REDRAW_MS);
  try {
    await fleet.connect(stop);
    const { connected, lastError } = fleet.facts();
    if (connected === 0 && lastError !== undefined && !stop.aborted) throw lastError;
    const ends = options.duration === undefined ? [stop] : [stop, AbortSignal.timeout(options.duration)];
    const startedAt = performance.now();
    await fleet.run(AbortSignal.any(ends));
    const elapsedMs = performance.now() - startedAt;
    const atEnd = fleet.facts();
    await fleet.settle(SETTLE_MS);
    return summaryOf(fleet, atEnd, plan, elapsedMs);
  } finally {
    clearInterval(redraw);
    progress.end();
    await fleet.close();
  }
}

function planOf(login: Login, options: SimulationOptions, terminal: Terminal): FleetOptions {
  const payload = payloadOf(options.payload ?? defaultTemplate, terminal);
  const sample = payload({ deviceId: 'd', sequence: 1, time: 0, random: () => 0 });
  if (Buffer.byteLength(sample) > limits.telemetryBytesMax) {
    throw new Failure(`A message may have ${count(limits.telemetryBytesMax)} bytes at most.`, { usage: true });
  }
  return {
    target: targetOf(login),
    qos: options.qos,
    windowMax: options.window,
    properties: propertyBag(isJson(sample) ? 'application/json' : undefined, options.property ?? []),
    payload,
    ratePerSecond: options.totalRate ?? options.rate * options.devices,
    messagesPerDevice: options.count ?? Number.POSITIVE_INFINITY,
    connectsAtOnce: options.connectsAtOnce,
    reports: options.report !== undefined,
    reportsPerSecond: (options.report ?? 0) * options.devices,
    answersMethods: options.methods ?? false,
  };
}

function payloadOf(what: string, terminal: Terminal): Payload {
  if (/^\d{1,9}$/.test(what)) return payloadOfSize(Number(what));
  try {
    return payloadTemplate(
      what.startsWith('@') ? readFileSync(path.resolve(terminal.cwd, what.slice(1)), 'utf8') : what,
    );
  } catch (error) {
    throw new Failure(`--payload: ${(error as Error).message}`, { usage: true, cause: error });
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function targetOf(login: Login): DeviceTarget {
  const { hostName } = login;
  if (login.ports.mqtts === undefined && login.ports.mqtt !== undefined) {
    return { hostName, port: login.ports.mqtt, secureContext: undefined, serverName: '' };
  }
  const secureContext = tls.createSecureContext(login.ca === undefined ? {} : { ca: login.ca.pem });
  return { hostName, port: portOf(login, 'mqtts'), secureContext, serverName: serverName(hostName) };
}
