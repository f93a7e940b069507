/**
 * A disk that is really full: the data folder lies on a small file system of its own, which is filled up under load. The
 * hub stops acknowledging, says why on /readyz and in its log, serves what it can, goes on by itself when there is room, and
 * has kept everything that it acknowledged. MOORING_TEST_DISK_ROUNDS sets how often, MOORING_TEST_SEED the seed.
 *
 * Where a file system cannot be mounted (it takes root) the faults injected below the journal are what shows the same:
 * `src/stores/embedded/event-log/faults.test.ts`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';
import { MixedLoad } from './mixed-load.ts';

const ROUNDS = Number(process.env.MOORING_TEST_DISK_ROUNDS ?? 2);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SHAPE = { mqtt: 6, http: 3, amqp: 3, commands: 2, registry: 2 };
const DISK_MIB = 48;

const place = mkdtempSync(path.join(tmpdir(), 'mooring-disk-'));
const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=700`, 'tmpfs', place]);
const isMounted = mount.status === 0;
after(() => {
  if (isMounted) spawnSync('umount', ['--lazy', place]);
  rmSync(place, { recursive: true, force: true });
});

test(`a full disk under load, ${ROUNDS} times: nothing acknowledged is lost, and the hub goes on by itself`, {
  skip: isMounted ? false : 'no file system can be mounted here',
  timeout: 60_000 + ROUNDS * 60_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_DISK_ROUNDS=${ROUNDS}`);
  const ballast = path.join(place, 'ballast');
  let hub = await startHub({ dataDir: path.join(place, 'data'), args: ['--segment-bytes', '1MiB'] });
  const load = await MixedLoad.prepare(hub, SHAPE, SEED);
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      await load.start(hub, true);
      await sleep(300);
      fill(ballast);
      await until('the disk is full', async () => (await ready(hub)).status === 503);
      const { text } = await ready(hub);
      assert.match(text, /^fail events: .*cannot be written.*(ENOSPC|no space)/im, 'it says what is wrong');
      assert.match(text, /^warn disk: \d MiB \(\d %\) are free/m);
      await hub.logged(/nothing is acknowledged until it can be/);
      const before = load.acknowledgedTelemetry();
      await sleep(1500);
      assert.equal(load.acknowledgedTelemetry(), before, 'nothing is acknowledged while it cannot be stored');
      await assertServesReaders(hub, load, `round ${round}, while the disk is full`);

      rmSync(ballast);
      await until('the hub goes on', async () => (await ready(hub)).status === 200);
      await hub.logged(/can be written again/);
      // Connections that had unacknowledged messages were ended: their devices come back, as SDKs do.
      await load.stop('cut');
      await load.start(hub, true);
      const after = load.acknowledgedTelemetry();
      await until('messages are acknowledged again', async () => load.acknowledgedTelemetry() > after + 50);
      await load.stop('finish');
      await load.check(hub, `round ${round}`);
    }
    const exit = await hub.stop();
    assert.equal(exit.code, 0);
    hub = await hub.restart();
    await load.check(hub, 'after a restart');
    const refused = load.counts.refused;
    t.diagnostic(
      `acknowledged: ${JSON.stringify(load.counts)}; ${load.eventsRead} events read back; lost: 0; refused: ${refused}`,
    );
  } finally {
    rmSync(ballast, { force: true });
    await hub[Symbol.asyncDispose]();
    await load.stop('cut');
  }
});

/** Takes all the room that is left. */
function fill(file: string): void {
  const { bavail, bsize } = statfsSync(place);
  try {
    writeFileSync(file, Buffer.alloc(bavail * bsize));
  } catch (error) {
    // The hub was faster with the last of it.
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

async function ready(hub: TestHub): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`);
  return { status: answer.status, text: await answer.text() };
}

/** The registry and what is stored can be read all the time. */
async function assertServesReaders(hub: TestHub, load: MixedLoad, when: string): Promise<void> {
  const api = apiOf(hub);
  const devices = await api.devices.list({ top: 5 });
  api.close();
  assert.equal(devices.length, 5, when);
  await load.readEvents(hub, when);
}
