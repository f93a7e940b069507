import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { type Log, silentLog } from '../../../base/log.ts';
import { systemRandom } from '../../../base/random.ts';
import { HubError } from '../../../core/errors.ts';
import type { IdentityWrite } from '../../../core/identity/ports.ts';
import { exampleIdentity } from '../../contract/identities.ts';
import { createKeyCipher } from '../../tables/key-cipher.ts';
import { TABLES_FORMAT } from '../../tables/migrations.ts';
import { openKeyCipher } from './key-file.ts';
import { openDatabase } from './sqlite.ts';
import { type EmbeddedTables, openEmbeddedTables } from './tables.ts';

const writer = fileURLToPath(new URL('../../contract/identities-writer.ts', import.meta.url));
const onUnix = { skip: process.platform === 'win32' };

interface Place {
  readonly folder: string;
  readonly file: string;
  readonly keyFile: string;
  open(given?: string, log?: Log): Promise<EmbeddedTables>;
}

function place(context: TestContext): Place {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-tables-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'tables', 'hub.db');
  const keyFile = path.join(folder, 'keys', 'tables.key');
  return {
    folder,
    file,
    keyFile,
    async open(given, log = silentLog) {
      const cipher = openKeyCipher({ file: keyFile, given, random: systemRandom, log });
      const tables = await openEmbeddedTables({ file, cipher, log, clock: systemClock });
      context.after(() => tables.close());
      return tables;
    },
  };
}

const creation = (deviceId: string): IdentityWrite => ({
  kind: 'create',
  identity: exampleIdentity({ deviceId }),
  countMax: 1_000_000,
});

/** Every byte below `folder`, but for the key file. */
function bytesBelow(folder: string): Buffer {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const kept = files.filter((entry) => !entry.name.endsWith('.key'));
  return Buffer.concat(kept.map((entry) => readFileSync(path.join(entry.parentPath, entry.name))));
}

test('what was written is there after the file is opened again', async (context) => {
  const here = place(context);
  const first = await here.open();
  await first.identities.write([creation('d1')]);
  await first.policies.save([{ name: 'p', primaryKey: 'YQ==', secondaryKey: 'Yg==', permissions: ['RegistryRead'] }]);
  await first.close();
  const second = await here.open();
  assert.deepEqual(await second.identities.get({ deviceId: 'd1' }), exampleIdentity({ deviceId: 'd1' }));
  assert.equal((await second.policies.load())[0].primaryKey, 'YQ==');
});

test('a deleted device takes its sessions along in the same commit, and only its own', async (context) => {
  const tables = await place(context).open();
  const owners = [{ deviceId: 'd1' }, { deviceId: 'd1', moduleId: 'm' }, { deviceId: 'd10' }];
  for (const key of owners) {
    await tables.identities.write([{ kind: 'create', identity: exampleIdentity(key), countMax: 10 }]);
    await tables.subscriptions.save(key, '1', [{ filter: '#', qos: 0 }]);
  }
  await tables.identities.write([{ kind: 'delete', key: { deviceId: 'd1' }, ifMatch: '*' }]);
  const left = await Promise.all(owners.map((key) => tables.subscriptions.load(key, '1')));
  assert.deepEqual(
    left.map((session) => session !== undefined),
    [false, false, true],
  );
});

test('files are for this user only', onUnix, async (context) => {
  const here = place(context);
  const tables = await here.open();
  await tables.identities.write([creation('d1')]);
  for (const file of [here.keyFile, here.file, `${here.file}-wal`, `${here.file}-shm`]) {
    assert.equal(statSync(file).mode & 0o777, 0o600, file);
  }
});

