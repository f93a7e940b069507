/** Jobs as a person at a terminal makes and watches them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import type { JobJson } from '../../src/api/jobs.ts';
import { barText } from '../../src/cli/commands/job-watch.ts';
import { runMooring, startHub } from '../drivers/hub.ts';

test('job: a twin update that is watched, a method that waits, a list, what did not go well, cancel', async () => {
  await using hub = await startHub();
  const ids = (await createDevices(hub.endpoints, hub.ca, 3, '')).map(({ clientId }) => clientId);
  const run = (...args: readonly string[]) => runMooring([...args, '--data-dir', hub.dataDir]);
  const json = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await run(...args, '--json');
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const update = ['job', 'create-twin-update', '*', '--id', 'u1', '--desired', '{"interval":5}', '--tags', '{"a":1}'];
  const watched = await run(...update, '--watch', '--every', '50ms');
  assert.equal(watched.code, 0, watched.stderr);
  assert.match(watched.stdout, /completed: 3 of 3 done$/m);
  assert.equal((await json('twin', 'show', ids[0])).properties.desired.interval, 5);

  const condition = `deviceId IN ['${ids[0]}', '${ids[1]}']`;
  const later = await run('job', 'create-method', condition, 'reboot', '--id', 'm1', '--payload', '{"in":1}');
  assert.equal(later.code, 0, later.stderr);
  assert.equal(later.stdout.trim(), 'm1');
  assert.match(later.stderr, /mooring job show m1/);
  const short = await run('job', 'create-method', '*', 'm', '--id', 'm2', '--ttl', '1s', '--watch', '--every', '50ms');
  assert.equal(short.code, 1);
  assert.match(short.stderr, /3 devices have failed/);
  const shown = await run('job', 'show', 'm2');
  assert.match(shown.stdout, /method m/);
  assert.match(shown.stdout, new RegExp(`${ids[2]} +failed +Timed out waiting for device to connect`));
  const lines = (await run('job', 'list')).stdout;
  assert.match(lines, /m2 +method m .*completed/);
  assert.match(lines, /u1 +update twins .*completed +3 of 3 done/);
  assert.deepEqual(
    (await json('job', 'list', '--status', 'running')).map(({ jobId }: JobJson) => jobId),
    ['m1'],
  );
  const cancelled = await run('job', 'cancel', 'm1');
  assert.equal(cancelled.code, 0, cancelled.stderr);
  assert.match(cancelled.stderr, /Cancelled/);
  const start = new Date(Date.now() + 3_600_000).toISOString();
  const scheduled = await json('job', 'create-twin-update', '*', '--tags', '{"b":1}', '--start', start, '--ttl', '2h');
  assert.deepEqual([scheduled.startTime, scheduled.maxExecutionTimeInSeconds], [start, 7200]);

  const nothing = await run('job', 'create-twin-update', '*');
  assert.deepEqual([nothing.code, /--tags JSON/.test(nothing.stderr)], [2, true]);
  const wrong = await run('job', 'create-twin-update', 'tags.a =', '--tags', '{"a":1}');
  assert.match(wrong.stderr, /Line 1, column 9/);
  const missing = await run('job', 'show', 'none');
  assert.match(missing.stderr, /There is no job none.*\n.*mooring job list/s);
});

test('the bar shows how much is done, how fast, and how long it still takes', () => {
  const statistics = {
    ...{ deviceCount: 10_000, succeededCount: 6100, failedCount: 100, unknownCount: 30, cancelledCount: 0 },
    ...{ runningCount: 64, pendingCount: 3736 },
  };
  const job = { deviceJobStatistics: statistics } as JobJson;
  assert.equal(
    barText(job, 3800),
    '███████████████░░░░░░░░░  62%  6,100 of 10,000 done, 70 failed, 30 unknown, 64 being asked, 3,736 left  3,800/s  1.0 s left',
  );
});
