/**
 * What one who behaves waits for while each kind of attacker tries each door (`test/hostile/door-attacks.ts`): the p99 and the longest
 * of QoS 1 round trips and of HTTPS requests, and the memory that the hub takes for each byte that the attacker has sent. One hub for
 * all attacks, with each number of listener threads; the attacker is a thread of this process.
 */

import { besideAttack, createParties, type WatchedHub, watchedHub } from '../test/hostile/beside-attack.ts';
import { doorAttacks, nameOf } from '../test/hostile/door-attacks.ts';
import { percentile, type Rounds, startWitness, type Witness } from '../test/hostile/witness.ts';
import { cpuSeconds, machine } from './process-facts.ts';
import { figure, printTable, writeResult } from './report.ts';

export interface DoorsUnderAttackOptions {
  /** Numbers of listener threads. */
  readonly threads: readonly number[];
  /** Text in the names of those that are wanted, of attacker, door and attack. */
  readonly only: string;
  /** Of each attack. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly jsonFile?: string;
}

/** Milliseconds of the rounds of one of the two witnesses. */
interface Waits {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  /** Each round, in their order. */
  readonly roundsMs: readonly number[];
}

interface Row {
  readonly threads: number;
  readonly attack: string;
  readonly mqtt: Waits;
  readonly https: Waits;
  /** CPU milliseconds of turns of the hub's loops that were busy for long: what others do on the machine is not in them. */
  readonly turns: readonly number[];
  readonly hubCores: number;
  readonly sentBytes: number;
  readonly grownMiB: number;
}

type Figures = Omit<Row, 'threads' | 'attack' | 'hubCores'>;

/** What is to be reached (p99, longest), milliseconds. */
const P99_MS_MAX = 100;
const LONGEST_MS_MAX = 500;
const pause = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

export async function doorsUnderAttack(options: DoorsUnderAttackOptions): Promise<void> {
  const rows: Row[] = [];
  for (const threads of options.threads) {
    await using watched = await watchedHub({ args: ['--threads', String(threads)] });
    const { hub } = watched;
    await createParties(hub);
    const witness = await startWitness(hub);
    // Code that is compiled on the way is not what is measured.
    await pause(options.warmupSeconds);
    const measured = async (attack: string, doing: () => Promise<Figures>) => {
      const [begun, cpu] = [performance.now(), cpuSeconds(hub.pid)];
      const figures = await doing();
      const hubCores = (cpuSeconds(hub.pid) - cpu) / ((performance.now() - begun) / 1000);
      rows.push({ threads, attack, ...figures, hubCores });
      process.stdout.write(
        `${threads} ${attack}: ${line(figures.mqtt)}, ${line(figures.https)}, turn ${Math.max(0, ...figures.turns)}\n`,
      );
      await pause(1);
    };
    await measured('none', () => alone(watched, witness, options.seconds));
    for (const [at, each] of doorAttacks.entries()) {
      const attack = nameOf(each);
      if (!attack.includes(options.only)) continue;
      await measured(attack, async () => {
        const { sentBytes, idleMiB, peakMiB, ...found } = await besideAttack(
          watched,
          witness,
          at,
          options.seconds * 1000,
        );
        return { ...waitsOf(found), turns: found.turns, sentBytes, grownMiB: peakMiB - idleMiB };
      });
    }
    await measured('none, afterwards', () => alone(watched, witness, options.seconds));
    await witness.stop();
  }
  print(rows);
  const { jsonFile, ...settings } = options;
  process.stdout.write(`${writeResult('doors-under-attack', { machine: machine(), settings, rows }, jsonFile)}\n`);
}

async function alone(watched: WatchedHub, witness: Witness, seconds: number): Promise<Figures> {
  await witness.rounds();
  const begun = Date.now();
  await pause(seconds);
  const rounds = await witness.rounds();
  return { ...waitsOf(rounds), turns: watched.turnsSince(begun), sentBytes: 0, grownMiB: 0 };
}

function waitsOf(rounds: Rounds): { readonly mqtt: Waits; readonly https: Waits } {
  const of = (times: readonly number[]): Waits => ({
    count: times.length,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    longestMs: percentile(times, 1),
    roundsMs: times.map((ms) => Math.round(ms * 10) / 10),
  });
  return { mqtt: of(rounds.mqtt), https: of(rounds.https) };
}

const line = ({ count, p99Ms, longestMs }: Waits): string =>
  `${count} p99 ${figure(p99Ms)} longest ${figure(longestMs)}`;

function print(rows: readonly Row[]): void {
  const within = ({ p99Ms, longestMs }: Waits): boolean => p99Ms <= P99_MS_MAX && longestMs <= LONGEST_MS_MAX;
  const cells = ({ p50Ms, p99Ms, longestMs }: Waits): readonly string[] => [p50Ms, p99Ms, longestMs].map(figure);
  printTable([
    [
      'attack',
      'threads',
      'QoS 1 p50',
      'p99',
      'longest ms',
      'HTTPS p50',
      'p99',
      'longest ms',
      'longest turn',
      'hub cores',
      'sent MiB',
      'grown MiB',
      'bytes a byte',
      '',
    ],
    ...rows.map(({ attack, threads, mqtt, https, turns, hubCores, sentBytes, grownMiB }) => [
      attack,
      String(threads),
      ...cells(mqtt),
      ...cells(https),
      figure(Math.max(0, ...turns)),
      figure(hubCores),
      figure(sentBytes / 2 ** 20),
      String(grownMiB),
      sentBytes === 0 ? '' : figure((grownMiB * 2 ** 20) / sentBytes),
      within(mqtt) && within(https) ? '' : 'over',
    ]),
  ]);
  const over = rows.filter(({ mqtt, https }) => !within(mqtt) || !within(https));
  process.stdout.write(
    `p99 at most ${P99_MS_MAX} ms, longest at most ${LONGEST_MS_MAX} ms: ${rows.length - over.length} of ${rows.length} rows\n`,
  );
}