test('no key of a device or policy stands in the files, in any form', async (context) => {
  const here = place(context);
  const tables = await here.open();
  const secrets = [
    'planted-device-primary',
    'planted-device-second',
    'planted-policy-primary',
    'planted-policy-second',
  ];
  const [primaryKey, secondaryKey, policyPrimary, policySecondary] = secrets.map((secret) =>
    Buffer.from(secret.padEnd(24, '.')).toString('base64'),
  );
  const identity = exampleIdentity(
    { deviceId: 'd1' },
    { authentication: { type: 'sas', symmetricKey: { primaryKey, secondaryKey }, x509Thumbprint: null } },
  );
  await tables.identities.write([{ kind: 'create', identity, countMax: 10 }]);
  await tables.identities.write([{ kind: 'replace', identity: { ...identity, etag: 'visible-etag' }, ifMatch: '*' }]);
  await tables.policies.save([
    { name: 'p', primaryKey: policyPrimary, secondaryKey: policySecondary, permissions: [] },
  ]);
  const search = (): void => {
    const bytes = bytesBelow(here.folder);
    assert.ok(bytes.includes('visible-etag'), 'the search finds what is not secret');
    for (const secret of secrets) {
      for (const form of ['utf8', 'base64', 'hex'] as const) {
        const planted = Buffer.from(secret.padEnd(24, '.')).toString(form);
        assert.ok(!bytes.includes(planted), `${secret} as ${form}`);
      }
    }
  };
  search();
  await tables.close();
  search();
  const again = await here.open();
  assert.deepEqual((await again.identities.get({ deviceId: 'd1' }))?.authentication, identity.authentication);
});

test('another key is refused with what to do, and nothing is changed', async (context) => {
  const here = place(context);
  await here.open().then((tables) => tables.close());
  const before = readFileSync(here.file);
  const key = readFileSync(here.keyFile, 'utf8');
  rmSync(here.keyFile);
  await assert.rejects(here.open(), (error: Error) => {
    assert.match(error.message, /hub\.db: .*another key than the one from .*tables\.key .*Put the key file .* back/);
    assert.ok(!error.message.includes(readFileSync(here.keyFile, 'utf8').trim()));
    return true;
  });
  assert.deepEqual(readFileSync(here.file), before);
  writeFileSync(here.keyFile, key, { mode: 0o600 });
  await here.open();
});

test('a key from the environment makes no key file, and is needed again', async (context) => {
  const here = place(context);
  const given = Buffer.alloc(32, 5).toString('base64');
  const tables = await here.open(given);
  await tables.identities.write([creation('d1')]);
  await tables.close();
  assert.throws(() => statSync(here.keyFile), /ENOENT/);
  await assert.rejects(here.open(Buffer.alloc(32, 6).toString('base64')), /one from keyEncryptionKey/);
  const again = await here.open(given);
  assert.equal((await again.identities.counts()).devices, 1);
  await assert.rejects(here.open('c2hvcnQ='), /keyEncryptionKey must be base64 of 32 bytes/);
});

test('after a new key is put before the old one, old secrets open and new ones use it', async (context) => {
  const here = place(context);
  const tables = await here.open();
  await tables.identities.write([creation('old')]);
  await tables.close();
  const old = readFileSync(here.keyFile, 'utf8');
  writeFileSync(here.keyFile, `${Buffer.alloc(32, 9).toString('base64')}\n${old}`);
  const rotated = await here.open();
  await rotated.identities.write([creation('new')]);
  for (const deviceId of ['old', 'new']) {
    assert.deepEqual(await rotated.identities.get({ deviceId }), exampleIdentity({ deviceId }));
  }
});

test('a damaged key file is refused, never replaced', async (context) => {
  const here = place(context);
  await here.open().then((tables) => tables.close());
  for (const content of ['', 'nonsense\n', `${Buffer.alloc(31).toString('base64')}\n`]) {
    writeFileSync(here.keyFile, content);
    await assert.rejects(here.open(), /must hold base64 of 32 bytes a line/);
    assert.equal(readFileSync(here.keyFile, 'utf8'), content);
  }
});

test('a newer format is refused with what to do; a file that is no database too', async (context) => {
  const here = place(context);
  await here.open().then((tables) => tables.close());
  const database = new DatabaseSync(here.file);
  database.exec(`update facts set value = '${TABLES_FORMAT + 1}' where name = 'format'`);
  database.close();
  const newer = new RegExp(
    `have format ${TABLES_FORMAT + 1}, .*formats up to ${TABLES_FORMAT}\\. Start the newer program`,
  );
  await assert.rejects(here.open(), newer);
  writeFileSync(here.file, 'not a database, but long enough to be looked at as one'.repeat(100));
  await assert.rejects(here.open(), /hub\.db: file is not a database/);
});

