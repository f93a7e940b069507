import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
