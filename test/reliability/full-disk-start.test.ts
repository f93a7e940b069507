/**
 * A start on a disk that is really full, with 0 and with 4 KiB free: the hub starts on its reserve, again and again, lets readers read
 * everything. Without a reserve the message says what to do.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import { startHub } from '../drivers/hub.ts';
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

test('a full disk does not keep the hub from starting', {
  skip: isMounted ? false : 'no file system can be mounted here',
  timeout: 120_000,
}, async () => {
  const ballast = path.join(place, 'ballast');
  const fill = (freeBytes: number): void => {
    writeFileSync(ballast, '');
    const { bavail, bsize } = statfsSync(place);
    writeFileSync(ballast, Buffer.alloc(bavail * bsize));
    if (freeBytes > 0) truncateSync(ballast, statSync(ballast).size - freeBytes);
    assert.equal(statfsSync(place).bavail * bsize, freeBytes);
  };
  const args = ['--segment-bytes', '64KiB', '--partitions', '2'];
  let hub = await startHub({ dataDir: path.join(place, 'data'), args });
  const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
  const publisher = new KillPublisher(login, 1);
  await publisher.start(hub.endpoints.ports.mqtt as number);
  await until('1500 acknowledgements', () => publisher.acknowledgedNumbers().length >= 1500);
  await publisher.finish();
  const count = async (): Promise<number> => {
    let read = 0;
    const { ports, connectionStrings } = hub.endpoints;
    const reader = { port: ports.amqp as number, connectionString: connectionStrings.eventHubsEmulator };
    await readToEnd(reader, new Map(), () => {
      read++;
    });
    return read;
  };
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
      /The hub cannot start\. The disk of the data folder .* is full\. Free at least 4 MiB/,
    );
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