test('a file whose settings were weakened is opened durable again', async (context) => {
  const here = place(context);
  await here.open().then((tables) => tables.close());
  const weak = new DatabaseSync(here.file);
  weak.exec('pragma journal_mode = delete; pragma synchronous = off');
  weak.close();
  const database = openDatabase(here.file);
  assert.equal(database.prepare('pragma journal_mode').get()?.journal_mode, 'wal');
  assert.equal(database.prepare('pragma synchronous').get()?.synchronous, 2);
  database.close();
});

test('a sealed key moved to another identity is refused, and the error shows no secret', async (context) => {
  const here = place(context);
  const tables = await here.open();
  await tables.identities.write([creation('d1'), creation('d2')]);
  await tables.close();
  const database = new DatabaseSync(here.file);
  database.exec(`update identities set primary_key = (select primary_key from identities where device_id = 'd1')`);
  database.close();
  const lines: unknown[] = [];
  const log: Log = { ...silentLog, error: (fields) => lines.push(fields) };
  const again = await here.open(undefined, log);
  assert.notEqual(await again.identities.get({ deviceId: 'd1' }), undefined);
  await assert.rejects(again.identities.get({ deviceId: 'd2' }), (error: HubError) => error.code === 'ServerError');
  assert.match(JSON.stringify(lines), /primary_key of d2 cannot be opened/);
  // One that fails does not hurt its neighbours in the same commit.
  const results = await Promise.allSettled([
    again.identities.write([creation('d3')]),
    again.identities.get({ deviceId: 'd2' }),
    again.identities.write([{ kind: 'delete', key: { deviceId: 'd2' }, ifMatch: '*' }, creation('d4')]),
    again.identities.write([creation('d5')]),
  ]);
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  );
  assert.notEqual(await again.identities.get({ deviceId: 'd5' }), undefined);
  assert.equal(await again.identities.get({ deviceId: 'd4' }), undefined);
});

test('more calls than the queue holds are refused, and those in it are carried out', async (context) => {
  const tables = await place(context).open();
  const calls = Array.from({ length: limits.tableQueueMax + limits.tableBatchRowsMax + 10 }, () =>
    tables.identities.counts(),
  );
  const results = await Promise.allSettled(calls);
  const refused = results.filter((result) => result.status === 'rejected');
  assert.ok(refused.length > 0 && refused.length < calls.length);
  for (const { reason } of refused as PromiseRejectedResult[]) {
    assert.ok(reason instanceof HubError && reason.code === 'ServiceUnavailable');
    assert.equal(reason.limit?.name, 'tableQueueMax');
  }
  assert.equal((await tables.identities.counts()).devices, 0);
});

test('closing finishes what waits and refuses what comes later', async (context) => {
  const here = place(context);
  const tables = await here.open();
  const writes = Array.from({ length: 1500 }, (_, nth) => tables.identities.write([creation(`d${nth}`)]));
  const look = tables.lookThrough();
  const closed = tables.close();
  await assert.rejects(tables.identities.counts(), { code: 'ServiceUnavailable' });
  await Promise.all(writes);
  await closed;
  await look;
  assert.equal((await (await here.open()).identities.counts()).devices, 1500);
});

