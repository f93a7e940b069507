/**
 * `kill -9` of a hub under load with two endpoints and an archive, at the steps of its archive and in between, again and again on one data
 * folder. Each event of the log is at each endpoint, in order per device, and in exactly one file, once, as a reader finds it who takes
 * every file. TEST_ROUTES_KILLS sets the rounds, MOORING_TEST_SEED the seed. Without PostgreSQL the webhook alone is beside the archive.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { createDevices } from '../../bench/servers/hub.ts';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from '../drivers/api.ts';
import { archivedIn } from '../drivers/archive-rig.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { type Arrival, makeTableWitness, rowsOf, startWebhookWitness } from './endpoint-witnesses.ts';
import { readToEnd } from './event-reader.ts';
import { KillPublisher } from './kill-publisher.ts';

const ROUNDS = Number(process.env.TEST_ROUTES_KILLS ?? 5);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DEVICES = 6;
const crash = pathToFileURL(path.join(import.meta.dirname, '..', 'drivers', 'archive-crash.ts')).href;
const STEPS = ['listed', 'half', 'uploaded', 'stored', undefined];
const database = process.env.MOORING_TEST_POSTGRES;
if (database === undefined) process.stderr.write('NOT TESTED: a table under kill -9 (scripts/postgres-for-tests.sh)\n');

function filesIn(root: string): Map<string, Buffer> {
  if (!existsSync(root)) return new Map();
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('.staging'));
  return new Map(
    files.map(({ parentPath, name }) => [path.join(parentPath, name), readFileSync(path.join(parentPath, name))]),
  );
}

async function logOf(hub: TestHub): Promise<readonly Arrival[]> {
  const log: Arrival[] = [];
  const connectionString = hub.endpoints.connectionStrings.eventHubsEmulator;
  const place = { port: hub.endpoints.ports.amqp ?? 0, connectionString };
  await readToEnd(place, new Map(), ({ partition, sequence, deviceId, properties }) =>
    log.push({ partition: Number(partition), sequence, deviceId, n: Number(properties.n) }),
  );
  return log;
}

/** A table of this test's own; undefined = there is no database. */
async function openTable(context: TestContext) {
  if (database === undefined) return undefined;
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  const name = `kills_${Date.now().toString(36)}_${process.pid}`;
  context.after(async () => {
    await client.query(`drop table if exists ${name}`);
    await client.end();
  });
  await makeTableWitness(client, name);
  return { name, rows: () => rowsOf(client, name), url: database };
}

const keyOf = ({ partition, sequence, deviceId, n }: Arrival): string => `${partition}/${sequence} ${deviceId} ${n}`;

/** Each event of the log is among them and nothing else is; of each device they come in order. */
function assertWhole(what: string, came: readonly Arrival[], log: readonly Arrival[]): void {
  assert.deepEqual([...new Set(came.map(keyOf))].sort(), log.map(keyOf).sort(), `${what}: what is in the log`);
  const seen = new Set<string>();
  assertOrdered(
    what,
    came.filter((event) => !seen.has(keyOf(event)) && seen.add(keyOf(event))),
  );
}

function assertOrdered(what: string, came: readonly Arrival[]): void {
  const last = new Map<string, number>();
  for (const { deviceId, n } of came) {
    assert.ok(
      n > (last.get(deviceId) ?? -1),
      `${what}: message ${n} of ${deviceId} comes behind ${last.get(deviceId)}`,
    );
    last.set(deviceId, n);
  }
}

