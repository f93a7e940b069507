/** An archive whose folder is on a disk that is full: it says so, keeps its events, and goes on when there is room. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { openTreeStore } from '../../src/stores/objects/tree/tree-store.ts';
import { filesIn } from '../drivers/archive-files.ts';
import { ArchiveRig, archivedIn } from '../drivers/archive-rig.ts';
import { until } from '../drivers/until.ts';

const place = mkdtempSync(path.join(tmpdir(), 'mooring-archive-disk-'));
const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=700', 'tmpfs', place]).status === 0;
after(() => {
  if (isMounted) spawnSync('umount', ['--lazy', place]);
  rmSync(place, { recursive: true, force: true });
});

test('a full disk: nothing is lost, nothing is there twice, and no part of a file is seen', {
  skip: isMounted ? false : 'no file system can be mounted here',
}, async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  const root = path.join(place, 'archive');
  const store = await openTreeStore(root, 'a');
  const ballast = path.join(place, 'ballast');
  const archiver = rig.start({ store });
  await rig.write(0, 1000);
  await until('the first events are archived', async () => (await archivedIn(filesIn(root))).get(0)?.length === 1000);
  const { bavail, bsize } = statfsSync(place);
  writeFileSync(ballast, Buffer.alloc(bavail * bsize));
  await rig.write(0, 1000, { body: (nth) => `${nth} ${Math.random()}` });
  await until('it says that the disk is full', () => archiver.status().state === 'degraded');
  assert.match(archiver.status().reason ?? '', /could not be stored \(folder\): .*(full|room|ENOSPC)/);
  assert.equal((await archivedIn(filesIn(root))).get(0)?.length, 1000);
  rmSync(ballast);
  await until('it goes on', async () => (await archivedIn(filesIn(root))).get(0)?.length === 2000);
  assert.deepEqual(
    (await archivedIn(filesIn(root))).get(0),
    Array.from({ length: 2000 }, (_, nth) => nth),
  );
  await until('it is well again', () => archiver.status().state === 'healthy');
  // Another may be on its way at this moment; one that stays would be found.
  await until(
    'nothing is left of what was on its way',
    () => readdirSync(path.join(root, '.staging', 'a')).length === 0,
  );
  await archiver.close();
});
