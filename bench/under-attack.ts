/**
 * Good devices alone, beside wrong keys over TLS at the rate the machine takes, and beside wrong keys over plain MQTT at a
 * given rate. In each: as many messages as are acknowledged, and then the latency at a fixed rate. Every round has a fresh
 * hub, on its defaults but for one: it does not make strangers wait for their answers, which would hold the attack up.
 * Afterwards its monitoring stream must tell of every single attempt, and of no good device that lost its connection.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type Connects, type ConnectsResult, startConnects } from './load/connects.ts';
import { runLoad } from './load/load.ts';
import { streamFacts } from './monitoring-stream.ts';
import { cpuSeconds, machine, machineBusySeconds, residentPeakMiB } from './process-facts.ts';
import { figure, printTable, type Spread, show, spread, writeResult } from './report.ts';
import { type RunningHub, startHub, token } from './servers/hub.ts';
import type { Shape } from './telemetry-in.ts';

export interface UnderAttackOptions {
  readonly shape: Shape;
  /** The good devices over TLS. */
  readonly tls: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly threads: number;
  /** Messages per second of the good devices where latency is measured. */
  readonly ratePerSecond: number;
  /** Attempts per second over plain MQTT. */
  readonly attackPerSecond: number;
  /** Attempts over TLS at the same time. */
  readonly attackInFlight: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

const scenarios = ['alone', 'beside TLS attack', 'beside plain attack'] as const;
type Scenario = (typeof scenarios)[number];

const ATTACKERS = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];
const PLAIN_IN_FLIGHT = 2000;
const ATTEMPTS_MAX = 10_000_000;
const ATTACK_SECONDS_MAX = 600;

/** Figures of the closed loop and of the fixed rate, and what the attack was meanwhile. */
interface Round {
  readonly acknowledgedPerSecond: number;
  readonly p99Ms: number;
  readonly serverCores: number;
  readonly attemptsPerSecond: number;
  readonly atRateP50Ms: number;
  readonly atRateP99Ms: number;
  readonly atRateServerCores: number;
  readonly atRateAttemptsPerSecond: number;
  readonly attackerCores: number;
  readonly generatorCores: number;
  readonly otherCores: number;
  readonly residentPeakMiB: number;
  readonly attempts: number;
  readonly cut: number;
  readonly toldInEvents: number;
}

/** Runs the rounds, prints and writes the figures. @throws Error when a stream does not add up */
export async function underAttack(options: UnderAttackOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const rounds: Record<Scenario, Round[]> = { alone: [], 'beside TLS attack': [], 'beside plain attack': [] };
  for (let round = 0; round < options.rounds; round++) {
    for (const scenario of round % 2 === 0 ? scenarios : scenarios.toReversed()) {
      rounds[scenario].push(await measure(scenario, options));
    }
  }
  const ratios = ratiosOf(rounds);
  print(rounds, ratios, options);
  const { directory: _, jsonFile, ...settings } = options;
  const file = writeResult('under-attack', { machine: machine(), settings, rounds, ratios }, jsonFile);
  process.stdout.write(`${file}\n`);
}

