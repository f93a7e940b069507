/**
 * What devices that connect cost PostgreSQL: each asks for its identity, claims its place, loads its session and looks for its commands,
 * by the stores that a hub has. Run by `scripts/postgres-for-tests.sh`, which starts PostgreSQL and removes it.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import type { PresenceTicket } from '../src/core/presence/ports.ts';
import { createPresence } from '../src/core/presence/presence.ts';
import { openPostgresTables, type PostgresTables } from '../src/stores/cluster/postgres.ts';
import { exampleIdentity } from '../src/stores/contract/identities.ts';
import { machine, parentOf, processTreeCpuSeconds } from './process-facts.ts';
import { printTable, type RoundOptions, show, spread, writeResult } from './report.ts';

export interface ClusterConnectsOptions extends RoundOptions {
  readonly devices: number;
  readonly underWay: number;
}

/** `takeover`: each device connects again while the hub still has its last connection. `leaving`: that has ended before. */
const ways = ['takeover', 'leaving'] as const;
const CREATED_AT_ONCE = 1000;
const GENERATION = 'g1';

interface Round {
  readonly connectsPerSecond: number;
  readonly perServerCpuSecond: number;
  readonly perNodeCpuSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function clusterConnects(options: ClusterConnectsOptions): Promise<void> {
  const url = process.env.MOORING_TEST_POSTGRES;
  if (url === undefined) throw new Error('Run it by scripts/postgres-for-tests.sh: it starts PostgreSQL.');
  const schema = `bench_${randomBytes(6).toString('hex')}`;
  const cipher = { keys: [Buffer.alloc(32, 1)], source: 'bench' };
  const tables = await openPostgresTables({ url, schema, cipher, log: silentLog, clock: systemClock });
  const client = new pg.Client({ connectionString: url, options: `-c search_path=${schema}` });
  await client.connect();
  try {
    await fill(tables, client, options.devices);
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const server = parentOf(rows[0].pid as number);
    const rounds: Record<string, Round[]> = Object.fromEntries(ways.map((way) => [way, []]));
    const hubs = ways.map(
      (way, at) => new Connecting(tables, options, { leaves: way === 'leaving', first: (at * options.devices) / 2 }),
    );
    for (const hub of hubs) await hub.run(1000 * options.warmupSeconds);
    for (let round = 0; round < options.rounds; round++) {
      for (const at of round % 2 === 0 ? [0, 1] : [1, 0]) {
        rounds[ways[at]].push(await measure(hubs[at], server, 1000 * options.seconds));
      }
    }
    const columns: readonly ((round: Round) => number)[] = [
      (round) => round.connectsPerSecond,
      (round) => round.perServerCpuSecond,
      (round) => round.perNodeCpuSecond,
      (round) => round.p50Ms,
      (round) => round.p99Ms,
    ];
    printTable([
      ['', 'connects/s', 'per CPU s of PostgreSQL', 'per CPU s of the node', 'p50 ms', 'p99 ms'],
      ...Object.entries(rounds).map(([name, of]) => [name, ...columns.map((column) => show(spread(of.map(column))))]),
    ]);
    const { jsonFile, directory: _, ...settings } = options;
    const perServerCpuSecond = Object.fromEntries(
      Object.entries(rounds).map(([name, of]) => [name, spread(of.map((round) => round.perServerCpuSecond))]),
    );
    const result = { machine: machine(), settings, rounds, perServerCpuSecond };
    process.stdout.write(`${writeResult('cluster-connects', result, jsonFile)}\n`);
  } finally {
    await tables.close();
    await client.query(`drop schema ${schema} cascade`);
    await client.end();
  }
}

const nameOf = (nth: number): string => `device-${String(nth).padStart(7, '0')}`;

/** Every device has a session, and one in ten has had a command once. */
async function fill(tables: PostgresTables, client: pg.Client, devices: number): Promise<void> {
  for (let at = 0; at < devices; at += CREATED_AT_ONCE) {
    const writes = Array.from({ length: Math.min(CREATED_AT_ONCE, devices - at) }, (_, nth) => ({
      kind: 'create' as const,
      identity: exampleIdentity({ deviceId: nameOf(at + nth) }, { generationId: GENERATION }),
      countMax: devices,
    }));
    await tables.identities.write(writes);
  }
  const filters = JSON.stringify([{ filter: `devices/${nameOf(0)}/messages/devicebound/#`, qos: 1 }]);
  await client.query(
    `insert into subscriptions (device_id, module_id, generation_id, filters, saved_time)
     select device_id, module_id, generation_id, $1, 0 from identities`,
    [filters],
  );
  await client.query(
    `insert into command_queues (device_id, module_id, last_sequence, waiting, locked, next_due)
     select device_id, module_id, 1, 0, 0, $1 from identities where right(device_id, 1) = '0'`,
    [Number.MAX_SAFE_INTEGER],
  );
  await client.query('vacuum analyze');
}

class Connecting {
  readonly #tables: PostgresTables;
  readonly #options: ClusterConnectsOptions;
  readonly #leaves: boolean;
  /** Half of the devices are this one's, from this one on. */
  readonly #first: number;
  readonly #presence;
  readonly #tickets = new Map<number, PresenceTicket>();
  #nth = 0;
  latencies: number[] = [];

