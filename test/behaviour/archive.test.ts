/** An archive as its operator and its readers see it, and history, over one listener thread and over two. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { PublisherLogin } from '../../bench/load/publisher.ts';
import { createDevices } from '../../bench/servers/hub.ts';
import { apiOf } from '../drivers/api.ts';
import { ask, missingReaders } from '../drivers/archive-readers.ts';
import { archivedIn } from '../drivers/archive-rig.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { senderOf } from '../drivers/sender.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'archive-'));
after(() => rmSync(folder, { recursive: true }));

const declaration = {
  endpoints: [{ name: 'cold', kind: 'archive', fileSeconds: 1 }],
  routes: [
    { name: 'all', endpoint: 'cold' },
    { name: 'shown', endpoint: 'events' },
  ],
};

function filesIn(root: string): Map<string, Buffer> {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('.staging'));
  return new Map(
    files.map(({ parentPath, name }) => {
      const file = path.join(parentPath, name);
      return [path.relative(root, file), readFileSync(file)];
    }),
  );
}

async function send(hub: TestHub, login: PublisherLogin, count: number, body: (nth: number) => string): Promise<void> {
  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtt ?? 0 },
    { clientId: login.clientId, username: login.username, password: Buffer.from(login.password) },
  );
  for (let nth = 0; nth < count; nth++) {
    const topic = `${login.topic}%24.mid=m${nth}&%24.ct=application%2Fjson&%24.ce=utf-8&site=north`;
    client.publish({ topic, payload: body(nth), qos: 1, messageId: (nth % 60_000) + 1 });
    if (nth % 50 === 49 || nth === count - 1) {
      for (let answered = nth - (nth % 50); answered <= nth; answered++) await client.next('puback');
    }
  }
  await client.disconnect();
}

/** One device. */
async function deviceOf(hub: TestHub): Promise<PublisherLogin> {
  const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
  return login;
}

async function events(hub: TestHub, group?: string): Promise<ReadEvent[]> {
  const found: ReadEvent[] = [];
  const connectionString = hub.endpoints.connectionStrings.eventHubsEmulator;
  const place = { port: hub.endpoints.ports.amqp ?? 0, connectionString, ...(group !== undefined && { group }) };
  await readToEnd(place, new Map(), (event) => found.push(event));
  return found;
}

/** As a reader sees it, without what differs from one reading to the next. */
const shown = ({ partition, sequence, deviceId, body, properties, annotations, fields }: ReadEvent): unknown => ({
  ...{ partition, sequence, deviceId, body: body.toString('hex'), properties, annotations, fields },
});

const total = (lists: ReadonlyMap<number, readonly number[]>): number =>
  [...lists.values()].reduce((sum, { length }) => sum + length, 0);

test('what routes lead to an archive is in its files, which the command line lists, verifies and repairs', async () => {
  const routesFile = path.join(folder, 'routes.json');
  const archiveFolder = path.join(folder, 'cold-path');
  writeFileSync(routesFile, JSON.stringify(declaration));
  await using hub = await startHub({ args: ['--routes-file', routesFile, '--archive-folder', archiveFolder] });
  await send(hub, await deviceOf(hub), 200, (nth) => JSON.stringify({ temperature: 20 + (nth % 5), nth }));
  await until('all is archived', async () => total(await archivedIn(filesIn(archiveFolder))) === 200, { everyMs: 200 });
  const mooring = (...args: readonly string[]) => runMooring(['archive', ...args, '--data-dir', hub.dataDir]);
  const listed = await mooring('list');
  assert.match(listed.stdout, /^cold +parquet +folder +healthy +0 events$/m, listed.stderr);
  let one = await mooring('list', 'cold', '--json');
  await until('its file is listed as stored', async () => {
    one = await mooring('list', 'cold', '--json');
    return JSON.parse(one.stdout).every(({ bytes }: { bytes?: number }) => bytes !== undefined);
  });
  const files = JSON.parse(one.stdout) as { path: string; events: number; bytes: number }[];
  assert.equal(
    files.reduce((sum, { events }) => sum + events, 0),
    200,
  );
  const whole = await mooring('verify', 'cold', '--content');
  assert.match(whole.stdout, /^\d files, 200 events, \d+ bytes: all there$/m, whole.stderr);
  assert.equal(whole.code, 0);

  const lost = path.join(archiveFolder, files[0].path);
  const bytes = readFileSync(lost);
  rmSync(lost);
  const broken = await mooring('verify', 'cold');
  assert.match(broken.stdout, /: missing\. It is not in the store\.$/m);
  assert.equal(broken.code, 1);
  writeFileSync(lost, Buffer.alloc(bytes.length, 1));
  const damaged = await mooring('verify', 'cold', '--content', '--repair');
  assert.match(damaged.stdout, /: content\. It cannot be read: .* It is written again\.$/m);
  await until('it is written again', () => readFileSync(lost).equals(bytes));
  assert.equal((await mooring('verify', 'cold', '--content')).code, 0);
  const none = await mooring('verify', 'none');
  assert.match(none.stderr, /There is no archive 'none'/);
});

