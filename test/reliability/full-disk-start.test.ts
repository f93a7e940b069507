/**
 * A start on a disk that is really full, with 0 and with 4 KiB free: the hub starts on its reserve, again and again, lets readers read
 * everything. Without a reserve the message says what to do, and the bound that it names frees the disk.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statfsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import type { HealthReport } from '../../src/api/health.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from './event-reader.ts';
import { KillPublisher } from './kill-publisher.ts';

const place = mkdtempSync(path.join(tmpdir(), 'mooring-start-'));
const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=32m,mode=700', 'tmpfs', place]);
const isMounted = mount.status === 0;
after(() => {
  if (isMounted) spawnSync('umount', ['--lazy', place]);
  rmSync(place, { recursive: true, force: true });
});

const args = ['--segment-bytes', '64KiB', '--partitions', '2'];
const MESSAGES = 6000;
const ballast = path.join(place, 'ballast');

function fill(freeBytes: number): void {
  writeFileSync(ballast, '');
  const { bavail, bsize } = statfsSync(place);
  writeFileSync(ballast, Buffer.alloc(bavail * bsize));
  if (freeBytes > 0) truncateSync(ballast, statSync(ballast).size - freeBytes);
  assert.equal(statfsSync(place).bavail * bsize, freeBytes);
}

test('a full disk does not keep the hub from starting', {
  skip: isMounted ? false : 'no file system can be mounted here',
  timeout: 120_000,
}, async () => {
  let hub = await startHub({ dataDir: path.join(place, 'data'), args });
  const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
  const publisher = new KillPublisher(login, 1);
  await fillLog(hub, publisher);
  const count = (): Promise<number> => countEvents(hub);
  try {
    const before = await count();
    for (const [round, freeBytes] of [0, 4096, 0].entries()) {
      assert.equal(
        round % 2 === 0 ? (await hub.stop()).code : (await hub.kill()).signal,
        round % 2 === 0 ? 0 : 'SIGKILL',
      );
      fill(freeBytes);
      hub = await hub.restart();
      assert.equal(await count(), before, `all that there was, with ${freeBytes} bytes free`);
    }
    await hub.stop();
    rmSync(path.join(place, 'data', 'reserve'));
    fill(0);
    await assert.rejects(
      hub.restart(),
      /cannot start\. The disk .* is full\. Free at least 4 MiB .*--retention-bytes .*mooring takes \d+\.\d MiB/,
    );
    hub = await hub.restart({ args: ['--retention-bytes', '1MiB'] });
    const kept = await count();
    assert.ok(kept > 0 && kept < before, `${kept} of ${before} events are kept`);
    assert.ok(statSync(path.join(place, 'data', 'reserve')).size >= 1024 * 1024, 'there is a reserve again');
    await sendMore(hub, publisher);
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('a shorter retention makes room on a full disk without a reserve, before anything needs it', {
  skip: isMounted ? false : 'no file system can be mounted here',
  timeout: 120_000,
}, async () => {
  rmSync(ballast, { force: true });
  const dataDir = path.join(place, 'aged');
  let hub = await startHub({ dataDir, args: [...args, '--retention-days', '7'] });
  try {
    const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
    const publisher = new KillPublisher(login, 2);
    await fillLog(hub, publisher);
    await hub.stop();
    // Three days pass for the hub.
    const file = path.join(dataDir, 'running-time.json');
    const time = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...time, passedMs: time.passedMs + 3 * 86_400_000 }));
    rmSync(path.join(dataDir, 'reserve'));
    fill(0);
    await assert.rejects(hub.restart(), /The disk .* is full/);
    hub = await startHub({ dataDir, args: [...args, '--retention-days', '1'] });
    assert.equal(await countEvents(hub), 0);
    assert.ok(statfsSync(place).bavail > 0);
    await sendMore(hub, publisher);
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

test('without a set bound events take a share of the disk, which does not shrink as others take the rest', {
  skip: isMounted ? false : 'no file system can be mounted here',
  timeout: 120_000,
}, async () => {
  for (const name of ['ballast', 'data', 'aged']) rmSync(path.join(place, name), { recursive: true, force: true });
  // The reserve and what tables need come out of the same room.
  fill(14 * 2 ** 20);
  await using hub = await startHub({ dataDir: path.join(place, 'bounded'), args });
  const log = async (): Promise<{ readonly bytes: number; readonly max: number; readonly told: string }> => {
    const at = `http://127.0.0.1:${hub.endpoints.ports.admin}`;
    const metrics = await (await fetch(`${at}/metrics`)).text();
    const value = (name: string): number =>
      Number(new RegExp(`^mooring_event_log_${name}\\{event_hub="mooring"\\} (.*)$`, 'm').exec(metrics)?.[1]);
    const health = (await (
      await fetch(`${at}/readyz`, { headers: { accept: 'application/json' } })
    ).json()) as HealthReport;
    const told = health.checks.find(({ name }) => name === 'disk')?.reason ?? '';
    return { bytes: value('bytes'), max: value('bytes_max'), told };
  };
  const { max, told } = await log();
  assert.ok(max > 8 * 2 ** 20 && max <= 0.75 * 14 * 2 ** 20, `${max}`);
  assert.match(told, new RegExp(`mooring has 0 MiB of at most ${Math.floor(max / 2 ** 20)} MiB`));
  const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
  const publisher = new KillPublisher(login, 3);
  await send(hub, publisher, MESSAGES / 2);
  // Others take of what is left.
  writeFileSync(path.join(place, 'others'), Buffer.alloc(512 * 1024));
  await send(hub, publisher, MESSAGES / 2);
  const later = await log();
  assert.equal(later.max, max);
  const all = await countEvents(hub);
  assert.ok(all >= MESSAGES, `nothing has gone yet: ${all}`);
});

const fillLog = (hub: TestHub, publisher: KillPublisher): Promise<void> => send(hub, publisher, MESSAGES);
const sendMore = (hub: TestHub, publisher: KillPublisher): Promise<void> => send(hub, publisher, 100);

async function send(hub: TestHub, publisher: KillPublisher, count: number): Promise<void> {
  const end = publisher.acknowledgedCount + count;
  await publisher.start(hub.endpoints.ports.mqtt as number);
  await until(`${count} acknowledgements`, () => publisher.acknowledgedCount >= end);
  await publisher.finish();
}

async function countEvents(hub: TestHub): Promise<number> {
  let read = 0;
  const { ports, connectionStrings } = hub.endpoints;
  const reader = { port: ports.amqp as number, connectionString: connectionStrings.eventHubsEmulator };
  await readToEnd(reader, new Map(), () => {
    read++;
  });
  return read;
}
