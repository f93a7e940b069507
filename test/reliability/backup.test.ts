/**
 * Backups of a running hub: what was acknowledged before one began is in it, whatever the hub does meanwhile; a restored hub
 * gives no number a second time; a copy that is not whole is refused.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { readToEnd } from './event-reader.ts';
import { KillPublisher } from './kill-publisher.ts';

const FLAGS = ['--partitions', '2', '--segment-bytes', '262144'];
const SEED = 77;
const scratch = mkdtempSync(path.join(tmpdir(), 'mooring-backup-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

interface Stored {
  readonly place: string;
  readonly deviceId: string;
  /** The publisher's number. */
  readonly n: number;
}

async function storedIn(hub: TestHub): Promise<readonly Stored[]> {
  const all: Stored[] = [];
  const connectionString = hub.endpoints.connectionStrings.eventHubsEmulator;
  const place = { port: hub.endpoints.ports.amqp as number, connectionString };
  await readToEnd(place, new Map(), ({ partition, sequence, deviceId, properties }) =>
    all.push({ place: `${partition}/${sequence}`, deviceId, n: Number(properties.n) }),
  );
  return all;
}

const moreThan = async (publishers: readonly KillPublisher[], count: number): Promise<void> => {
  for (let tries = 0; publishers.some((each) => each.acknowledgedNumbers().length < count); tries++) {
    assert.ok(tries < 12_000, 'a publisher is not answered any more');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

test('a backup of a hub under load holds all that was acknowledged before it; the restored hub goes on behind it', async (t) => {
  const original = path.join(scratch, 'original');
  const target = path.join(scratch, 'copy');
  let hub = await startHub({ dataDir: original, args: FLAGS });
  const logins = await createDevices(hub.endpoints, hub.ca, 4, '');
  const publishers = logins.map((login) => new KillPublisher(login, SEED));
  await Promise.all(publishers.map((publisher) => publisher.start(hub.endpoints.ports.mqtt as number)));
  await moreThan(publishers, 1000);
  const api = apiOf(hub);
  await api.devices.create('made-before', {});
  const before = publishers.map((publisher) => new Set(publisher.acknowledgedNumbers()));
  // More devices and messages all the while.
  let isRunning = true;
  const making = (async () => {
    for (let nth = 0; isRunning; nth++) await api.devices.create(`made-meanwhile-${nth}`, {});
  })();
  const begun = performance.now();
  const made = await runMooring(['data', 'backup', target, '--keys', '--data-dir', original]);
  const tookMs = Math.round(performance.now() - begun);
  isRunning = false;
  await making;
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /holds the keys/);
  await Promise.all(publishers.map((publisher) => publisher.finish()));
  const acknowledged = publishers.reduce((sum, publisher) => sum + publisher.acknowledgedNumbers().length, 0);
  api.close();
  await hub.kill();

  const verified = await runMooring(['data', 'verify', target]);
  assert.equal(verified.code, 0, verified.stderr + verified.stdout);
  const folder = path.join(scratch, 'restored');
  const restored = await runMooring(['data', 'restore', target, '--data-dir', folder]);
  assert.equal(restored.code, 0, restored.stderr);
  const sound = await runMooring(['data', 'check', '--data-dir', folder]);
  assert.equal(sound.code, 0, sound.stdout);

  hub = await startHub({ dataDir: folder, args: FLAGS });
  try {
    const restoredApi = apiOf(hub);
    assert.equal((await restoredApi.devices.get('made-before')).deviceId, 'made-before');
    restoredApi.close();
    // What comes after the restore stands far behind, on each partition.
    const later = logins.map((login) => new KillPublisher(login, SEED + 1));
    await Promise.all(later.map((publisher) => publisher.start(hub.endpoints.ports.mqtt as number)));
    await moreThan(later, 100);
    await Promise.all(later.map((publisher) => publisher.finish()));
    const all = await storedIn(hub);
    const isLater = ({ place }: Stored): boolean => Number(place.split('/')[1]) >= 2 ** 40;
    const found = all.filter((event) => !isLater(event));
    const added = all.length - found.length;
    assert.ok(added >= later.reduce((sum, publisher) => sum + publisher.acknowledgedNumbers().length, 0), `${added}`);
    const known = new Map(publishers.map(({ deviceId }) => [deviceId, new Set<number>()]));
    for (const { deviceId, n } of found) {
      assert.ok(!known.get(deviceId)?.has(n), `message ${n} of ${deviceId} stands there twice`);
      known.get(deviceId)?.add(n);
    }
    for (const [nth, { deviceId }] of publishers.entries()) {
      for (const n of before[nth]) assert.ok(known.get(deviceId)?.has(n), `message ${n} of ${deviceId} is missing`);
    }
    await assertRestoredAgain(target);
    t.diagnostic(`backup in ${tookMs} ms; ${acknowledged} acknowledged, ${found.length} in it`);
  } finally {
    await hub.stop();
  }

  // One byte that has changed, a file that is gone, a copy that was cut off: each is told.
  const damaged = path.join(scratch, 'damaged');
  cpSync(target, damaged, { recursive: true });
  const log = path.join(damaged, 'data', 'events', 'mooring');
  const segment = path.join(log, readdirSync(log).find((name) => name.endsWith('.journal')) as string);
  const bytes = readFileSync(segment);
  bytes[bytes.length >> 1] ^= 1;
  writeFileSync(segment, bytes);
  const flipped = await runMooring(['data', 'verify', damaged]);
  assert.deepEqual([flipped.code, /has changed/.test(flipped.stderr)], [1, true], flipped.stderr);
  const refused = await runMooring(['data', 'restore', damaged, '--data-dir', path.join(scratch, 'none')]);
  assert.equal(refused.code, 1);
  assert.ok(!existsSync(path.join(scratch, 'none')), 'nothing of it is put in place');
  rmSync(segment);
  assert.match((await runMooring(['data', 'verify', damaged])).stderr, /is missing/);
  rmSync(path.join(damaged, 'backup.json'));
  assert.match((await runMooring(['data', 'verify', damaged])).stderr, /no finished backup/);
  const full = await runMooring(['data', 'restore', target, '--data-dir', folder]);
  assert.match(full.stderr, /is not empty/);
});

/** Another restore of the same backup, a second or ten years later, gives no number that a hub of an earlier one may have given. */
async function assertRestoredAgain(target: string): Promise<void> {
  const manifest = path.join(target, 'backup.json');
  const kept = readFileSync(manifest, 'utf8');
  const age = (years: number): void => {
    const content = JSON.parse(kept);
    writeFileSync(manifest, JSON.stringify({ ...content, begunTime: content.begunTime - years * 365.25 * 86_400_000 }));
  };
  const restore = async (name: string): Promise<readonly number[]> => {
    const folder = path.join(scratch, name);
    const done = await runMooring(['data', 'restore', target, '--data-dir', folder]);
    assert.equal(done.code, 0, done.stderr);
    const check = await runMooring(['data', 'check', '--data-dir', folder]);
    assert.equal(check.code, 0, check.stdout);
    return JSON.parse(readFileSync(path.join(folder, 'hub.json'), 'utf8')).parts.events.mooring.ceilings;
  };
  const first = JSON.parse(readFileSync(path.join(scratch, 'restored', 'hub.json'), 'utf8')).parts.events.mooring
    .ceilings;
  const second = await restore('again');
  for (const [partition, ceiling] of second.entries()) {
    // The first hub has raised its ceilings meanwhile, ahead of what it gave.
    assert.ok(ceiling >= first[partition] - 2 ** 25 + 2 ** 20, `${ceiling} behind ${first[partition]}`);
  }
  age(10);
  const late = await restore('late');
  for (const [partition, ceiling] of late.entries()) assert.ok(ceiling > second[partition] + 2 ** 48, `${ceiling}`);
  age(200);
  const refused = await runMooring(['data', 'restore', target, '--data-dir', path.join(scratch, 'too-late')]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /See that the clock is right/);
  assert.ok(!existsSync(path.join(scratch, 'too-late')));
  writeFileSync(manifest, kept);
}

test('a backup without keys holds none, says so, and works with them put back', async () => {
  const original = path.join(scratch, 'sealed');
  const target = path.join(scratch, 'sealed-copy');
  const first = await startHub({ dataDir: original, args: FLAGS });
  const api = apiOf(first);
  const { authentication } = await api.devices.create('d1', {});
  api.close();
  const made = await runMooring(['data', 'backup', target, '--data-dir', original]);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /no keys/);
  await first.stop();
  const parts = readdirSync(path.join(target, 'data')).sort();
  assert.ok(!parts.includes('keys') && !parts.includes('tls'), parts.join());
  assert.equal((await runMooring(['data', 'verify', target])).code, 0);
  const folder = path.join(scratch, 'sealed-restored');
  const restored = await runMooring(['data', 'restore', target, '--data-dir', folder]);
  assert.match(restored.stdout, /folders keys and tls/);
  for (const part of ['keys', 'tls']) cpSync(path.join(original, part), path.join(folder, part), { recursive: true });
  await using hub = await startHub({ dataDir: folder, args: FLAGS });
  const again = apiOf(hub);
  assert.deepEqual((await again.devices.get('d1')).authentication, authentication);
  again.close();
});

test('a backup that is killed is no finished one, and the hub does not notice', async () => {
  const original = path.join(scratch, 'killed');
  await using hub = await startHub({ dataDir: original, args: FLAGS });
  const logins = await createDevices(hub.endpoints, hub.ca, 1, '');
  const publisher = new KillPublisher(logins[0], SEED);
  await publisher.start(hub.endpoints.ports.mqtt as number);
  await moreThan([publisher], 2000);
  const main = path.join(import.meta.dirname, '..', '..', 'src', 'main.ts');
  for (const [nth, waitMs] of [150, 300, 450, 600].entries()) {
    const target = path.join(scratch, `killed-copy-${nth}`);
    const child = spawn(process.execPath, [main, 'data', 'backup', target, '--data-dir', original], {
      stdio: 'ignore',
    });
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    child.kill('SIGKILL');
    const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode];
    const verified = await runMooring(['data', 'verify', target]);
    // It was too late to kill it, or there is no finished backup.
    assert.equal(verified.code, code === 0 ? 0 : 1, verified.stderr);
  }
  await publisher.finish();
  assert.ok(publisher.acknowledgedNumbers().length >= 2000);
});
