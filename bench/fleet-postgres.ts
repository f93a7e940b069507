/**
 * Queries of a large fleet in PostgreSQL through the tables that nodes share, one of its tags indexed: pages of 100, one after the other,
 * beside the same rows by hand-written SQL. Run by `scripts/postgres-for-tests.sh`, which starts PostgreSQL and removes it.
 */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { fieldOf } from '../src/core/query/fields.ts';
import { parseQuery } from '../src/core/query/statement.ts';
import { openPostgresTables } from '../src/stores/cluster/postgres.ts';
import { fillFleet } from './load/fleet.ts';
import { Histogram } from './load/histogram.ts';
import { machine } from './process-facts.ts';
import { figure, printTable, type RoundOptions, writeResult } from './report.ts';

export interface FleetPostgresOptions extends RoundOptions {
  readonly devices: number;
}

const SITES = 500;
const never = new AbortController().signal;
const byHand = `select identity.device_id, text.document, twin.tail from twin_documents as text
  join identities as identity on identity.device_id = text.device_id and identity.module_id = text.module_id
  join twins as twin on twin.device_id = text.device_id and twin.module_id = text.module_id
  where left(case when strpos(text.document, '\\u0000') = 0 and strpos(text.document, '\\ud') = 0
    then text.document::json #>> '{"tags","site"}' end, 256) = $1 and text.module_id = '' order by text.device_id limit 100`;

export async function fleetPostgres(options: FleetPostgresOptions): Promise<void> {
  const url = process.env.MOORING_TEST_POSTGRES;
  if (url === undefined) throw new Error('Run it by scripts/postgres-for-tests.sh: it starts PostgreSQL.');
  const schema = `bench_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client({ connectionString: url, options: `-c search_path=${schema}` });
  await client.connect();
  await client.query(`create schema ${schema}`);
  const parts = {
    url,
    schema,
    cipher: { keys: [Buffer.alloc(32, 1)], source: 'bench' },
    log: silentLog,
    clock: systemClock,
  };
  try {
    await fill(parts, client, options.devices);
    const begun = performance.now();
    const site = fieldOf(['tags', 'site'], 'devices');
    const tables = await openPostgresTables({ ...parts, ...(site && { queryIndexes: [site] }) });
    const indexSeconds = (performance.now() - begun) / 1000;
    const [store, hand] = [new Histogram(), new Histogram()];
    const end = performance.now() + options.seconds * 1000;
    for (let nth = 0; performance.now() < end; nth++) {
      const value = `site-${nth % SITES}`;
      const query = parseQuery(`SELECT * FROM devices WHERE tags.site = '${value}'`);
      let at = performance.now();
      const page = await tables.fleet.page({ query, countMax: 100 }, never);
      store.record(performance.now() - at);
      at = performance.now();
      const { rows } = await client.query({ name: 'hand', text: byHand, values: [value] });
      hand.record(performance.now() - at);
      if (rows.length !== page.count) throw new Error(`${value}: ${page.count} rows, ${rows.length} by hand`);
    }
    await tables.close();
    const shown = [store, hand].map((each) => [each.percentile(0.5), each.percentile(0.99)]);
    process.stdout.write(
      `${options.devices.toLocaleString('en-US')} twins of 1 KB; the index took ${figure(indexSeconds)} s\n`,
    );
    printTable([
      ['page of 100 of an indexed tag', 'p50 ms', 'p99 ms'],
      ...shown.map(([p50, p99], at) => [at === 0 ? 'the store' : 'SQL by hand', figure(p50), figure(p99)]),
    ]);
    const result = { devices: options.devices, indexSeconds, store: shown[0], byHand: shown[1], machine: machine() };
    process.stdout.write(`${writeResult('fleet-postgres', result, options.jsonFile)}\n`);
  } finally {
    await client.query(`drop schema ${schema} cascade`);
    await client.end();
  }
}

/** Some devices by the stores; the others as copies of them, which takes a minute for a million. */
async function fill(
  parts: Parameters<typeof openPostgresTables>[0],
  client: pg.Client,
  devices: number,
): Promise<void> {
  const own = Math.min(SITES, devices);
  const tables = await openPostgresTables(parts);
  await fillFleet(tables, own);
  await tables.close();
  const id = `'device-' || lpad((right(device_id, 8)::int + ${own} * copy)::text, 8, '0')`;
  for (const table of ['identities', 'twins', 'twin_documents']) {
    const { rows } = await client.query(`select column_name as name from information_schema.columns
      where table_schema = current_schema() and table_name = '${table}' and column_name <> 'device_id'
        and is_identity = 'NO' and is_generated = 'NEVER'`);
    const columns = rows.map(({ name }) => `"${name}"`).join(', ');
    await client.query(`insert into ${table} (device_id, ${columns}) select ${id}, ${columns}
      from ${table} cross join generate_series(1, ${Math.ceil(devices / own) - 1}) as copy`);
    await client.query(`analyze ${table}`);
  }
}
