/** Archives as the server opens them: a thread makes the files, folders and stores take them, and endpoints come and go. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { silentLog } from '../../src/base/log.ts';
import { readEndpoint } from '../../src/core/routes/endpoints/kinds.ts';
import { routedLog } from '../../src/core/routes/routed-log.ts';
import type { RouteSet } from '../../src/core/routes/types.ts';
import { noRoutes } from '../../src/core/routes/types.ts';
import { routingMark } from '../../src/records/record-codec.ts';
import { openArchives } from '../../src/server/archive/open-archives.ts';
import { openTreeStore } from '../../src/stores/objects/tree/tree-store.ts';
import { ArchiveRig, archivedIn, SLOT } from '../drivers/archive-rig.ts';
import { until } from '../drivers/until.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'archive-'));
after(() => rmSync(folder, { recursive: true }));

/** The files that are whole, by their paths. */
function objectsIn(root: string): Map<string, Buffer> {
  if (!existsSync(root)) return new Map();
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('.staging'));
  return new Map(
    files.map(({ parentPath, name }) => {
      const file = path.join(parentPath, name);
      return [path.relative(root, file), readFileSync(file)];
    }),
  );
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, nth) => from + nth);

test('an endpoint that comes is archived into its folder, one with other settings goes on, one that goes is let go', async () => {
  const rig = await ArchiveRig.open({ fileSeconds: 1 });
  let current: RouteSet = noRoutes;
  let told = (): void => {};
  const root = path.join(folder, 'comes');
  const archives = openArchives({
    routes: {
      current: () => current,
      onChange: (listener) => {
        told = listener;
        return () => {};
      },
    },
    ...{ folder: root, staging: path.join(folder, 'staging'), observe: () => {} },
    ...{ eventHub: 'hub', log: routedLog(rig.log, routingMark), cursors: rig.cursors, node: 'a', process: 'a' },
    ...{ clock: rig.clock, logger: silentLog, caFile: undefined },
    enrichments: {
      enriched: async (endpoint, records) =>
        records.map((record) => ({ ...record, enrichments: [['archive', endpoint]] as const })),
    },
  });
  const force = (settings: Record<string, unknown> | undefined): void => {
    const endpoint =
      settings && readEndpoint({ name: 'cold', kind: 'archive', fileSeconds: 1, ...settings }, 'endpoint');
    current = { ...noRoutes, number: 1, endpoints: endpoint ? [{ endpoint, slot: SLOT, since: 1 }] : [] };
    told();
  };
  assert.deepEqual(archives.archivers(), []);
  force({});
  await rig.write(0, 3000);
  const has = async (count: number): Promise<boolean> => (await archivedIn(objectsIn(root))).get(0)?.length === count;
  await until('the first events are archived', () => has(3000));
  force({ format: 'parquet', prefix: 'colder' });
  await rig.write(0, 10);
  await until('those that came later are archived', () => has(3010));
  assert.deepEqual((await archivedIn(objectsIn(root))).get(0), range(0, 3010));
  assert.deepEqual(readdirSync(root).sort(), ['.staging', 'cold', 'colder']);
  const [archiver] = archives.archivers();
  assert.equal(archiver.endpoint.prefix, 'colder');
  force(undefined);
  await until('it is let go', async () => (await rig.cursors.list()).every(({ node }) => node === ''));
  assert.deepEqual(archives.archivers(), []);
  await archives.close();
});

test('folders as a store: whole objects, ranges, no path that leads out', async () => {
  const root = path.join(folder, 'tree');
  const store = await openTreeStore(root, 'a');
  async function* source(...pieces: string[]) {
    for (const piece of pieces) yield Buffer.from(piece);
  }
  const options = { contentType: 'text/plain', bytesMax: 100, condition: {} };
  assert.equal(await store.head('a/b/c.txt'), undefined);
  assert.equal((await store.put('a/b/c.txt', source('ab', 'cd'), options)).bytes, 4);
  assert.equal(readFileSync(path.join(root, 'a', 'b', 'c.txt'), 'utf8'), 'abcd');
  await store.put('a/b/c.txt', source('efghi'), options);
  const opened = await store.read('a/b/c.txt', { start: 1, end: 3 });
  const pieces: Buffer[] = [];
  for await (const piece of opened?.body ?? []) pieces.push(Buffer.from(piece));
  assert.equal(Buffer.concat(pieces).toString(), 'fgh');
  await assert.rejects(store.put('a/b/d.txt', source('x'.repeat(101)), options), { kind: 'tooLarge' });
  await assert.rejects(store.put('a/b/c.txt', source('x'), { ...options, condition: { ifNoneMatch: '*' } }), {
    kind: 'exists',
  });
  assert.equal(await store.head('a/b/d.txt'), undefined);
  for (const wrong of ['../x', 'a/../../x', 'a//b', '/x', '.staging/x', 'a/.b', 'a\\..\\x']) {
    await assert.rejects(store.put(wrong, source('x'), options), { kind: 'denied' }, wrong);
    await assert.rejects(store.head(wrong), { kind: 'denied' }, wrong);
  }
  assert.deepEqual(readdirSync(path.join(root, '.staging', 'a')), []);
  await store.close();
});
