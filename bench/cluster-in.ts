/**
 * Ingest of a hub on one broker of Kafka, in alternating rounds beside the same hub on its own journal, a bare MQTT-to-Kafka writer, and a
 * bare producer of a library that writes equal records. Run by the scripts that start both engines.
 */
import { mkdirSync } from 'node:fs';
import { machine, median } from './process-facts.ts';
import { printTable, type Spread, show, spread, writeResult } from './report.ts';
import { hub } from './servers/hub.ts';
import { bareKafka, enginesOf, hubOnCluster, type LibraryRound, runLibrary } from './servers/hub-cluster.ts';
import { measureServer, type Round, type TelemetryInOptions } from './telemetry-in.ts';

/** As a hub has by default. */
const PARTITIONS = 4;

export type ClusterInOptions = Omit<TelemetryInOptions, 'peers' | 'hub' | 'fullPageCache'>;

export async function clusterIn(options: ClusterInOptions): Promise<void> {
  const engines = enginesOf();
  mkdirSync(options.directory, { recursive: true });
  const isOpenLoop = options.ratePerSecond !== undefined;
  const own = hubOnCluster(engines);
  // The journal says nothing of latency on Kafka.
  const systems = [own, bareKafka(engines, PARTITIONS), ...(isOpenLoop ? [] : [hub])];
  const [shape] = options.shapes;
  const rounds: Record<string, Round[]> = Object.fromEntries(systems.map(({ name }) => [name, []]));
  const library: Library = { kept: [], anew: [] };
  const { warmupSeconds, seconds, jsonFile } = options;
  for (let round = 0; round < options.rounds; round++) {
    for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
      rounds[system.name].push(await measureServer(system, shape, options));
    }
    if (isOpenLoop) continue;
    const size = { partitions: PARTITIONS, bodyBytes: shape.payloadBytes };
    for (const names of ['kept', 'anew'] as const) {
      const warmed = { names, warmupSeconds: Math.min(2, warmupSeconds), seconds };
      library[names].push(await runLibrary(engines, { ...size, ...warmed }));
    }
  }
  const ratios = ratiosOf(rounds, library, isOpenLoop);
  print(rounds, library, ratios);
  const { directory: _, ...settings } = options;
  const file = writeResult(
    isOpenLoop ? 'cluster-in-rate' : 'cluster-in',
    { machine: machine(), settings, rounds, library, ratios },
    jsonFile,
  );
  process.stdout.write(`${file}\n`);
}

type Library = Readonly<Record<'kept' | 'anew', LibraryRound[]>>;

function ratiosOf(
  rounds: Record<string, readonly Round[]>,
  library: Library,
  isOpenLoop: boolean,
): Record<string, Spread> {
  const [[, own], [other, theirs], [, journal] = []] = Object.entries(rounds);
  const ratio = (of: (round: Round) => number, to = theirs): Spread =>
    spread(own.map((round, at) => of(round) / of(to[at])));
  if (isOpenLoop || journal === undefined) {
    // Two rounds that stand beside each other may have had another machine each: the middle of each server's own rounds has not.
    const middle = (of: readonly Round[]): number => median(of.map(({ p99Ms }) => p99Ms));
    return {
      [`median of p99 against ${other}`]: spread([middle(own) / middle(theirs)]),
      [`p99 against ${other}`]: ratio(({ p99Ms }) => p99Ms),
      [`p50 against ${other}`]: ratio(({ p50Ms }) => p50Ms),
      [`CPU time of a message against ${other}`]: ratio(({ perServerCpuSecond }) => 1 / perServerCpuSecond),
    };
  }
  const perCpuSecond = (round: Round): number => round.perServerCpuSecond;
  const against = (of: readonly Round[], names: keyof Library): Spread =>
    spread(of.map((round, at) => perCpuSecond(round) / library[names][at].perCpuSecond));
  return {
    'messages per CPU second of the hub against its journal': ratio(perCpuSecond, journal),
    'messages per CPU second against the library, names of headers kept': against(own, 'kept'),
    'messages per CPU second against the library, names of headers made anew': against(own, 'anew'),
    [`messages per CPU second against ${other}`]: ratio(perCpuSecond),
    [`what ${other} makes against the library, names of headers kept`]: against(theirs, 'kept'),
  };
}

function print(rounds: Record<string, readonly Round[]>, library: Library, ratios: Record<string, Spread>): void {
  const columns: readonly ((round: Round) => number)[] = [
    (round) => round.acknowledgedPerSecond,
    (round) => round.perServerCpuSecond,
    (round) => round.serverCores,
    (round) => round.p50Ms,
    (round) => round.p99Ms,
    (round) => round.otherCores,
  ];
  const rows = Object.entries(rounds).map(([name, of]) => [
    name,
    ...columns.map((column) => show(spread(of.map(column)))),
  ]);
  for (const [names, of] of Object.entries(library)) {
    if (of.length === 0) continue;
    const rates = spread(of.map(({ recordsPerSecond }) => recordsPerSecond));
    const each = spread(of.map(({ perCpuSecond }) => perCpuSecond));
    rows.push([`@platformatic/kafka, names ${names}`, show(rates), show(each), '', '', '', '']);
  }
  printTable([['', 'acked/s', 'per CPU s', 'cores', 'p50 ms', 'p99 ms', 'other cores'], ...rows]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
  const lost = Object.values(rounds)
    .flat()
    .reduce((sum, round) => sum + round.unacknowledged, 0);
  if (lost > 0) throw new Error(`${lost} messages were never acknowledged: the run is not valid`);
}
