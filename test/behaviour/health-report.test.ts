/** How the checks of health become one report, whatever they do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { type CheckResult, fine, Health } from '../../src/server/observe/health/health.ts';
import { type LogLine, recordingLog } from '../drivers/http.ts';

function place() {
  const clock = new VirtualClock();
  const lines: LogLine[] = [];
  return { clock, lines, health: new Health(clock, recordingLog(lines)) };
}
const warn: CheckResult = { status: 'warn', reason: 'little room', remedy: 'Make some.' };

test('ready is what does not fail; the worst check is the status of all', async () => {
  const { health } = place();
  assert.deepEqual(await health.report(), { ready: true, status: 'ok', checks: [] });
  let result: CheckResult = fine;
  health.add({ name: 'a', look: () => result });
  health.add({ name: 'b', look: async () => warn });
  assert.deepEqual(await health.report(), {
    ready: true,
    status: 'warn',
    checks: [
      { name: 'a', status: 'ok' },
      { name: 'b', ...warn },
    ],
  });
  result = { status: 'fail', reason: 'gone' };
  const { ready, status } = await health.report();
  assert.deepEqual([ready, status], [false, 'fail']);
});

test('a check that throws fails by itself, the others are told', async () => {
  const { health } = place();
  health.add({
    name: 'a',
    look: () => {
      throw new Error('no such file');
    },
  });
  health.add({ name: 'b', look: () => Promise.reject(new Error('no such disk')) });
  health.add({ name: 'c', look: () => fine });
  const { checks } = await health.report();
  assert.deepEqual(
    checks.map(({ status, reason }) => [status, reason]),
    [
      ['fail', 'no such file'],
      ['fail', 'no such disk'],
      ['ok', undefined],
    ],
  );
});

test('a check that does not come back holds nobody up; its silence is told when it lasts', async () => {
  const { clock, health } = place();
  let looks = 0;
  let answer: (result: CheckResult) => void = () => {};
  health.add({
    name: 'slow',
    look() {
      looks++;
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
  });
  const asked = async (): Promise<CheckResult> => {
    const report = health.report();
    clock.advance(limits.healthWaitMs);
    return (await report).checks[0];
  };
  assert.equal((await asked()).status, 'warn', 'nothing is known yet');
  answer(fine);
  assert.equal((await asked()).status, 'ok');
  assert.equal((await asked()).status, 'ok', 'the last result stands for a while');
  const before = looks;
  clock.advance(limits.healthSilenceMs);
  assert.match((await asked()).reason ?? '', /no answer for \d s/);
  assert.equal(looks, before);
  answer(fine);
  await new Promise((resolve) => setImmediate(resolve));
  const report = health.report();
  answer(fine);
  assert.equal((await report).checks[0].status, 'ok');
});

test('a check whose look waits for another program says of its silence what is to be done there', async () => {
  const { clock, health } = place();
  const silent = (seconds: number): CheckResult => ({ status: 'fail', reason: `${seconds} s`, remedy: 'See it.' });
  health.add({ name: 'tables', silent, look: () => new Promise(() => {}) });
  const first = health.report();
  clock.advance(limits.healthSilenceMs);
  assert.deepEqual((await first).checks, [{ name: 'tables', ...silent(limits.healthSilenceMs / 1000) }]);
});

test('a result is kept as long as its check says', async () => {
  const { clock, health } = place();
  let looks = 0;
  health.add({
    name: 'dear',
    keptMs: 2000,
    look() {
      looks++;
      return fine;
    },
  });
  await health.report();
  clock.advance(1999);
  await health.report();
  assert.equal(looks, 1);
  clock.advance(1);
  await health.report();
  assert.equal(looks, 2);
});

test('the log has a line for each change, by itself, and none while it lasts', async () => {
  const { clock, lines, health } = place();
  let result: CheckResult = fine;
  health.add({ name: 'disk', look: () => result });
  health.add({ name: 'doors', isQuiet: true, look: () => result });
  health.start();
  const pass = async (): Promise<void> => {
    clock.advance(limits.healthEveryMs);
    await new Promise((resolve) => setImmediate(resolve));
  };
  await pass();
  result = warn;
  await pass();
  await pass();
  result = { status: 'fail', reason: 'no room' };
  await pass();
  result = fine;
  await pass();
  assert.deepEqual(
    lines.map(({ level, fields, sentence }) => [level, fields.check, fields.reason, sentence]),
    [
      ['warn', 'disk', 'little room', 'a health check: warn'],
      ['error', 'disk', 'no room', 'a health check: fail'],
      ['info', 'disk', undefined, 'a health check is well again'],
    ],
  );
  health.close();
  result = warn;
  await pass();
  assert.equal(lines.length, 3);
});
