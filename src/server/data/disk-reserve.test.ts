/** The reserve on a disk that is really full, and then has room again: made again by itself, and health tells. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { diskCheck } from '../observe/health/disk-check.ts';
import { giveUpReserve, keepReserve } from './disk-reserve.ts';

const place = mkdtempSync(path.join(tmpdir(), 'mooring-reserve-'));
const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m,mode=700', 'tmpfs', place]);
const isMounted = mount.status === 0;
after(() => {
  if (isMounted) spawnSync('umount', ['--lazy', place]);
  rmSync(place, { recursive: true, force: true });
});
const options = { skip: isMounted ? false : 'no file system can be mounted here' };
const ballast = path.join(place, 'ballast');
const free = (): number => statfsSync(place).bavail * statfsSync(place).bsize;
const leave = (bytes: number): void => {
  rmSync(ballast, { force: true });
  writeFileSync(ballast, Buffer.alloc(free() - bytes));
};
const onDisk = (): number => statSync(path.join(place, 'reserve'), { throwIfNoEntry: false })?.size ?? 0;

test(
  'while the disk is full the reserve lacks, which health tells; with room it is made again in time',
  options,
  async () => {
    const clock = new VirtualClock();
    leave(1024 * 1024);
    const reserve = await keepReserve(place, giveUpReserve(place), clock);
    const check = diskCheck({ folder: place, segmentBytes: 1, logs: [], reserveBytes: () => reserve.bytes });
    assert.equal(onDisk(), 512 * 1024, 'half of what is left is for clients');
    assert.equal(reserve.bytes, onDisk());
    const told = await check.look();
    assert.equal(told.status, 'warn');
    assert.match(told.reason ?? '', /the reserve for a start on a full disk lacks 3584 KiB/);
    leave(0);
    await reserve.refill();
    assert.equal(onDisk(), 512 * 1024);
    rmSync(ballast);
    clock.advance(limits.diskReserveLookMs);
    await reserve.refill();
    assert.equal(onDisk(), limits.diskReserveBytes);
    assert.equal((await check.look()).status, 'ok');
    // An operator has removed it by hand.
    rmSync(path.join(place, 'reserve'));
    clock.advance(limits.diskReserveLookMs);
    await reserve.refill();
    assert.equal(onDisk(), limits.diskReserveBytes);
    await reserve.close();
  },
);

test('what a start gave up it takes back first, so that the next one has it, too', options, async () => {
  rmSync(ballast, { force: true });
  const clock = new VirtualClock();
  await (await keepReserve(place, 0, clock)).close();
  for (let round = 0; round < 3; round++) {
    leave(0);
    const given = giveUpReserve(place);
    assert.ok(given >= 3 * 2 ** 20, `${given}`);
    assert.equal(free(), given);
    // What a start writes.
    writeFileSync(path.join(place, `start-${round}`), Buffer.alloc(256 * 1024));
    await (await keepReserve(place, given, clock)).close();
    assert.equal(onDisk(), given - 256 * 1024);
  }
});
