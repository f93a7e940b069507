/**
 * Reading by the Event Hubs-compatible endpoint from a hub on one broker of Kafka, in alternating rounds beside the same hub on its own
 * journal: both are filled with the same events, then a reader catches up from the start. Each round of the hub on Kafka fetches anew: the
 * events are more than it keeps of what it has read. Run by the scripts that start both engines.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { machine } from './process-facts.ts';
import { printTable, type Spread, show, spread, writeResult } from './report.ts';
import { startHub } from './servers/hub.ts';
import { enginesOf, startHubOnCluster } from './servers/hub-cluster.ts';
import { filled, measureReaders, type Round, type Source, type TelemetryOutOptions } from './telemetry-out.ts';

const CLUSTER = 'mooring on Kafka';
const EMBEDDED = 'mooring';

export type ClusterOutOptions = Omit<TelemetryOutOptions, 'client' | 'rheaPeer' | 'compared' | 'threads'>;

export async function clusterOut(options: ClusterOutOptions): Promise<void> {
  const engines = enginesOf();
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'cluster-out-'));
  const sources: Source[] = [];
  try {
    sources.push(await filled(CLUSTER, options, directory, (start) => startHubOnCluster(engines, start)));
    sources.push(await filled(EMBEDDED, options, directory, startHub));
    const rounds: Record<string, Round[]> = { [CLUSTER]: [], [EMBEDDED]: [] };
    for (let round = 0; round < options.rounds; round++) {
      for (const source of round % 2 === 0 ? sources : sources.toReversed()) {
        rounds[source.name].push(await measureReaders(source, { ...options, client: 'counting' }));
      }
    }
    const ratio = (of: (round: Round) => number): Spread =>
      spread(rounds[CLUSTER].map((round, at) => of(round) / of(rounds[EMBEDDED][at])));
    const ratios = {
      'events per CPU second of the hub against mooring': ratio((round) => round.perServerCpuSecond),
      'events/s against mooring': ratio((round) => round.eventsPerSecond),
    };
    const columns: readonly ((round: Round) => number)[] = [
      (round) => round.eventsPerSecond,
      (round) => round.perServerCpuSecond,
      (round) => round.serverCores,
      (round) => round.readerCores,
      (round) => round.residentMiB,
    ];
    printTable([
      ['', 'events/s', 'per CPU s', 'cores', 'reader cores', 'RSS MiB'],
      ...Object.entries(rounds).map(([name, of]) => [name, ...columns.map((column) => show(spread(of.map(column))))]),
    ]);
    for (const [name, spreadOf] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(spreadOf)} times\n`);
    const { jsonFile, directory: _, ...settings } = options;
    const file = writeResult('cluster-out', { machine: machine(), settings, rounds, ratios }, jsonFile);
    process.stdout.write(`${file}\n`);
  } finally {
    for (const source of sources) await source.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
