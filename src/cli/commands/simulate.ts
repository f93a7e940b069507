import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import { type Login, portOf, serverName } from '../login/login.ts';
import { progressLine } from '../output/progress.ts';
import { count } from '../output/values.ts';
import { numberedIds } from '../registry/bulk.ts';
import { withApi } from '../registry/with-api.ts';
import type { DeviceTarget } from '../simulation/device.ts';
import { connectsAtOnceDefault, Fleet, type FleetOptions, propertyBag } from '../simulation/fleet.ts';
import { createIdentities, deleteIdentities } from '../simulation/identities.ts';
import { defaultTemplate, type Payload, payloadOfSize, payloadTemplate } from '../simulation/payload.ts';
import { liveLine, type SimulationSummary, summaryOf, summaryText } from '../simulation/report.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, durationMs, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

/** How long the last acknowledgements may take after the sending has ended. */
const SETTLE_MS = 10_000;
const REDRAW_MS = 500;

interface SimulateOptions extends CommonOptions {
  readonly devices: number;
  readonly rate: number;
  readonly totalRate?: number;
  readonly count?: number;
  readonly duration?: number;
  readonly payload?: string;
  readonly property?: readonly (readonly [string, string])[];
  readonly qos: 0 | 1;
  readonly window: number;
  readonly connectsAtOnce: number;
  readonly prefix?: string;
  readonly keep?: boolean;
}

export function addSimulateCommand(program: Command, terminal: Terminal): void {
  const perDevice = new Option('--rate <n>', 'messages of each device: 5, 0.1, 30/m, or max (as fast as it goes)')
    .argParser(perSecond)
    .default(1, '1 a second')
    .conflicts('totalRate');
  const simulate = withLogin(program.command('simulate'))
    .summary('many devices that send telemetry')
    .description(
      'Plays many devices over the real protocol (MQTT with TLS, a token of its own for each), until Ctrl-C, ' +
        '--duration or --count ends it. Creates the devices first and deletes them afterwards.\n\n' +
        'A template is text with {{device}}, {{sequence}}, {{time}}, {{random 18 25}} and {{integer 1 6}} in it.',
    )
    .option('--devices <n>', 'how many', wholeNumber(1, limits.cliSimulatedDevicesMax), 10)
    .addOption(perDevice)
    .addOption(new Option('--total-rate <n>', 'messages of all devices together').argParser(perSecond))
    .option('--count <n>', 'end after so many messages of each device', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--duration <time>', 'end after so long: 30s, 10m, 1h', durationMs)
    .option('--payload <what>', 'bytes (256), @FILE or a template (default: a small reading in JSON)')
    .option('--property <name=value...>', 'application properties of each message', property)
    .addOption(
      new Option('--qos <level>', 'MQTT quality of service').choices(['0', '1']).argParser(qosLevel).default(1),
    )
    .option('--window <n>', 'unacknowledged messages of a device before it waits', wholeNumber(1, 0xffff), 20)
    .option(
      '--connects-at-once <n>',
      'connections that are made at the same time',
      wholeNumber(1, limits.cliConnectsAtOnceMax),
      connectsAtOnceDefault,
    )
    .option('--prefix <text>', 'what stands before the numbers of the device ids (default: sim- and a random part)')
    .option('--keep', 'do not delete the devices afterwards')
    .action((options: SimulateOptions) =>
      terminal.untilStopped((stop) => simulateFleet(loginFrom(options, terminal), options, stop, terminal)),
    );
  examples(simulate, [
    'mooring simulate --devices 100 --duration 1m',
    'mooring simulate --devices 1000 --total-rate 5000 --payload 256',
    `mooring simulate --devices 3 --payload '{"t":{{random 18 25}}}' --property room=attic`,
  ]);
}

function perSecond(text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m|h))?$/.exec(text);
  const value = match === null ? 0 : Number(match[1]) / { s: 1, m: 60, h: 3600 }[match[2] ?? 's']!;
  if (value <= 0) throw new InvalidArgumentError('It looks like 5, 0.1, 30/m or max.');
  return value;
}

function qosLevel(text: string): 0 | 1 {
  if (text !== '0' && text !== '1') throw new InvalidArgumentError('It is 0 or 1.');
  return text === '0' ? 0 : 1;
}

function property(
  text: string,
  others: readonly (readonly [string, string])[] = [],
): readonly (readonly [string, string])[] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError('It looks like name=value.');
  return [...others, [text.slice(0, equals), text.slice(equals + 1)]];
}

async function simulateFleet(
  login: Login,
  options: SimulateOptions,
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
    if (!stop.aborted) summary = await play(new Fleet(devices, fleetOptions), options, stop, terminal);
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
  options: SimulateOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<SimulationSummary> {
  const progress = progressLine(terminal);
  const line = liveLine(fleet, options.qos);
  const redraw = setInterval(() => progress.show(line()), REDRAW_MS);
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
    return summaryOf(fleet, atEnd, options.qos, elapsedMs);
  } finally {
    clearInterval(redraw);
    progress.end();
    await fleet.close();
  }
}

function planOf(login: Login, options: SimulateOptions, terminal: Terminal): FleetOptions {
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
