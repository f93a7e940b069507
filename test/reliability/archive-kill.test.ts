/**
 * `kill -9` of a hub under load, at the steps of its archive and in between, again and again on one data folder: each event of the log is in exactly
 * one file, once, as a reader finds it who takes every file. TEST_ARCHIVE_KILLS sets the rounds, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { createDevices } from '../../bench/servers/hub.ts';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from '../drivers/api.ts';
import { archivedIn } from '../drivers/archive-rig.ts';
import { startHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from './event-reader.ts';
import { KillPublisher } from './kill-publisher.ts';

const ROUNDS = Number(process.env.TEST_ARCHIVE_KILLS ?? 5);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DEVICES = 6;
const crash = pathToFileURL(path.join(import.meta.dirname, '..', 'drivers', 'archive-crash.ts')).href;
const STEPS = ['listed', 'half', 'uploaded', 'stored', undefined];

function filesIn(root: string): Map<string, Buffer> {
  if (!existsSync(root)) return new Map();
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('.staging'));
  return new Map(
    files.map(({ parentPath, name }) => [path.join(parentPath, name), readFileSync(path.join(parentPath, name))]),
  );
}

test(`${ROUNDS} times kill -9 with an archive: each event is in exactly one file`, {
  timeout: 60_000 + ROUNDS * 40_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} TEST_ARCHIVE_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  let hub = await startHub();
  try {
    const api = apiOf(hub);
    await api.routes.replace({
      endpoints: [{ name: 'cold', kind: 'archive', fileSeconds: 1 }],
      routes: [
        { name: 'all', endpoint: 'cold' },
        { name: 'shown', endpoint: 'events' },
      ],
    });
    api.close();
    const logins = await createDevices(hub.endpoints, hub.ca, DEVICES, '');
    const publishers = logins.map((login) => new KillPublisher(login, SEED, 5));
    for (let round = 0; round < ROUNDS; round++) {
      const step = STEPS[round % STEPS.length];
      await hub.kill();
      hub = await hub.restart({ env: { TEST_ARCHIVE_CRASH: step ?? 'none', NODE_OPTIONS: `--import=${crash}` } });
      const port = hub.endpoints.ports.mqtt ?? 0;
      const connected = Promise.all(publishers.map((publisher) => publisher.start(port)));
      // The hub may kill itself before all have come.
      connected.catch(() => {});
      if (step === undefined) await sleep(500 + 2000 * random.next());
      else
        await Promise.race([hub.ended, sleep(20_000).then(() => assert.fail(`the archive has not come to '${step}'`))]);
      await hub.kill();
      await connected.catch(() => {});
      await Promise.all(publishers.map((publisher) => publisher.ended()));
    }
    hub = await hub.restart({ env: { TEST_ARCHIVE_CRASH: 'none' } });
    const log = new Map<number, number[]>();
    const connectionString = hub.endpoints.connectionStrings.eventHubsEmulator;
    await readToEnd({ port: hub.endpoints.ports.amqp ?? 0, connectionString }, new Map(), ({ partition, sequence }) => {
      const list = log.get(Number(partition)) ?? [];
      log.set(Number(partition), [...list, sequence]);
    });
    const stored = [...log.values()].reduce((sum, { length }) => sum + length, 0);
    const acknowledged = publishers.reduce((sum, { acknowledgedCount }) => sum + acknowledgedCount, 0);
    const archive = path.join(hub.dataDir, 'archive');
    const count = async (): Promise<number> =>
      [...(await archivedIn(filesIn(archive))).values()].reduce((sum, { length }) => sum + length, 0);
    await until('all is archived', async () => (await count()) >= stored, { everyMs: 300 });
    await sleep(1500);
    assert.deepEqual(await archivedIn(filesIn(archive)), log, 'each once, in order, nothing else');
    assert.ok(
      stored >= acknowledged && acknowledged > ROUNDS * DEVICES,
      `${acknowledged} acknowledged, ${stored} stored`,
    );
    t.diagnostic(`${acknowledged} acknowledged, ${stored} stored, each in one of ${filesIn(archive).size} files`);
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
