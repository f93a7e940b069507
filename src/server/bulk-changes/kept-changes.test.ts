import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { BulkChange, BulkProgress } from '../../api/bulk-change.ts';
import { limits } from '../../base/limits.ts';
import { keptChanges } from './kept-changes.ts';

const condition = `deviceId != '${'x'.repeat(limits.queryCharsMax - 100)}'`;
const change: BulkChange = { action: 'disable', condition };
const begun: BulkProgress = {
  ...{ id: 'a1', action: 'disable', condition, policyName: 'iothubowner', status: 'running' },
  ...{ startTime: '2026-01-01T00:00:00.000Z', total: 1_000_000, done: 0, failed: 0, failures: [] },
};
const failure = (n: number) => ({
  deviceId: `d-${n}`.padEnd(128, 'x'),
  code: 'DeviceNotFound',
  message: 'm'.repeat(300),
});

function inFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'kept-changes-'));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const fails = (error: unknown): never => {
  throw error;
};

test('a million devices, a long condition and many failures take little room, and are told after a kill', () =>
  inFolder((folder) => {
    const kept = keptChanges(folder, fails);
    kept.begin(change, begun);
    const failures = Array.from({ length: limits.bulkChangeFailuresMax }, (_, n) => failure(n));
    for (let step = 1; step <= 10_000; step++) {
      kept.step('a1', { done: step * 99, failed: step, failures: failures.slice(step - 1, step) });
    }
    const [name = ''] = readdirSync(folder);
    assert.ok(statSync(path.join(folder, name)).size < limits.bulkChangeFileBytesMax / 16);
    const expected = { change, progress: { ...begun, done: 990_000, failed: 10_000, failures } };
    assert.deepEqual(keptChanges(folder, fails).load(), [expected]);
    // What a kill has left of a last line, and of a file that was being written anew, is passed over.
    writeFileSync(path.join(folder, name), '{"done":1', { flag: 'a' });
    writeFileSync(path.join(folder, `${name}.new`), '{"chan');
    assert.deepEqual(keptChanges(folder, fails).load(), [expected]);
    assert.deepEqual(readdirSync(folder), [name]);
  }));

test('a change whose beginning could not be kept leaves no half of itself; that it cannot be kept is said once', () =>
  inFolder((folder) => {
    const place = path.join(folder, 'changes');
    writeFileSync(place, 'no folder');
    const errors: unknown[] = [];
    const kept = keptChanges(place, (error) => errors.push(error));
    kept.begin(change, begun);
    kept.step('a1', { done: 1, failed: 0, failures: [] });
    assert.equal(errors.length, 1);
    rmSync(place);
    kept.step('a1', { done: 2, failed: 0, failures: [] });
    assert.deepEqual(kept.load(), []);
    kept.end({ change: undefined, progress: { ...begun, status: 'completed' } });
    assert.deepEqual(
      kept.load().map(({ progress }) => progress.status),
      ['completed'],
    );
  }));
