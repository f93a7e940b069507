import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshCursor, noCounts, type RegistryJob } from './types.ts';
import { holdJob, JobStopped } from './work.ts';

const job: RegistryJob = {
  id: 'a',
  plan: {
    ...{ kind: 'export', inputUri: null, outputUri: 'https://a.example/c', inputName: 'i', outputName: 'o' },
    ...{ excludesKeys: false, configurationsName: null, withTwins: true, createdBy: '' },
  },
  ...{ state: 'running', reason: '', counts: noCounts, cursor: freshCursor, createdTime: 0 },
  ...{ startedTime: 0, endedTime: undefined },
};

test('an import or export stops between two steps where another node may have it', async () => {
  let mayWork = true;
  const held = holdJob(job, {
    store: { advance: async () => 'kept' },
    holder: 'n/1',
    clock: { now: () => 0, monotonic: () => 0 },
    signal: new AbortController().signal,
    mayWork: () => mayWork,
    turn: async () => {},
    kept: () => {},
  });
  await held.turn();
  mayWork = false;
  await assert.rejects(held.turn(), JobStopped);
});
