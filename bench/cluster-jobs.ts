/** A job over the twins of all devices, by a hub on Kafka and PostgreSQL beside an embedded one: what it costs the hub, and PostgreSQL. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { type JobTwinsOptions, oneJob } from './job-twins.ts';
import { machine, parentOf, processTreeCpuSeconds } from './process-facts.ts';
import { printTable, show, spread, writeResult } from './report.ts';
import { createDevices, type RunningHub, startHub } from './servers/hub.ts';
import { enginesOf, startHubOnCluster } from './servers/hub-cluster.ts';

interface Round {
  readonly wallMs: number;
  readonly hubCpuMs: number;
  /** Of all processes of PostgreSQL, with what the job's end and the look at the twins ask of it. */
  readonly databaseCpuMs: number;
  readonly transactions: number;
}

/** Rounds alternate; the first of each is of fresh twins, and is told apart. */
export async function clusterJobs(options: Omit<JobTwinsOptions, 'inspectorPort'>): Promise<void> {
  const engines = enginesOf();
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'cluster-jobs-'));
  const client = new pg.Client(engines.postgresUrl);
  await client.connect();
  const hubs: Record<string, RunningHub> = {};
  try {
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const server = parentOf(rows[0].pid as number);
    const terms = { connections: 0, tls: false, bag: '' };
    hubs.embedded = await startHub({ ...terms, directory: path.join(directory, 'embedded') });
    hubs.cluster = await startHubOnCluster(engines, { ...terms, directory: path.join(directory, 'cluster') });
    const rounds: Record<string, Round[]> = { embedded: [], cluster: [] };
    for (const hub of Object.values(hubs)) await createDevices(hub.endpoints, hub.caText, options.devices, '');
    for (let round = 1; round <= options.rounds; round++) {
      for (const name of round % 2 === 0 ? ['cluster', 'embedded'] : ['embedded', 'cluster']) {
        const [cpu, transactions] = [processTreeCpuSeconds(server), await transactionsOf(client)];
        const { wallMs, cpuMs } = await oneJob(hubs[name], options.devices, round);
        rounds[name].push({
          ...{ wallMs, hubCpuMs: cpuMs, databaseCpuMs: 1000 * (processTreeCpuSeconds(server) - cpu) },
          transactions: (await transactionsOf(client)) - transactions,
        });
      }
    }
    const columns: readonly ((round: Round) => number)[] = [
      (round) => round.wallMs,
      (round) => round.hubCpuMs,
      (round) => round.databaseCpuMs,
      (round) => round.transactions,
    ];
    const rowOf = (name: string, of: readonly Round[]) => [name, ...columns.map((each) => show(spread(of.map(each))))];
    printTable([
      [`job over ${options.devices} devices`, 'wall ms', 'CPU ms of the hub', 'CPU ms of PostgreSQL', 'transactions'],
      ...Object.entries(rounds).map(([name, of]) => rowOf(name, of)),
      ...Object.entries(rounds).map(([name, [first]]) => rowOf(`${name}, first, of fresh twins`, [first])),
    ]);
    const result = { devices: options.devices, rounds, machine: machine() };
    process.stdout.write(`${writeResult('cluster-jobs', result, options.jsonFile)}\n`);
  } finally {
    for (const hub of Object.values(hubs)) await hub.stop();
    await client.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function transactionsOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query(
    'select xact_commit + xact_rollback as count from pg_stat_database where datname = current_database()',
  );
  return Number(rows[0].count);
}
