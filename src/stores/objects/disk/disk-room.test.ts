import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../base/limits.ts';
import { ObjectError, type ObjectErrorKind } from '../../../core/files/object-store.ts';
import { type DiskPlace, DiskRoom } from './disk-room.ts';

const MIB = 1024 * 1024;
const DISK_MIB = 1000;
const RESERVE_MIB = DISK_MIB * limits.filesDiskReserveShare;

/** A disk of which the test says how much is free, in MiB beside the reserve. */
function scene(freeMib: number) {
  const disk = { freeMib };
  const room = new DiskRoom('', async () => ({ blocks: DISK_MIB, bsize: MIB, bavail: RESERVE_MIB + disk.freeMib }));
  return { disk, room };
}

/** Writes a file, piece by piece, beside what `meanwhile` does. */
async function write(place: DiskPlace, mib: number, meanwhile: (nth: number) => void = () => {}): Promise<void> {
  for (let nth = 0; nth < mib; nth++) {
    await place.writes(MIB);
    meanwhile(nth);
    await place.wrote(MIB);
  }
}

const isKind = (kind: ObjectErrorKind) => (error: unknown) => error instanceof ObjectError && error.kind === kind;

test('what was let in and is not written yet counts for what comes; what was written counts by the disk', async () => {
  const { disk, room } = scene(100);
  await room.holding(70 * MIB, async (place) => {
    await assert.rejects(
      room.holding(40 * MIB, async () => {}),
      isKind('full'),
    );
    await room.holding(30 * MIB, async () => {});
    await write(place, 70, () => {
      disk.freeMib -= 1;
    });
    await room.holding(30 * MIB, async () => {});
  });
  await assert.rejects(
    room.holding(31 * MIB, async () => {}),
    isKind('full'),
  );
});

test('a file that was let in goes on while others write into the rest, and ends where the reserve begins', async () => {
  const { disk, room } = scene(100);
  // All is let in, and the event log grows by a tenth of what comes.
  await room.holding(100 * MIB, (place) =>
    write(place, 50, () => {
      disk.freeMib -= 1.1;
    }),
  );
  disk.freeMib = 100;
  let written = 0;
  const filling = room.holding(100 * MIB, (place) =>
    write(place, 100, () => {
      written += 1;
      disk.freeMib -= 2;
    }),
  );
  await assert.rejects(filling, isKind('full'));
  assert.ok(written >= 50 && written <= 50 + limits.fileSyncBytes / MIB, `${written} MiB`);
  // It has given back what it had not written.
  disk.freeMib = 100;
  await room.holding(100 * MIB, async () => {});
});

test('one whose size is not known is let in as it comes', async () => {
  const { disk, room } = scene(20);
  let written = 0;
  const coming = room.holding(0, (place) =>
    write(place, 100, () => {
      written += 1;
      disk.freeMib -= 1;
    }),
  );
  await assert.rejects(coming, isKind('full'));
  assert.equal(written, 20);
});

test('a disk that cannot be asked is told as one that cannot be used', async () => {
  const room = new DiskRoom('/nothing/is/here');
  await assert.rejects(
    room.holding(1, async () => {}),
    isKind('unavailable'),
  );
});
