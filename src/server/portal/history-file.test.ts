import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { HistoryFile, type HistoryPoint, historyRings, historyValues } from './history-file.ts';
import { percentile } from './sampler.ts';

const point = (value: number): HistoryPoint =>
  Object.fromEntries(historyValues.map((name, at) => [name, at === 0 ? undefined : value + at])) as HistoryPoint;
const unexpected = (error: unknown): void => assert.fail(String(error));

function place(context: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-history-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return path.join(folder, 'portal.history');
}

test('what was put is there after a kill, and a ring forgets what lies a whole turn back', async (context) => {
  const file = place(context);
  const written = await HistoryFile.open(file, unexpected);
  const times = historyRings.map(({ stepMs }) => Math.floor(Date.UTC(2026, 5, 1) / stepMs) * stepMs);
  for (const [at, ring] of historyRings.entries()) await written.put(ring, times[at], point(at));
  const size = statSync(file).size;
  // Not closed: as a killed process leaves it.
  const again = await HistoryFile.open(file, unexpected);
  for (const [at, ring] of historyRings.entries()) {
    assert.deepEqual(again.at(ring, times[at]), point(at));
    assert.equal(again.at(ring, times[at] + ring.stepMs), undefined);
  }
  const [ring] = historyRings;
  await again.put(ring, times[0] + ring.stepMs * ring.slots, point(9));
  assert.equal(again.at(ring, times[0]), undefined);
  assert.ok(statSync(file).size <= Math.max(size, 300_000), 'of a fixed size');
  await again.close();
  await written.close();
});

test('a torn slot, a short file and one of other bytes count as never written', async (context) => {
  const file = place(context);
  const [ring] = historyRings;
  const time = Math.floor(Date.UTC(2026, 5, 1) / ring.stepMs) * ring.stepMs;
  const first = await HistoryFile.open(file, unexpected);
  await first.put(ring, time, point(1));
  await first.close();
  const bytes = readFileSync(file);
  bytes[bytes.length - 3] ^= 1;
  writeFileSync(file, bytes);
  const torn = await HistoryFile.open(file, unexpected);
  assert.equal(torn.at(ring, time), undefined);
  await torn.put(ring, time, point(2));
  assert.deepEqual(torn.at(ring, time), point(2));
  await torn.close();
  writeFileSync(file, Buffer.alloc(100, 0xff));
  const other = await HistoryFile.open(file, unexpected);
  assert.equal(other.at(ring, time), undefined);
  await other.close();
});

test('what a full disk does not take is in memory, is told of once, and is written when there is room', async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-history-'));
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', folder]);
  if (mount.status !== 0) return context.skip('no file system can be mounted here');
  context.after(() => {
    spawnSync('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true });
  });
  const file = path.join(folder, 'portal.history');
  const errors: NodeJS.ErrnoException[] = [];
  const history = await HistoryFile.open(file, (error) => errors.push(error as NodeJS.ErrnoException));
  const ballast = path.join(folder, 'ballast');
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(ballast, Buffer.alloc(bavail * bsize));
  const times = historyRings.map(({ stepMs }) => Math.floor(Date.UTC(2026, 5, 1) / stepMs) * stepMs);
  for (const round of [0, 1]) {
    for (const [at, ring] of historyRings.entries())
      await history.put(ring, times[at] + round * ring.stepMs, point(at));
  }
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['ENOSPC'],
  );
  rmSync(ballast);
  const [ring] = historyRings;
  await history.put(ring, times[0] + 2 * ring.stepMs, point(7));
  await history.close();
  const again = await HistoryFile.open(file, unexpected);
  for (const [at, each] of historyRings.entries()) {
    for (const round of [0, 1]) assert.deepEqual(again.at(each, times[at] + round * each.stepMs), point(at));
  }
  assert.deepEqual(again.at(ring, times[0] + 2 * ring.stepMs), point(7));
  await again.close();
});

test('a file that cannot be opened is told of, and the past is then kept in memory', async (context) => {
  const file = path.join(place(context), 'in-no-folder');
  const errors: unknown[] = [];
  const history = await HistoryFile.open(file, (error) => errors.push(error));
  const [ring] = historyRings;
  await history.put(ring, 0, point(3));
  assert.deepEqual(history.at(ring, 0), point(3));
  assert.equal(errors.length, 1);
  await history.close();
});

test('a percentile lies within the bucket that holds it', () => {
  const counts = [
    [0.001, 90],
    [0.01, 99],
    [Number.POSITIVE_INFINITY, 100],
  ] as const;
  assert.equal(percentile([], 0.5), undefined);
  assert.equal(percentile([[0.001, 0]], 0.5), undefined);
  assert.ok(Math.abs((percentile(counts, 0.5) ?? 0) - 0.5556) < 0.001);
  assert.ok(Math.abs((percentile(counts, 0.99) ?? 0) - 10) < 1e-9);
  assert.equal(percentile(counts, 1), 10, 'beyond the last bound nothing is known');
});
