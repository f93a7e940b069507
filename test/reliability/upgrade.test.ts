/**
 * Data folders of earlier formats, as hubs of their time left them (`scripts/data-folder-fixture.ts`): each opens in the
 * present program, with everything that its hub had acknowledged (but what was lost to damage before its own repair), takes
 * more, and opens again. The tables of format 1 have a fixture of their own (`src/stores/embedded/tables/formats.test.ts`), for
 * no hub of that format kept a folder.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { signSas } from '../../src/api/sas.ts';
import { TABLES_FORMAT } from '../../src/stores/tables/migrations.ts';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { readToEnd } from './event-reader.ts';
import { KillPublisher, numberedMessage } from './kill-publisher.ts';

const fixtures = path.join(import.meta.dirname, '..', 'fixtures');
const names = readdirSync(fixtures).filter((name) => name.startsWith('data-'));
const KEY = Buffer.alloc(32, 7).toString('base64');

interface Expected {
  readonly revision: string;
  readonly seed: number;
  readonly devices: Readonly<
    Record<string, { readonly key: string; readonly statusReason: string; readonly messages: number }>
  >;
  /** Numbers of a device's messages that were lost to damage before its hub repaired the folder. */
  readonly lost?: Readonly<Record<string, readonly number[]>>;
  readonly commands: number;
}

test('there is a folder of every format of the tables before the present one, and it has that format', () => {
  const before = Array.from({ length: TABLES_FORMAT - 1 }, (_, n) => n + 1);
  for (const format of before) {
    const folder = format === 1 ? 'tables-format-1' : path.join(`data-tables-${format}`, 'tables');
    // `immutable`: opening it must leave no `-wal` and `-shm` beside it.
    const file = new URL(`${pathToFileURL(path.join(fixtures, folder, 'hub.db'))}?immutable=1`);
    const database = new DatabaseSync(file, { readOnly: true });
    const found = database.prepare(`select value from facts where name = 'format'`).get()?.value;
    database.close();
    assert.equal(found, String(format), `make it with scripts/data-folder-fixture.ts: ${folder}`);
  }
});

for (const name of names) {
  test(`${name} opens in this program, with everything in it`, async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'mooring-upgrade-'));
    t.after(() => rmSync(folder, { recursive: true }));
    cpSync(path.join(fixtures, name), folder, { recursive: true });
    const expected = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Expected;
    rmSync(path.join(folder, 'expected.json'));
    t.diagnostic(`written by revision ${expected.revision}`);
    const env = { MOORING_KEY_ENCRYPTION_KEY: KEY };
    const check = await runMooring(['data', 'check', '--data-dir', folder], env);
    assert.equal(check.code, 0, check.stdout + check.stderr);
    // Its events are as old as it is; retention must not take them.
    let hub = await startHub({ dataDir: folder, args: ['--retention-days', '3650'], env });
    try {
      await assertHolds(hub, expected, 0);
      await sendMore(hub, expected);
      await hub.stop();
      hub = await hub.restart();
      await assertHolds(hub, expected, 1);
    } finally {
      await hub[Symbol.asyncDispose]();
    }
    const after = await runMooring(['data', 'check', '--data-dir', folder], env);
    assert.equal(after.code, 0, after.stdout + after.stderr);
  });
}

async function assertHolds(hub: TestHub, { devices, lost, commands, seed }: Expected, more: number): Promise<void> {
  const { connectionStrings, ports } = hub.endpoints;
  const api = apiOf(hub);
  let found = 0;
  for (const [deviceId, { key, statusReason }] of Object.entries(devices)) {
    const device = await api.devices.get(deviceId);
    assert.equal(device.authentication.symmetricKey?.primaryKey, key);
    assert.equal(device.statusReason, statusReason);
    const messageId = `command-${deviceId.slice('device-'.length)}`;
    found += (await api.commands.find({ deviceId }, { messageId })).commands.length;
  }
  assert.equal(found, commands);
  assert.equal((await api.modules.get('device-0', 'module-0')).moduleId, 'module-0');
  assert.ok((await api.consumerGroups.list(hub.endpoints.hubName)).some((group) => group.name === 'Readers'));
  api.close();
  const counts = new Map<string, number>();
  const kept = new Map(
    Object.entries(devices).map(([deviceId, { messages }]) => {
      const numbers = [...Array(messages).keys()];
      return [deviceId, numbers.filter((n) => lost?.[deviceId]?.includes(n) !== true)] as const;
    }),
  );
  const place = { port: ports.amqp as number, connectionString: connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), ({ deviceId, properties, body }) => {
    const n = counts.get(deviceId) ?? 0;
    counts.set(deviceId, n + 1);
    // What this test has sent begins at 0 again.
    const numbers = kept.get(deviceId) ?? [];
    const sent = numberedMessage(seed, deviceId, numbers[n] ?? n - numbers.length);
    assert.deepEqual({ properties, body }, { properties: sent.properties, body: sent.body });
  });
  for (const [deviceId, numbers] of kept) {
    const count = counts.get(deviceId) ?? 0;
    if (more === 0) assert.equal(count, numbers.length, deviceId);
    else assert.ok(count > numbers.length, deviceId);
  }
}

async function sendMore(hub: TestHub, { devices, seed }: Expected): Promise<void> {
  const { hostName, ports } = hub.endpoints;
  for (const [deviceId, { key }] of Object.entries(devices)) {
    const expiresAt = Date.now() + 600_000;
    const password = await signSas({ resource: `${hostName}/devices/${deviceId}`, key, expiresAt });
    const username = `${hostName}/${deviceId}/?api-version=2021-04-12`;
    const topic = `devices/${deviceId}/messages/events/`;
    const publisher = new KillPublisher({ clientId: deviceId, username, password, topic }, seed);
    await publisher.start(ports.mqtt as number);
    await publisher.finish();
  }
}