test(`${ROUNDS} times kill -9 with two endpoints and an archive: nothing is lost, and each event is in exactly one file`, {
  timeout: 120_000 + ROUNDS * 40_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} TEST_ROUTES_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  await using hook = await startWebhookWitness(() => random.next());
  const table = await openTable(t);
  let hub = await startHub({ args: ['--endpoint-private-addresses', 'on'] });
  try {
    const api = apiOf(hub);
    await api.routes.replace({
      endpoints: [
        { name: 'cold', kind: 'archive', fileSeconds: 1 },
        { name: 'hook', kind: 'webhook', url: hook.url },
        ...(table === undefined ? [] : [{ name: 'rows', kind: 'postgres', url: table.url, table: table.name }]),
      ],
      routes: [
        ...['cold', 'hook', ...(table === undefined ? [] : ['rows'])].map((name) => ({ name, endpoint: name })),
        { name: 'shown', endpoint: 'events' },
      ],
    });
    api.close();
    const logins = await createDevices(hub.endpoints, hub.ca, DEVICES, '');
    const publishers = logins.map((login) => new KillPublisher(login, SEED, 5));
    for (let round = 0; round < ROUNDS; round++) {
      const step = STEPS[round % STEPS.length];
      await hub.kill();
      hook.nextLife();
      hub = await hub.restart({ env: { TEST_ARCHIVE_CRASH: step ?? 'none', NODE_OPTIONS: `--import=${crash}` } });
      const port = hub.endpoints.ports.mqtt ?? 0;
      const connected = Promise.all(publishers.map((publisher) => publisher.start(port)));
      // The hub may kill itself before all have come.
      connected.catch(() => {});
      if (step === undefined) await sleep(500 + 2000 * random.next());
      else
        await Promise.race([hub.ended, sleep(60_000).then(() => assert.fail(`the archive has not come to '${step}'`))]);
      await hub.kill();
      await connected.catch(() => {});
      await Promise.all(publishers.map((publisher) => publisher.ended()));
      const sent = publishers.reduce((sum, { acknowledgedCount }) => sum + acknowledgedCount, 0);
      if ((round + 1) % 10 === 0) process.stderr.write(`${round + 1} of ${ROUNDS} kills, ${sent} acknowledged\n`);
    }
    hook.nextLife();
    hub = await hub.restart({ env: { TEST_ARCHIVE_CRASH: 'none' } });
    const log = await logOf(hub);
    const acknowledged = publishers.flatMap((publisher) =>
      publisher.acknowledgedNumbers().map((n) => `${publisher.deviceId} ${n}`),
    );
    assert.ok(acknowledged.length > ROUNDS * DEVICES, 'the load was a load');
    const stored = new Set(log.map(({ deviceId, n }) => `${deviceId} ${n}`));
    assert.equal(stored.size, log.length, 'each message is in the log once');
    const lost = acknowledged.filter((message) => !stored.has(message));
    assert.deepEqual(lost, [], 'acknowledged, and not in the log');

    const archive = path.join(hub.dataDir, 'archive');
    const count = async (): Promise<number> =>
      [...(await archivedIn(filesIn(archive))).values()].reduce((sum, { length }) => sum + length, 0);
    const patience = { everyMs: 500, withinMs: 60_000 };
    await until('all is archived', async () => (await count()) >= log.length, patience);
    const hooked = (): readonly Arrival[] => hook.lives.flat();
    await until('the webhook has all', () => new Set(hooked().map(keyOf)).size >= log.length, patience);
    if (table !== undefined)
      await until('the table has all', async () => (await table.rows()).length >= log.length, patience);
    await sleep(1500);

    assertWhole('webhook', hooked(), log);
    for (const [nth, life] of hook.lives.entries()) assertOrdered(`webhook, life ${nth}: nothing twice`, life);
    if (table !== undefined) {
      const rows = await table.rows();
      assert.equal(rows.length, log.length, 'a row for each event');
      assertWhole('table', rows, log);
    }
    const sequences = new Map<number, number[]>();
    for (const { partition, sequence } of log) {
      const list = sequences.get(partition) ?? [];
      list.push(sequence);
      sequences.set(partition, list);
    }
    assert.deepEqual(await archivedIn(filesIn(archive)), sequences, 'each once, in order, nothing else');
    const twice = hooked().length - log.length;
    t.diagnostic(
      `${acknowledged.length} acknowledged, ${log.length} stored, each in one of ${filesIn(archive).size} files, at the webhook ` +
        `(${twice} of them twice or more, ${hook.refused()} requests refused)${table ? ', and in the table' : ''}; lost: 0`,
    );
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