async function measure(scenario: Scenario, options: UnderAttackOptions): Promise<Round> {
  const directory = mkdtempSync(path.join(options.directory, 'under-attack-'));
  const flags = ['--refusal-delay-seconds', '0'];
  const hub = await startHub({ connections: options.shape.connections, tls: false, directory, bag: '', flags });
  let attack: Connects | undefined;
  try {
    attack = scenario === 'alone' ? undefined : await startAttack(scenario, hub, options);
    const closed = await load(hub, attack, options);
    const atRate = await load(hub, attack, options, options.ratePerSecond);
    const result = await attack?.stop();
    const told = await checkStream(hub, options, result);
    const rates = result === undefined ? [0, 0] : [0, 2].map((mark) => attemptRate(result, mark));
    const cores = result === undefined ? 0 : attackerCores(result);
    return {
      acknowledgedPerSecond: closed.acknowledgedPerSecond,
      p99Ms: closed.latency.percentile(0.99),
      serverCores: closed.serverCores,
      attemptsPerSecond: rates[0],
      atRateP50Ms: atRate.latency.percentile(0.5),
      atRateP99Ms: atRate.latency.percentile(0.99),
      atRateServerCores: atRate.serverCores,
      atRateAttemptsPerSecond: rates[1],
      attackerCores: cores,
      generatorCores: closed.generatorCores,
      otherCores: Math.max(0, closed.busyCores - closed.serverCores - closed.generatorCores - cores),
      residentPeakMiB: residentPeakMiB(hub.pid),
      attempts: result?.begun ?? 0,
      cut: result?.cut ?? 0,
      toldInEvents: told,
    };
  } finally {
    attack?.close();
    await hub.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Wrong keys for the very devices that are good. */
function startAttack(scenario: Scenario, hub: RunningHub, options: UnderAttackOptions): Promise<Connects> {
  const { hostName, ports } = hub.endpoints;
  const logins = hub.logins.map(({ clientId, username }) => ({
    clientId,
    username,
    password: token(`${hostName}/devices/${clientId}`, Buffer.from(`wrong key of ${clientId}`).toString('base64')),
  }));
  const bounds = { logins, addresses: ATTACKERS, attemptsMax: ATTEMPTS_MAX, secondsMax: ATTACK_SECONDS_MAX };
  return scenario === 'beside TLS attack'
    ? startConnects({ ...bounds, port: ports.mqtts as number, ca: hub.caText, inFlightMax: options.attackInFlight })
    : startConnects({
        ...bounds,
        port: ports.mqtt as number,
        inFlightMax: PLAIN_IN_FLIGHT,
        ratePerSecond: options.attackPerSecond,
      });
}

async function load(
  hub: RunningHub,
  attack: Connects | undefined,
  options: UnderAttackOptions,
  ratePerSecond?: number,
) {
  const { tls, shape, threads, warmupSeconds, seconds } = options;
  const place = tls ? { port: hub.endpoints.ports.mqtts as number, ca: hub.caText } : { port: hub.port };
  const at = { begin: 0, end: 0 };
  const cpu = { begin: 0, end: 0 };
  const busy = { begin: 0, end: 0 };
  const result = await runLoad({
    target: { host: hub.host, ...place, inFlight: shape.inFlight, payloadBytes: shape.payloadBytes },
    logins: hub.logins,
    ...{ threads, warmupSeconds, seconds, ratePerSecond },
    mark(end) {
      attack?.mark();
      at[end] = performance.now() / 1000;
      cpu[end] = cpuSeconds(hub.pid);
      busy[end] = machineBusySeconds();
    },
  });
  if (result.unacknowledged > 0) throw new Error(`${result.unacknowledged} messages were never acknowledged`);
  const took = at.end - at.begin;
  return { ...result, serverCores: (cpu.end - cpu.begin) / took, busyCores: (busy.end - busy.begin) / took };
}

/** Refused attempts per second between two marks. */
function attemptRate({ marks }: ConnectsResult, at: number): number {
  const [begin, end] = [marks[at], marks[at + 1]];
  return ((end.refused - begin.refused) / (end.atMs - begin.atMs)) * 1000;
}

function attackerCores({ marks: [begin, end] }: ConnectsResult): number {
  return ((end.cpuSeconds - begin.cpuSeconds) / (end.atMs - begin.atMs)) * 1000;
}

/** Every attempt is in the counts, and every good device stayed connected. Returns how many events tell of the attempts. */
async function checkStream(
  hub: RunningHub,
  { shape }: UnderAttackOptions,
  attack: ConnectsResult | undefined,
): Promise<number> {
  const { refused = 0, cut = 0, accepted = 0 } = attack ?? {};
  const goodConnections = shape.connections * 2;
  const { events, refusals } = await streamFacts(
    hub,
    (facts) => facts.refusals >= refused && (facts.events.get('disconnected by-client') ?? 0) >= goodConnections,
  );
  // Whether the hub has seen an attempt that was cut off is not known here.
  const addsUp = refusals <= refused + cut && accepted === 0;
  const undisturbed = events.get('connected') === goodConnections && events.get('disconnected') === goodConnections;
  if (addsUp && undisturbed && !events.has('eventsMissed')) return events.get('authenticationFailed') ?? 0;
  throw new Error(`${refused} refused, ${cut} cut, told: ${refusals}; ${JSON.stringify([...events])}`);
}

/** The attacked rounds against those alone, round by round. */
function ratiosOf(rounds: Record<Scenario, Round[]>): Record<string, Spread> {
  const ratios: Record<string, Spread> = {};
  for (const scenario of scenarios.slice(1)) {
    const ratio = (of: (round: Round) => number): Spread =>
      spread(rounds[scenario].map((round, at) => of(round) / of(rounds.alone[at])));
    ratios[`messages/s ${scenario} against alone`] = ratio((round) => round.acknowledgedPerSecond);
    ratios[`p99 at the fixed rate ${scenario} against alone`] = ratio((round) => round.atRateP99Ms);
  }
  return ratios;
}

function print(rounds: Record<Scenario, Round[]>, ratios: Record<string, Spread>, options: UnderAttackOptions): void {
  const { shape, tls, ratePerSecond, attackPerSecond, attackInFlight } = options;
  process.stdout.write(
    `\n${shape.connections} good devices x ${shape.inFlight} in flight x ${shape.payloadBytes} bytes, ${tls ? 'TLS' : 'plain TCP'}, ` +
      `QoS 1; closed loop, then ${ratePerSecond}/s due; ${options.rounds} x ${options.seconds} s each, median (min..max)\n` +
      `Attacks from ${ATTACKERS.length} addresses with wrong keys of the good devices: over TLS, full handshakes, ` +
      `${attackInFlight} at a time, as fast as the machine takes; over plain MQTT ${attackPerSecond}/s due\n`,
  );
  const columns: readonly (readonly [name: string, of: (round: Round) => number])[] = [
    ['acked/s', (round) => round.acknowledgedPerSecond],
    ['p99 ms', (round) => round.p99Ms],
    ['hub cores', (round) => round.serverCores],
    ['attempts/s', (round) => round.attemptsPerSecond],
    ['p50 ms at rate', (round) => round.atRateP50Ms],
    ['p99 ms at rate', (round) => round.atRateP99Ms],
    ['hub cores', (round) => round.atRateServerCores],
    ['attempts/s', (round) => round.atRateAttemptsPerSecond],
    ['attacker cores', (round) => round.attackerCores],
    ['load gen. cores', (round) => round.generatorCores],
    ['other cores', (round) => round.otherCores],
    ['peak RSS MiB', (round) => round.residentPeakMiB],
  ];
  printTable([
    ['', ...columns.map(([name]) => name)],
    ...scenarios.map((scenario) => [scenario, ...columns.map(([, of]) => show(spread(rounds[scenario].map(of))))]),
  ]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
  for (const scenario of scenarios.slice(1)) {
    const total = (of: (round: Round) => number): string =>
      figure(rounds[scenario].reduce((sum, round) => sum + of(round), 0));
    process.stdout.write(
      `${scenario}: ${total((round) => round.attempts)} attempts, ${total((round) => round.cut)} cut off without an answer; ` +
        `all told, in ${total((round) => round.toldInEvents)} events, and no good device lost its connection\n`,
    );
  }
}