test('an archive that is given another folder goes on there; its list stays, and what is missing is told, written again, or brought along', async () => {
  const [old, other, third] = ['old', 'other', 'third'].map((name) => path.join(folder, 'moved', name));
  const groups = ['--consumer-groups', 'past', '--history-groups', 'past'];
  let hub = await startHub({ args: groups, env: { MOORING_ARCHIVE_FOLDER: old } });
  try {
    const api = apiOf(hub);
    await api.routes.replace(declaration);
    api.close();
    const login = await deviceOf(hub);
    const mooring = (...args: readonly string[]) => runMooring(['archive', ...args, '--data-dir', hub.dataDir]);
    const holds = async (root: string): Promise<number> =>
      total(await archivedIn(existsSync(root) ? filesIn(root) : new Map()));
    const isWhole = (count: number) => async (): Promise<boolean> =>
      (await mooring('verify', 'cold', '--content')).stdout.includes(` ${count} events, `);
    await send(hub, login, 200, (nth) => `{"nth":${nth}}`);
    await until('all is archived', isWhole(200), { everyMs: 300 });
    const list = (await mooring('list', 'cold', '--json')).stdout;
    await hub.stop();

    hub = await hub.restart({ env: { MOORING_ARCHIVE_FOLDER: other } });
    assert.equal((await mooring('list', 'cold', '--json')).stdout, list);
    const missing = await mooring('verify', 'cold');
    assert.equal(missing.code, 1);
    assert.equal(missing.stdout.match(/: missing\. It is not in the store\.$/gm)?.length, JSON.parse(list).length);
    await send(hub, login, 50, (nth) => `{"later":${nth}}`);
    await until('new events are in the new folder', async () => (await holds(other)) === 50, { everyMs: 300 });
    assert.equal((await events(hub, 'past')).length, 250, 'history needs no file of what the event log has');
    await mooring('verify', 'cold', '--repair');
    await until('the missing ones are written again', isWhole(250), { everyMs: 300 });
    assert.equal(await holds(other), 250);
    assert.equal(await holds(old), 200, 'the old folder is left as it was');
    await hub.stop();

    cpSync(other, third, { recursive: true });
    rmSync(other, { recursive: true });
    hub = await hub.restart({ env: { MOORING_ARCHIVE_FOLDER: third } });
    assert.ok(await isWhole(250)(), 'who brings the files along has all of them');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('the query of the page about archives, word for word, in DuckDB', { skip: missingReaders() }, async () => {
  const page = readFileSync(path.join(import.meta.dirname, '..', '..', 'docs', 'archive.md'), 'utf8');
  const query = /```sql\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  assert.match(query, /'cold\/\*\*\/\*\.parquet'/);
  const archiveFolder = path.join(folder, 'queried');
  await using hub = await startHub({ args: ['--archive-folder', archiveFolder] });
  const api = apiOf(hub);
  await api.routes.replace(declaration);
  api.close();
  await send(hub, await deviceOf(hub), 100, (nth) => JSON.stringify({ temperature: nth % 2 === 0 ? 20 : 21 }));
  await until('all is archived', async () => total(await archivedIn(filesIn(archiveFolder))) === 100, { everyMs: 200 });
  const rows = await ask<{ deviceId: string; temperature: number; events: number }[]>(
    'sql',
    query.replace("'cold/", `'${archiveFolder}/cold/`),
  );
  assert.deepEqual(
    rows.map(({ deviceId, temperature, events }) => [deviceId, temperature, events]),
    [['bench-0', 20.5, 100]],
  );
});

test('the query of the README, word for word, in DuckDB, and its answer', { skip: missingReaders() }, async () => {
  const page = readFileSync(path.join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');
  const [, declared = ''] = /echo '(\{"endpoints"[^']*)' \| mooring route set -/.exec(page) ?? [];
  const [, query = '', answer = ''] = /```sql\n([\s\S]*?)```\n\n```\n(┌[\s\S]*?)```/.exec(page) ?? [];
  const archiveFolder = path.join(folder, 'of-readme');
  await using hub = await startHub({ args: ['--archive-folder', archiveFolder] });
  const api = apiOf(hub);
  const { endpoints, routes } = JSON.parse(declared) as typeof declaration;
  // As it is there, but for the time that a file waits.
  await api.routes.replace({ endpoints: endpoints.map((each) => ({ ...each, fileSeconds: 1 })), routes });
  api.close();
  for (const { deviceId, count, degrees } of [
    { deviceId: 'kitchen', count: 100, degrees: (nth: number) => (nth % 2 === 0 ? 20 : 21) },
    { deviceId: 'roof', count: 60, degrees: (nth: number) => (nth % 2 === 0 ? 8 : 8.6) },
  ]) {
    const { client, send: sendOne } = await senderOf(hub, deviceId);
    for (let nth = 0; nth < count; nth++) await sendOne(JSON.stringify({ temperature: degrees(nth) }));
    await client.disconnect();
  }
  await until('all is archived', async () => total(await archivedIn(filesIn(archiveFolder))) === 160, { everyMs: 200 });
  assert.match(query, /'mooring-data\/archive\/cold/);
  const rows = await ask<object[]>('sql', query.replace('mooring-data/archive', archiveFolder));
  const lines = answer.split('\n').filter((line) => line.startsWith('│'));
  const [names, , ...shown] = lines.map((line) =>
    line
      .split('│')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  assert.deepEqual(
    rows.map((row) => Object.entries(row).map(([name, value]) => [name, String(value)])),
    shown.map((cells) => cells.map((cell, at) => [names[at], cell])),
  );
});

for (const threads of ['1', '2']) {
  test(`history with ${threads} listener thread(s): readers get what retention has taken, the same as before`, async () => {
    // Kafka removes what is too much when it thinks fit.
    const args = [
      '--storage',
      'embedded',
      '--threads',
      threads,
      '--consumer-groups',
      'past',
      '--history-groups',
      'past',
    ];
    const small = ['--retention-bytes', '1MiB', '--segment-bytes', '64KiB'];
    let hub = await startHub({ args });
    try {
      const api = apiOf(hub);
      await api.routes.replace(declaration);
      api.close();
      const login = await deviceOf(hub);
      await send(hub, login, 1500, (nth) => (nth % 3 === 0 ? `{"nth":${nth}}` : `${nth} ${'x'.repeat(1000)}`));
      const before = (await events(hub)).map(shown);
      assert.equal(before.length, 1500);
      const archive = path.join(hub.dataDir, 'archive');
      await until('all is archived', async () => total(await archivedIn(filesIn(archive))) === 1500, { everyMs: 200 });
      // With a bound of less than there is.
      await hub.stop();
      hub = await hub.restart({ args: small });
      await send(hub, login, 300, (nth) => `later ${nth} ${'y'.repeat(1000)}`);
      await until('retention has taken some', async () => (await events(hub)).length < 1500, { everyMs: 200 });
      const past = await events(hub, 'past');
      assert.equal(past.length, 1800);
      assert.deepEqual(past.slice(0, 1500).map(shown), before);
      const now = await events(hub);
      assert.ok(now.length < 1800 && now.length >= 300, `${now.length} events are left`);
      assert.deepEqual(past.slice(-now.length).map(shown), now.map(shown));
    } finally {
      await hub[Symbol.asyncDispose]();
    }
  });
}
