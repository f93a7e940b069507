/**
 * Devices that connect and leave at once, or are refused at once, by MQTT: what a connection costs, on hubs with different
 * settings in alternating rounds. Of a hub that records them, the monitoring stream must tell of every one.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startConnects } from './load/connects.ts';
import { streamFacts } from './monitoring-stream.ts';
import { cpuSeconds, machine, machineBusySeconds } from './process-facts.ts';
import { printTable, type RoundOptions, type Spread, show, spread, writeResult } from './report.ts';
import { type RunningHub, startHub, token } from './servers/hub.ts';

/** What happens to each connection. */
export type ChurnKind = 'connect and leave' | 'wrong key';

export interface ConnectChurnOptions extends RoundOptions {
  readonly kinds: readonly ChurnKind[];
  readonly tls: boolean;
  /** Settings to compare with the defaults, e.g. `--monitoring off`. */
  readonly variants: readonly string[];
  readonly inFlight: number;
}

interface Round {
  readonly perSecond: number;
  readonly perServerCpuSecond: number;
  readonly serverCores: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly generatorCores: number;
  readonly otherCores: number;
}

/** Several, so that no address runs out of ports: a connection that has ended keeps its own for a minute. */
const ADDRESSES = Array.from({ length: 8 }, (_, at) => `127.0.1.${at + 1}`);
const ATTEMPTS_MAX = 10_000_000;
const DEFAULTS = 'mooring';

/** Runs every kind on every hub, prints and writes the figures. @throws Error when a stream does not add up */
export async function connectChurn(options: ConnectChurnOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const names = [DEFAULTS, ...options.variants.map((settings) => `${DEFAULTS} ${settings}`)];
  const results: { kind: ChurnKind; rounds: Record<string, Round[]>; ratios: Record<string, Spread> }[] = [];
  for (const kind of options.kinds) {
    const rounds: Record<string, Round[]> = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = 0; round < options.rounds; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        rounds[name].push(await measure(kind, name.slice(DEFAULTS.length).trim(), options));
      }
    }
    const ratios = ratiosOf(rounds);
    results.push({ kind, rounds, ratios });
    print(kind, rounds, ratios, options);
  }
  const { directory: _, jsonFile, ...settings } = options;
  const file = writeResult('connect-churn', { machine: machine(), settings, results }, jsonFile);
  process.stdout.write(`${file}\n`);
}

async function measure(kind: ChurnKind, settings: string, options: ConnectChurnOptions): Promise<Round> {
  const directory = mkdtempSync(path.join(options.directory, 'connect-churn-'));
  // Refusals are answered at once: their cost is asked for, not how long a stranger waits.
  const flags = ['--refusal-delay-seconds', '0', ...(settings === '' ? [] : settings.split(' '))];
  const { tls, inFlight } = options;
  // Twice as many devices as connections at a time: one that comes back is not taken over by itself.
  const hub = await startHub({ connections: inFlight * 2, tls, directory, bag: '', flags });
  const { hostName } = hub.endpoints;
  const wrong = (id: string): string =>
    token(`${hostName}/devices/${id}`, Buffer.from(`wrong ${id}`).toString('base64'));
  const logins = hub.logins.map(({ clientId, username, password }) => ({
    clientId,
    username,
    password: kind === 'wrong key' ? wrong(clientId) : password,
  }));
  const churn = await startConnects({
    ...{ port: hub.port, ca: hub.ca, logins, inFlightMax: inFlight, addresses: ADDRESSES },
    ...{ attemptsMax: ATTEMPTS_MAX, secondsMax: options.warmupSeconds + options.seconds + 60 },
  });
  try {
    await sleep(options.warmupSeconds * 1000);
    churn.mark();
    const [at, cpu, busy] = [performance.now(), cpuSeconds(hub.pid), machineBusySeconds()];
    await Promise.race([sleep(options.seconds * 1000), churn.ended]);
    churn.mark();
    const took = (performance.now() - at) / 1000;
    const serverCores = (cpuSeconds(hub.pid) - cpu) / took;
    const busyCores = (machineBusySeconds() - busy) / took;
    const result = await churn.stop();
    const { begun, accepted, refused, cut, marks, latency } = result;
    const wanted = kind === 'wrong key' ? refused : accepted;
    if (wanted !== begun) throw new Error(`${kind}: of ${begun}, ${accepted} accepted, ${refused} refused, ${cut} cut`);
    await checkStream(hub, kind, settings, begun);
    const [first, last] = marks;
    const marked = (last.atMs - first.atMs) / 1000;
    const perSecond = (last.accepted + last.refused - first.accepted - first.refused) / marked;
    const generatorCores = (last.cpuSeconds - first.cpuSeconds) / marked;
    return {
      perSecond,
      perServerCpuSecond: perSecond / serverCores,
      serverCores,
      p50Ms: latency.percentile(0.5),
      p99Ms: latency.percentile(0.99),
      generatorCores,
      otherCores: Math.max(0, busyCores - serverCores - generatorCores),
    };
  } finally {
    churn.close();
    await hub.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function checkStream(hub: RunningHub, kind: ChurnKind, settings: string, count: number): Promise<void> {
  if (settings.includes('--monitoring off')) return;
  await streamFacts(hub, ({ events, refusals }) =>
    kind === 'wrong key'
      ? refusals === count
      : events.get('connected') === count && events.get('disconnected') === count,
  );
}

/** The defaults against each variant, round by round. */
function ratiosOf(rounds: Record<string, Round[]>): Record<string, Spread> {
  const ratios: Record<string, Spread> = {};
  for (const name of Object.keys(rounds).filter((name) => name !== DEFAULTS)) {
    const ratio = (of: (round: Round) => number): Spread =>
      spread(rounds[DEFAULTS].map((round, at) => of(round) / of(rounds[name][at])));
    ratios[`connections/s against ${name}`] = ratio((round) => round.perSecond);
    ratios[`connections per server CPU second against ${name}`] = ratio((round) => round.perServerCpuSecond);
    ratios[`p99 against ${name}`] = ratio((round) => round.p99Ms);
  }
  return ratios;
}

function print(
  kind: ChurnKind,
  rounds: Record<string, Round[]>,
  ratios: Record<string, Spread>,
  { tls, inFlight, rounds: count, seconds }: ConnectChurnOptions,
): void {
  process.stdout.write(
    `\n${kind}: ${inFlight} connections at a time, ${tls ? 'TLS, full handshakes' : 'plain TCP'}, ` +
      `${count} x ${seconds} s, median (min..max)\n`,
  );
  const columns: readonly (readonly [name: string, of: (round: Round) => number])[] = [
    ['connections/s', (round) => round.perSecond],
    ['per CPU s', (round) => round.perServerCpuSecond],
    ['cores', (round) => round.serverCores],
    ['p50 ms', (round) => round.p50Ms],
    ['p99 ms', (round) => round.p99Ms],
    ['load gen. cores', (round) => round.generatorCores],
    ['other cores', (round) => round.otherCores],
  ];
  printTable([
    ['', ...columns.map(([name]) => name)],
    ...Object.entries(rounds).map(([name, of]) => [name, ...columns.map(([, column]) => show(spread(of.map(column))))]),
  ]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
}