  constructor(
    tables: PostgresTables,
    options: ClusterConnectsOptions,
    of: { readonly leaves: boolean; readonly first: number },
  ) {
    this.#tables = tables;
    this.#options = options;
    this.#leaves = of.leaves;
    this.#first = of.first;
    this.#presence = createPresence({ places: tables.places, clock: tables.clock });
  }

  /** @returns how many have connected */
  async run(durationMs: number): Promise<number> {
    const until = performance.now() + durationMs;
    this.latencies = [];
    const connecting = Array.from({ length: this.#options.underWay }, async () => {
      while (performance.now() < until) {
        const begun = performance.now();
        await this.#connect(this.#first + (this.#nth++ % (this.#options.devices / 2)));
        this.latencies.push(performance.now() - begun);
      }
    });
    await Promise.all(connecting);
    return this.latencies.length;
  }

  async #connect(nth: number): Promise<void> {
    const { identities, subscriptions, commandQueue, clock } = this.#tables;
    const key = { deviceId: nameOf(nth) };
    const identity = await identities.get(key);
    if (identity === undefined) throw new Error(`${key.deviceId} is not there`);
    if (this.#leaves) this.#tickets.get(nth)?.release('by-client');
    const { generationId } = identity;
    const claim = {
      key,
      generationId,
      protocol: 'mqtt',
      credential: 'sas',
      peer: '127.0.0.1',
      drop: () => {},
    } as const;
    this.#tickets.set(nth, await this.#presence.claim(claim));
    const session = await subscriptions.load(key, generationId);
    if (session?.length !== 1) throw new Error(`${key.deviceId} has no session`);
    const lock = { tokens: ['a', 'b', 'c', 'd'], holder: 'h', lockMs: 60_000 };
    const commands = await commandQueue.lockNext(key, generationId, lock, clock.now());
    if (commands.length > 0) throw new Error(`${key.deviceId} has commands`);
  }
}

async function measure(hub: Connecting, server: number, durationMs: number): Promise<Round> {
  const cpu = processTreeCpuSeconds(server);
  const own = process.cpuUsage();
  const begun = performance.now();
  const connects = await hub.run(durationMs);
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(own);
  const sorted = hub.latencies.toSorted((a, b) => a - b);
  return {
    connectsPerSecond: connects / seconds,
    perServerCpuSecond: connects / (processTreeCpuSeconds(server) - cpu),
    perNodeCpuSecond: connects / ((user + system) / 1e6),
    p50Ms: sorted[sorted.length >> 1],
    p99Ms: sorted[Math.floor(sorted.length * 0.99)],
  };
}
