/** What a device has said cannot harm the host: JSON that can be read, and not be written again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemClock } from '../base/clock.ts';
import { HostedSession, type SessionWire } from './session.ts';
import type { JsonObject, Log, MethodAnswer } from './types.ts';

const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));

/** A session over a wire that writes what it is given, as those of the hosts do. */
function session(answer: unknown): { hosted: HostedSession; answers: MethodAnswer[]; reports: string[] } {
  const answers: MethodAnswer[] = [];
  const reports: string[] = [];
  const log: Log = { debug() {}, info() {}, warn() {}, error() {} };
  const hosted = new HostedSession({
    ...{ device: 'd', options: {}, clock: systemClock, log, ended() {} },
    handlers: { method: async () => ({ status: 200, payload: answer }) },
  });
  hosted.wire = {
    answer: (_, given) => void answers.push(JSON.parse(JSON.stringify(given))),
    report: async (patch) => reports.push(JSON.stringify(patch)),
  } as Partial<SessionWire> as SessionWire;
  return { hosted, answers, reports };
}

test('an answer of a method that nests too deeply is a fault, and ends nothing', async () => {
  for (const depth of [65, 1000, 4000, 100_000]) {
    const { hosted, answers } = session(nested(depth));
    hosted.method('1', { name: 'm', payload: null });
    await turn();
    assert.deepEqual(answers, [{ status: 500, payload: { error: 'The adapter has failed.' } }], String(depth));
  }
  const { hosted, answers } = session(nested(64));
  hosted.method('1', { name: 'm', payload: null });
  await turn();
  assert.equal(answers[0].status, 200);
});

test('a report that nests too deeply is refused, and waits nowhere', async () => {
  const { hosted, reports } = session(null);
  for (const depth of [1000, 100_000])
    await assert.rejects(hosted.report({ a: nested(depth) } as JsonObject), { name: 'Refused', code: 'invalid' });
  assert.deepEqual(reports, []);
  await hosted.report({ a: { b: 1 } });
  assert.deepEqual(reports, ['{"a":{"b":1}}']);
});
