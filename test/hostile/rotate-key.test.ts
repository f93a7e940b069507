import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';

const main = path.join(import.meta.dirname, '..', '..', 'src', 'main.ts');
const KILLS = Number(process.env.MOORING_TEST_KILLS ?? 5);

/** The ids of the keys with which the tables' secrets are sealed now. */
function keyIds(dataDir: string): ReadonlySet<string> {
  const database = new DatabaseSync(path.join(dataDir, 'tables', 'hub.db'), { readOnly: true });
  try {
    const texts = [
      ...database.prepare('select primary_key, secondary_key from identities where primary_key is not null').all(),
      ...database.prepare('select primary_key, secondary_key from policies').all(),
      ...database.prepare("select value from facts where name = 'key_check'").all(),
    ].flatMap((row) => Object.values(row).map(String));
    return new Set(texts.map((text) => text.slice(0, text.indexOf('.'))));
  } finally {
    database.close();
  }
}

async function secretsOf(hub: TestHub, count: number): Promise<readonly unknown[]> {
  const client = apiOf(hub);
  const secrets = [];
  for (let at = 0; at < count; at++) secrets.push((await client.devices.get(`d${at}`)).authentication);
  client.close();
  return [...secrets, hub.endpoints.connectionStrings];
}

test('a rotation re-encrypts every secret, and the old key opens nothing any more', async () => {
  await using hub = await startHub();
  const client = apiOf(hub);
  for (let at = 0; at < 5; at++) await client.devices.create(`d${at}`, {});
  client.close();
  const before = await secretsOf(hub, 5);
  const running = await runMooring(['data', 'rotate-key', '--data-dir', hub.dataDir]);
  assert.equal(running.code, 1, 'not while the hub runs');
  await hub.stop();
  const [oldId] = keyIds(hub.dataDir);
  const keyFile = path.join(hub.dataDir, 'keys', 'tables.key');
  const oldKey = readFileSync(keyFile, 'utf8').trim();
  const done = await runMooring(['data', 'rotate-key', '--data-dir', hub.dataDir, '--json']);
  assert.deepEqual([done.code, done.stdout, done.stderr], [0, '{"ok":true}\n', '']);
  const ids = keyIds(hub.dataDir);
  assert.equal(ids.size, 1);
  assert.ok(!ids.has(oldId));
  assert.ok(!readFileSync(keyFile, 'utf8').includes(oldKey));
  assert.equal(statSync(keyFile).mode & 0o077, 0);
  const again = await hub.restart();
  assert.deepEqual(await secretsOf(again, 5), before);
  await again.stop();
  copyFileSync(keyFile, `${keyFile}.new`);
  writeFileSync(keyFile, `${oldKey}\n`);
  await assert.rejects(hub.restart(), /sealed with another key/);
});

test('a key from the environment is changed by giving the new one and the old one on one start', async () => {
  const [first, second] = [1, 2].map((fill) => Buffer.alloc(32, fill).toString('base64'));
  await using hub = await startHub({ env: { MOORING_KEY_ENCRYPTION_KEY: first } });
  const before = await secretsOf(hub, 0);
  await hub.stop();
  const [oldId] = keyIds(hub.dataDir);
  await assert.rejects(hub.restart({ env: { MOORING_KEY_ENCRYPTION_KEY: second } }), /sealed with another key/);
  const both = { MOORING_KEY_ENCRYPTION_KEY: second, MOORING_PREVIOUS_KEY_ENCRYPTION_KEY: first };
  const changed = await hub.restart({ env: both });
  assert.deepEqual(await secretsOf(changed, 0), before);
  await changed.stop();
  assert.ok(!keyIds(hub.dataDir).has(oldId));
  const alone = await hub.restart({ env: { MOORING_KEY_ENCRYPTION_KEY: second } });
  await alone.stop();
  const refused = await runMooring(['data', 'rotate-key', '--data-dir', hub.dataDir], {
    MOORING_KEY_ENCRYPTION_KEY: second,
  });
  assert.equal(refused.code, 1);
  assert.ok(!refused.stderr.includes(second));
});

test('a rotation that is killed leaves a folder that opens, and can be done again', async () => {
  await using hub = await startHub();
  const client = apiOf(hub);
  for (let at = 0; at < 40; at++) await client.devices.create(`d${at}`, {});
  client.close();
  const before = await secretsOf(hub, 40);
  await hub.stop();
  const args = [main, 'data', 'rotate-key', '--data-dir', hub.dataDir];
  const begun = performance.now();
  assert.deepEqual(await once(spawn(process.execPath, args), 'exit'), [0, null]);
  const wholeMs = performance.now() - begun;
  for (let kill = 0; kill < KILLS; kill++) {
    const child: ChildProcess = spawn(process.execPath, args, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    // Mostly in the second half: before it the runtime starts, and touches nothing.
    await Promise.race([new Promise((resolve) => setTimeout(resolve, wholeMs * (0.5 + (0.5 * kill) / KILLS))), ended]);
    child.kill('SIGKILL');
    await ended;
    assert.ok(keyIds(hub.dataDir).size === 1, 'all under the old key, or all under the new');
  }
  const again = await hub.restart();
  assert.deepEqual(await secretsOf(again, 40), before);
  await again.stop();
});
