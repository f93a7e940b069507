/**
 * Queries of a fleet in SQLite, by the store that the hub has, beside the same questions as hand-written SQL over the documents in the
 * same file. The answers must agree. First with every twin whole in its document, then with a patch of each behind it (decision 0017).
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { fieldOf } from '../src/core/query/fields.ts';
import { parseQuery } from '../src/core/query/statement.ts';
import { type EmbeddedTables, openEmbeddedTables } from '../src/stores/embedded/tables/tables.ts';
import { fillFleet, reportAgain } from './load/fleet.ts';
import { machine, median } from './process-facts.ts';
import { figure, printTable, writeResult } from './report.ts';

export interface FleetQueryOptions {
  readonly devices: number;
  readonly rounds: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

interface Question {
  readonly name: string;
  readonly query: string;
  readonly sql: string;
  /** Whether the two count the same. */
  readonly agrees: (rows: readonly Row[], found: readonly Row[]) => boolean;
}

type Row = Readonly<Record<string, unknown>>;
interface Measured {
  readonly question: string;
  readonly tails: boolean;
  readonly queryMs: number;
  readonly slowestMs: number;
  readonly cpuMs: number;
  readonly sqlMs: number;
}

const PAGE = 100;
const never = new AbortController().signal;
const sameCount = (rows: readonly Row[], found: readonly Row[]): boolean => rows[0].n === found[0].n;
const sameLength = (rows: readonly Row[], found: readonly Row[]): boolean => rows.length === found.length;

const questions: readonly Question[] = [
  {
    name: 'page of 100 whole twins',
    query: 'SELECT * FROM devices',
    sql: `select device_id, document from twin_documents order by device_id limit ${PAGE}`,
    agrees: sameLength,
  },
  {
    name: 'indexed tag, page of 100',
    query: "SELECT * FROM devices WHERE tags.site = 'site-7'",
    sql: `select device_id, document from twin_documents where (document ->> '$."tags"."site"') = 'site-7'
      order by device_id limit ${PAGE}`,
    agrees: sameLength,
  },
  {
    name: 'tag without an index, page of 100',
    query: 'SELECT deviceId FROM devices WHERE tags.room = 7',
    sql: `select device_id from twin_documents where (document ->> '$."tags"."room"') = 7 order by device_id limit ${PAGE}`,
    agrees: sameLength,
  },
  {
    name: 'two reported values, COUNT',
    query:
      "SELECT COUNT() AS n FROM devices WHERE properties.reported.battery < 20 AND properties.reported.state = 'failed'",
    sql: `select count(*) as n from twin_documents where (document ->> '$."reported"."values"."battery"') < 20
      and (document ->> '$."reported"."values"."state"') = 'failed'`,
    agrees: sameCount,
  },
  {
    name: 'COUNT, GROUP BY a reported value',
    query: 'SELECT properties.reported.firmware AS v, COUNT() AS n FROM devices GROUP BY properties.reported.firmware',
    sql: `select document ->> '$."reported"."values"."firmware"' as v, count(*) as n from twin_documents group by 1 order by 1`,
    agrees: (rows, found) => JSON.stringify(rows) === JSON.stringify(found),
  },
];

export async function fleetQuery(options: FleetQueryOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'fleet-'));
  const file = path.join(directory, 'hub.db');
  const tables = await openEmbeddedTables({
    ...{ file, cipher: { keys: [Buffer.alloc(32, 1)], source: 'bench' }, log: silentLog, clock: systemClock },
    queryIndexes: [fieldOf(['tags', 'site'], 'devices')].filter((field) => field !== undefined),
  });
  try {
    await fillFleet(tables, options.devices);
    const results = await measure(tables, file, false, options.rounds);
    await reportAgain(tables, options.devices);
    results.push(...(await measure(tables, file, true, options.rounds)));
    print(options.devices, results);
    const result = { devices: options.devices, results, machine: machine() };
    process.stdout.write(`${writeResult('fleet-query', result, options.jsonFile)}\n`);
  } finally {
    await tables.close();
    rmSync(directory, { recursive: true });
  }
}

async function measure(tables: EmbeddedTables, file: string, tails: boolean, rounds: number): Promise<Measured[]> {
  const database = new DatabaseSync(file, { readOnly: true });
  database.exec('pragma cache_size = -16384');
  const results: Measured[] = [];
  for (const { name, query, sql, agrees } of questions) {
    const request = { query: parseQuery(query), countMax: PAGE };
    const statement = database.prepare(sql);
    const times: number[] = [];
    const cpu: number[] = [];
    const byHand: number[] = [];
    // The first one warms up.
    for (let round = 0; round <= rounds; round++) {
      const cpuBefore = process.cpuUsage();
      let begun = performance.now();
      const page = await tables.fleet.page(request, never);
      const took = performance.now() - begun;
      const used = process.cpuUsage(cpuBefore);
      begun = performance.now();
      const found = statement.all();
      const tookByHand = performance.now() - begun;
      if (!agrees(JSON.parse(page.text), found))
        throw new Error(`${name}: the answers differ: ${page.text.slice(0, 200)}`);
      if (round === 0) continue;
      times.push(took);
      cpu.push((used.user + used.system) / 1000);
      byHand.push(tookByHand);
    }
    const figures = {
      queryMs: median(times),
      slowestMs: Math.max(...times),
      cpuMs: median(cpu),
      sqlMs: median(byHand),
    };
    results.push({ question: name, tails, ...figures });
  }
  database.close();
  return results;
}

function print(devices: number, results: readonly Measured[]): void {
  process.stdout.write(`${devices.toLocaleString('en-US')} twins of 1 KB\n`);
  printTable([
    ['question', 'tails', 'query ms', 'slowest ms', 'CPU ms', 'SQL by hand ms', 'ratio'],
    ...results.map(({ question, tails, queryMs, slowestMs, cpuMs, sqlMs }) => [
      ...[question, tails ? 'all' : 'none', figure(queryMs), figure(slowestMs), figure(cpuMs), figure(sqlMs)],
      figure(queryMs / sqlMs),
    ]),
  ]);
}