test('when the thread dies, everything that waits and everything later is refused, and health says so', async (context) => {
  const started = once(process, 'worker');
  const tables = await place(context).open();
  const [thread] = (await started) as [Worker];
  await tables.identities.write([creation('d1')]);
  assert.deepEqual(tables.health(), { ok: true });
  const waiting = [tables.identities.write([creation('d2')]), tables.identities.counts()];
  const refused = Promise.all(waiting.map((call) => assert.rejects(call, { code: 'ServiceUnavailable' })));
  await thread.terminate();
  await refused;
  await assert.rejects(tables.subscriptions.remove({ deviceId: 'd1' }), { code: 'ServiceUnavailable' });
  assert.match(JSON.stringify(tables.health()), /the tables' thread has ended .*Restart the hub/);
  await tables.close();
});

test('closing ends when the thread dies meanwhile', async (context) => {
  const started = once(process, 'worker');
  const tables = await place(context).open();
  const [thread] = (await started) as [Worker];
  const writes = Array.from({ length: 2000 }, (_, nth) => tables.identities.write([creation(`d${nth}`)]));
  const settled = Promise.allSettled(writes);
  const closed = tables.close();
  await writes[0];
  await thread.terminate();
  await closed;
  assert.ok((await settled).some((write) => write.status === 'rejected'));
});

test('a full disk refuses writes as unavailable and loses nothing that was acknowledged', onUnix, async (context) => {
  const here = place(context);
  const tables = await here.open();
  await tables.identities.write([creation('first')]);
  await tables.close();
  // The largest file that the process may write stands in for the disk's end: 2 MiB in blocks of 512 bytes.
  const limited = ['-c', 'ulimit -f 4096; exec "$0" "$@"', process.execPath, writer, here.file, here.keyFile, 'd'];
  const child = spawn('sh', limited, { stdio: ['ignore', 'pipe', 'inherit'] });
  const acknowledged: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) acknowledged.push(line);
  assert.equal(acknowledged.pop(), 'refused: ServiceUnavailable; still read');
  const again = await here.open();
  for (const deviceId of ['first', ...acknowledged]) {
    assert.notEqual(await again.identities.get({ deviceId }), undefined, deviceId);
  }
  assert.equal((await again.identities.counts()).devices, acknowledged.length + 1);
});

test('after kill -9 every acknowledged write is there, whole', async (context) => {
  const here = place(context);
  await here.open().then((tables) => tables.close());
  let expected = 0;
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, [writer, here.file, here.keyFile, `r${round}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const acknowledged: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length === 300 + round * 137) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.equal(child.signalCode, 'SIGKILL');
    const tables = await here.open();
    const missing: string[] = [];
    for (const deviceId of acknowledged) {
      const found = await tables.identities.get({ deviceId });
      if (found === undefined) missing.push(deviceId);
      else assert.deepEqual(found, exampleIdentity({ deviceId }));
    }
    assert.deepEqual(missing, []);
    // The count and the rows are one: whatever else was committed, neither runs ahead of the other.
    expected = (await tables.identities.counts()).devices;
    let listed = 0;
    for (let after: string | undefined; ; ) {
      const page = await tables.identities.listDevices(after === undefined ? { limit: 1000 } : { after, limit: 1000 });
      if (page.length === 0) break;
      listed += page.length;
      after = page[page.length - 1].deviceId;
    }
    assert.equal(listed, expected);
    await tables.close();
  }
  assert.ok(expected >= 4 * 300);
  // A copy of the file alone, as a backup of a stopped hub makes it, opens as well.
  const copy = path.join(here.folder, 'copy.db');
  copyFileSync(here.file, copy);
  const cipher = openKeyCipher({ file: here.keyFile, random: systemRandom, log: silentLog });
  const tables = await openEmbeddedTables({ file: copy, cipher, log: silentLog, clock: systemClock });
  assert.equal((await tables.identities.counts()).devices, expected);
  await tables.close();
});

test('a sealed text opens only whole, under its key and for its place', () => {
  const cipher = createKeyCipher({ keys: [Buffer.alloc(32, 1)], source: 'test' });
  const other = createKeyCipher({ keys: [Buffer.alloc(32, 2)], source: 'test' });
  const sealed = cipher.seal('secret', ['t', 'a', 'b']);
  assert.equal(cipher.open(sealed, ['t', 'a', 'b']), 'secret');
  assert.notEqual(cipher.seal('secret', ['t', 'a', 'b']), sealed);
  assert.throws(() => cipher.open(sealed, ['t', 'ab', '']));
  assert.throws(() => other.open(sealed, ['t', 'a', 'b']), /not among those given/);
  for (let at = 0; at < sealed.length; at++) {
    assert.throws(() => cipher.open(sealed.slice(0, at), ['t', 'a', 'b']));
    const changed = sealed[at] === 'A' ? 'B' : 'A';
    const damaged = sealed.slice(0, at) + changed + sealed.slice(at + 1);
    // The last letter of base64url may carry bits that stand for nothing.
    if (Buffer.from(damaged.slice(17), 'base64url').equals(Buffer.from(sealed.slice(17), 'base64url'))) continue;
    assert.throws(() => cipher.open(damaged, ['t', 'a', 'b']), `letter ${at}`);
  }
});
