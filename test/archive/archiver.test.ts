/** An archive over a log in memory: what is in which file, whatever fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileBlocks } from '../../src/core/archive/blocks.ts';
import type { ArchiveStep } from '../../src/core/archive/ports.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import { routingMark } from '../../src/records/record-codec.ts';
import { ArchiveRig, archivedIn, listOf, type MemoryStore, plainBuilders } from '../drivers/archive-rig.ts';
import { until } from '../drivers/until.ts';

const when = (holds: () => boolean | Promise<boolean>, options?: { readonly withinMs?: number }): Promise<void> =>
  until('the archive is so far', holds, { everyMs: 20, ...options });
const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, nth) => from + nth);

test('a file is cut when its oldest event has waited long enough, and listed', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  const began = rig.clock.now();
  const archiver = rig.start();
  await rig.write(0, 100);
  await rig.write(1, 7);
  await when(() => rig.store.files.length === 2);
  assert.ok(rig.clock.now() - began >= 1000);
  await when(async () => (await listOf(rig, 1))[0]?.bytes !== undefined);
  await when(() => archiver.status().lagEvents === 0);
  assert.deepEqual(
    await archivedIn(rig.store.objects),
    new Map([
      [0, range(0, 100)],
      [1, range(0, 7)],
    ]),
  );
  const [file] = await listOf(rig, 0);
  assert.deepEqual([file.first, file.last, file.events, file.missed], [0, 99, 100, 0]);
  assert.equal(file.bytes, rig.store.objects.get(file.path)?.length);
  const date = new Date(file.firstTime).toISOString();
  assert.equal(file.path, `cold/date=${date.slice(0, 10)}/hour=${date.slice(11, 13)}/p00-0000000000000000.parquet`);
  const manifest = JSON.parse(String(rig.store.objects.get('cold/_manifest/p00-0000000000000000.json')));
  assert.deepEqual(manifest, {
    ...{ version: 1, eventHub: 'hub', endpoint: 'cold', partition: 0, format: 'parquet' },
    files: [JSON.parse(JSON.stringify(file))],
  });
  const { state, totals } = archiver.status();
  assert.deepEqual([state, totals.files, totals.events, totals.missed], ['healthy', 2, 107, 0]);
  await archiver.close();
});

test('a file is cut by size, and each event is in exactly one', async () => {
  const rig = await ArchiveRig.open({ fileBytes: 1024 * 1024, fileSeconds: 2 });
  const body = (nth: number): string => `${nth} ${'x'.repeat(10_000)}`;
  await rig.write(0, 500, { body });
  const archiver = rig.start();
  await when(async () => (await archivedIn(rig.store.objects)).get(0)?.length === 500);
  const files = await listOf(rig, 0);
  assert.ok(files.length >= 3, `${files.length} files`);
  for (const [nth, file] of files.entries()) assert.equal(file.first, nth === 0 ? 0 : files[nth - 1].last + 1);
  assert.deepEqual((await archivedIn(rig.store.objects)).get(0), range(0, 500));
  await archiver.close();
});

test('only what routes give to it is archived, and the rest keeps no file waiting', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  await rig.write(0, 3000, { isFor: () => false });
  await rig.write(0, 20, { isFor: (nth) => nth % 3 === 0 });
  await rig.write(1, 50, { isFor: () => false });
  const archiver = rig.start();
  await when(() => archiver.status().lagEvents === 0 && rig.store.files.length === 1);
  assert.deepEqual(
    await archivedIn(rig.store.objects),
    new Map([[0, [0, 3, 6, 9, 12, 15, 18].map((nth) => 3000 + nth)]]),
  );
  const [file] = await listOf(rig, 0);
  assert.deepEqual([file.first, file.last, file.events], [3000, 3019, 7]);
  await archiver.close();
});

test("the service's scheme of names, and its forms", async () => {
  for (const format of ['avro', 'json'] as const) {
    const rig = await ArchiveRig.open({ format, naming: 'service', prefix: 'a/b', fileSeconds: 1 });
    await rig.write(1, 3);
    const archiver = rig.start();
    await when(() => rig.store.files.length === 1);
    assert.match(
      rig.store.files[0],
      new RegExp(`^a/b/hub/01/\\d{4}/\\d\\d/\\d\\d/\\d\\d/\\d\\d/p01-0{16}\\.${format}$`),
    );
    await archiver.close();
  }
});

for (const step of ['listed', 'half', 'uploaded', 'stored'] as const) {
  test(`a process that ends at the step '${step}' leaves nothing out and nothing twice`, async () => {
    const rig = await ArchiveRig.open({ fileSeconds: 1 });
    await rig.write(0, 300);
    // What begins after this step never happens: the process is gone. Its lease is not let go.
    let reached: ArchiveStep | undefined;
    const gone = rig.start({
      reached: (each) => {
        if (each !== step) return;
        reached = step;
        throw new Error('killed');
      },
      cursors: {
        ...rig.cursors,
        save: (hold, change) => (reached ? new Promise(() => {}) : rig.cursors.save(hold, change)),
        claim: (of, terms) => (reached ? new Promise(() => {}) : rig.cursors.claim(of, terms)),
      },
      store: new Proxy(rig.store, {
        get: (store, name) => {
          if (name === 'put' && reached) return () => new Promise(() => {});
          const value = store[name as keyof MemoryStore];
          return typeof value === 'function' ? value.bind(store) : value;
        },
      }),
    });
    void gone;
    await when(() => reached === step);
    await rig.write(0, 200);
    const archiver = rig.start({ node: 'a' });
    await when(async () => (await archivedIn(rig.store.objects)).get(0)?.length === 500);
    assert.deepEqual((await archivedIn(rig.store.objects)).get(0), range(0, 500));
    await when(async () => (await listOf(rig, 0)).every(({ bytes }) => bytes !== undefined));
    assert.equal(
      (await listOf(rig, 0)).reduce((sum, { events }) => sum + events, 0),
      500,
    );
    await archiver.close();
  });
}

for (const fault of ['refuse', 'late', 'forget', 'half'] as const) {
  test(`a store that answers '${fault}' twice: the archive says so, and goes on`, async () => {
    const rig = await ArchiveRig.open({ fileSeconds: 1 });
    let times = 0;
    rig.store.fault = () => (++times <= 2 ? fault : undefined);
    await rig.write(0, 100);
    const archiver = rig.start();
    await when(() => archiver.status().state === 'degraded');
    const { reason } = archiver.status();
    assert.match(reason ?? '', /^the file cold\/date=.*\.parquet could not be stored \(memory\): /);
    await rig.write(0, 100);
    await when(async () => (await archivedIn(rig.store.objects).catch(() => new Map())).get(0)?.length === 200, {
      withinMs: 30_000,
    });
    assert.deepEqual((await archivedIn(rig.store.objects)).get(0), range(0, 200));
    await when(() => archiver.status().state === 'healthy');
    assert.equal(archiver.status().totals.failures, 2);
    await archiver.close();
  });
}

test('a file that the store has lost later is written again, the same', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  await rig.write(0, 100);
  const archiver = rig.start();
  await when(async () => (await listOf(rig, 0))[0]?.bytes !== undefined);
  const [path] = rig.store.files;
  const bytes = rig.store.objects.get(path);
  rig.store.objects.delete(path);
  assert.ok(archiver.rewrite(0, 0));
  await when(() => rig.store.objects.has(path));
  assert.deepEqual(rig.store.objects.get(path), bytes);
  await archiver.close();
});

test('what retention has taken before it was archived is counted and told', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 }, { retentionBytes: 20_000 });
  for (let nth = 0; nth < 10; nth++) await rig.write(0, 20);
  const { firstSequence } = rig.log.lastKnown(0);
  assert.ok(firstSequence > 0);
  const archiver = rig.start();
  await when(async () => (await listOf(rig, 0))[0]?.bytes !== undefined);
  const [file] = await listOf(rig, 0);
  assert.deepEqual([file.first, file.last, file.missed], [firstSequence, 199, firstSequence]);
  assert.equal(archiver.status().totals.missed, firstSequence);
  await archiver.close();
});

test('two nodes: one archives a partition at a time; the other goes on when it is gone', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  const [first, second] = [rig.start({ node: 'a' }), rig.start({ node: 'b' })];
  await rig.write(0, 50);
  await when(async () => (await archivedIn(rig.store.objects)).get(0)?.length === 50);
  assert.equal(first.status().partitions + second.status().partitions, 2);
  await first.close();
  await rig.write(0, 50);
  await when(async () => (await archivedIn(rig.store.objects)).get(0)?.length === 100, { withinMs: 30_000 });
  assert.deepEqual((await archivedIn(rig.store.objects)).get(0), range(0, 100));
  await second.close();
});

test('the list of many files: rows of bounded size, found by sequence number and time', async () => {
  const rig = await ArchiveRig.open();
  const place = { endpoint: 'cold', since: 1, partition: 0 };
  const [held] = await rig.cursors.claim(place, { node: 'a', now: 0, leaseMs: 1, countMax: 1 });
  const blocks = await FileBlocks.load(rig.cursors, place);
  const scheme = { eventHub: 'hub', partition: 0, prefix: 'cold', naming: 'hive', format: 'parquet' } as const;
  const { rowOf } = await import('../../src/core/archive/blocks.ts');
  const base = 8_000_000_000_000;
  for (let nth = 0; nth < 400; nth++) {
    const first = base + 100 * nth;
    const times = { firstTime: Date.UTC(2026, 0, 1) + nth * 1000, lastTime: Date.UTC(2026, 0, 1) + nth * 1000 + 500 };
    const block = blocks.with(scheme, { first, last: first + 89, ...times, events: 90, bytes: 1e9, missed: 0 });
    const row = rowOf(block);
    assert.ok(row.value.length < 16 * 1024, `${row.value.length} characters`);
    assert.ok(await rig.cursors.save(held.hold, { sequence: first + 100, put: [row] }));
    blocks.saved(block);
  }
  const again = await FileBlocks.load(rig.cursors, place);
  for (const each of [blocks, again]) {
    assert.equal((await each.find(0))?.first, base);
    assert.equal((await each.find(base + 23_456))?.first, base + 23_400);
    assert.equal((await each.find(base + 23_495))?.first, base + 23_500);
    assert.equal(await each.find(base + 40_000), undefined);
    assert.equal((await each.findTime(0))?.first, base);
    assert.equal((await each.findTime(Date.UTC(2026, 0, 1) + 200_300))?.first, base + 20_000);
    assert.equal((await each.findTime(Date.UTC(2026, 0, 1) + 200_700))?.first, base + 20_100);
    assert.equal(await each.findTime(Date.UTC(2027, 0, 1)), undefined);
  }
});

test('events that are enriched in parts are all in files, each once; what is added counts for the size of a file', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1, fileBytes: 1024 * 1024 });
  await rig.write(0, 100);
  const value = 'x'.repeat(64 * 1024);
  rig.start({
    enriched: async (records) => records.slice(0, 7).map((record) => ({ ...record, enrichments: [['added', value]] })),
  });
  await when(() => rig.store.files.length >= 4);
  await when(async () => (await listOf(rig, 0)).at(-1)?.last === 99);
  assert.deepEqual((await archivedIn(rig.store.objects)).get(0), range(0, 100));
  const files = await listOf(rig, 0);
  assert.deepEqual(files.map(({ events }) => events).slice(0, 4), [21, 21, 21, 21]);
});

test('a file that cannot be begun, because the log does not answer, leaves nothing open in the thread that makes files', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  await rig.write(0, 10);
  const log = routedLog(rig.log, routingMark);
  let begun = 0;
  let ended = 0;
  let asked = 0;
  const archiver = rig.start({
    log: {
      ...log,
      async partition(partition) {
        // A look asks once, and once more for the file.
        if (partition === 0 && ++asked < 8 && asked % 2 === 1 && asked > 1) throw new Error('no broker answers');
        return log.partition(partition);
      },
    },
    builders: {
      begin(scheme, first) {
        begun++;
        const builder = plainBuilders.begin(scheme, first);
        return { ...builder, abandon: () => void ended++ };
      },
    },
  });
  await when(async () => (await listOf(rig, 0))[0]?.bytes !== undefined, { withinMs: 15_000 });
  await archiver.close();
  assert.ok(asked > 6);
  assert.equal(ended, begun);
});
