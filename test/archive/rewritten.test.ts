/** Files of an archive that are written again, and events that retention takes below it: nothing that is archived is lost, and what is lost is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListedFile } from '../../src/core/archive/types.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import { routingMark } from '../../src/records/record-codec.ts';
import { ArchiveRig, archivedIn, listOf, trimmed } from '../drivers/archive-rig.ts';
import { until } from '../drivers/until.ts';

const when = (holds: () => boolean | Promise<boolean>): Promise<void> =>
  until('the archive is so far', holds, { everyMs: 20 });
const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, nth) => from + nth);

test('a file that is written again with another length is listed with it, in an older block too', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  let added = 'before';
  const archiver = rig.start({
    enriched: async (records) => records.map((record) => ({ ...record, enrichments: [['site', added]] })),
  });
  const isRight = async (): Promise<void> => {
    const files = await listOf(rig, 0);
    const manifests = [...rig.store.objects].filter(([path]) => path.includes('_manifest'));
    const told = manifests.flatMap(([, bytes]) => (JSON.parse(String(bytes)) as { files: ListedFile[] }).files);
    for (const file of files) {
      assert.equal(file.bytes, rig.store.objects.get(file.path)?.length);
      assert.equal(file.bytes, told.find(({ path }) => path === file.path)?.bytes, 'beside the files');
    }
  };
  await rig.write(0, 100);
  await when(async () => (await listOf(rig, 0))[0]?.bytes !== undefined);
  await archiver.close();
  // The next one is in a block of its own: its files are called otherwise.
  const later = rig.start({
    endpoint: { ...rig.endpoint, naming: 'service' },
    enriched: async (records) => records.map((record) => ({ ...record, enrichments: [['site', added]] })),
  });
  await rig.write(0, 100);
  await when(async () => (await listOf(rig, 0))[1]?.bytes !== undefined);
  await when(() => rig.store.objects.size === 4);
  await isRight();
  added = 'behind '.repeat(1000);
  for (const first of [0, 100]) {
    const before = (await listOf(rig, 0)).find((file) => file.first === first);
    assert.ok(later.rewrite(0, first));
    await when(async () => (await listOf(rig, 0)).find((file) => file.first === first)?.bytes !== before?.bytes);
  }
  await when(() => later.status().lagEvents === 0);
  await later.close();
  await isRight();
  assert.deepEqual((await archivedIn(rig.store.objects)).get(0), range(0, 200));
  assert.deepEqual(
    (await listOf(rig, 0)).map(({ first, last, events }) => [first, last, events]),
    [
      [0, 99, 100],
      [100, 199, 100],
    ],
  );
});

test('a file is not written again with fewer events than it has', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  await rig.write(0, 100);
  let first = 0;
  const log = routedLog(
    trimmed(rig, () => first),
    routingMark,
  );
  // Retention comes while the file is being made.
  const archiver = rig.start({
    log: {
      ...log,
      read: (...asked) => {
        if (rig.store.files.length > 0) first = 50;
        return log.read(...asked);
      },
    },
  });
  await when(async () => (await listOf(rig, 0))[0]?.bytes !== undefined);
  assert.ok(archiver.rewrite(0, 0));
  await when(() => first === 50);
  await rig.write(0, 10);
  await when(async () => (await archivedIn(rig.store.objects)).get(0)?.length === 110);
  await archiver.close();
});

test('a file that was stored before a crash keeps the events that retention has taken since', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  await rig.write(0, 100);
  const crash = new Error('the process ends here');
  const before = rig.start({
    reached: (step) => {
      if (step === 'uploaded') throw crash;
    },
  });
  await when(() => before.status().state === 'degraded');
  await before.close();
  assert.equal((await listOf(rig, 0))[0].bytes, undefined);
  const behind = rig.start({
    log: routedLog(
      trimmed(rig, () => 60),
      routingMark,
    ),
  });
  await when(async () => (await listOf(rig, 0))[0].bytes !== undefined);
  const [file] = await listOf(rig, 0);
  assert.deepEqual([file.events, file.missed, file.bytes], [100, 0, rig.store.objects.get(file.path)?.length]);
  assert.deepEqual((await archivedIn(rig.store.objects)).get(0), range(0, 100));
  await behind.close();
});

test('where retention takes what waits, a file is cut at once, and what is lost is told in it', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 3600 });
  let first = 0;
  await rig.write(0, 50);
  const archiver = rig.start({
    log: routedLog(
      trimmed(rig, () => first),
      routingMark,
    ),
  });
  await when(() => archiver.status().lagSeconds > 0);
  assert.equal(rig.store.files.length, 0);
  first = 20;
  await when(async () => (await listOf(rig, 0))[0]?.bytes !== undefined);
  const [file] = await listOf(rig, 0);
  assert.deepEqual([file.first, file.last, file.events, file.missed], [0, 49, 30, 20]);
  await when(() => archiver.status().totals.missed === 20);
  await archiver.close();
});

test('where retention has left nothing at all, the archive goes on behind it, and does not turn in a circle', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 3600 });
  await rig.write(0, 50);
  const log = routedLog(
    trimmed(rig, () => 50),
    routingMark,
  );
  let looks = 0;
  const archiver = rig.start({
    log: {
      ...log,
      partition: (partition) => {
        if (partition === 0) looks++;
        // An archive that turns in a circle lets nobody else have a turn.
        if (looks > 100) throw new Error('too many looks');
        return log.partition(partition);
      },
    },
  });
  await when(() => archiver.unarchived().get(0) === 50);
  const began = looks;
  await new Promise<void>((resolve) => void rig.clock.after(1500, resolve));
  assert.ok(looks - began <= 3, `${looks - began} looks`);
  await archiver.close();
});
