/** What happens is told in sentences: no kind of event and no operation by its raw name; many alike are one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summed } from '../../portal/src/parts/alike.ts';
import { type MonitoringEvent, sayingOf } from '../../portal/src/parts/monitoring.ts';
import { isKnownOperation } from '../../src/api/operation-words.ts';
import { operations } from '../../src/core/identity/operations.ts';
import { monitoringKinds } from '../../src/core/monitoring/kinds.ts';
import { explainedCode } from '../../src/protocols/http/explained-refusals.ts';

test('every kind of monitoring event is a sentence, and every operation has words', () => {
  for (const type of Object.keys(monitoringKinds)) {
    const { text } = sayingOf({ type, time: '2026-01-01T00:00:00Z', policyName: 'Service', operation: 'twins.write' });
    assert.match(text, /^[A-Z?].*\.$/, type);
    if (/[A-Z]/.test(type)) assert.ok(!text.includes(type), text);
    assert.ok(!text.includes('twins.write'), text);
  }
  assert.deepEqual(
    operations.filter((operation) => !isKnownOperation(operation)),
    [],
  );
  for (const operation of operations) {
    for (const backEnd of [undefined, 'service']) {
      const { sentence } = explainedCode('DeviceNotFound', operation, undefined, backEnd);
      assert.match(sentence, /^(The device|A back end with the policy service) wanted to .*\.$/);
      assert.ok(!sentence.includes(operation) || operation === 'connect', sentence);
    }
  }
  // A later hub may tell of what this page does not know.
  assert.match(sayingOf({ type: 'somethingNew', time: '' }).text, /somethingNew/);
});

test('what one caller does again and again is one entry with its count; others stand for themselves', () => {
  const at = (second: number): string => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
  const done = (second: number, more: Partial<MonitoringEvent> = {}): MonitoringEvent => ({
    ...{
      type: 'operationDone',
      time: at(second),
      operation: 'registry.write',
      policyName: 'a',
      deviceId: `d${second}`,
    },
    ...more,
  });
  const connected: MonitoringEvent = { type: 'connected', time: at(105), deviceId: 'x' };
  const told = summed([
    done(110, { count: 40, first: at(108) }),
    connected,
    done(100),
    done(99, { policyName: 'b' }),
    done(98),
    done(20),
    connected,
  ]);
  assert.deepEqual(
    told.map(({ type, policyName, count, first, time, deviceId }) => [type, policyName, count, first, time, deviceId]),
    [
      ['operationDone', 'a', 42, at(98), at(110), undefined],
      ['connected', undefined, undefined, undefined, at(105), 'x'],
      ['operationDone', 'b', undefined, undefined, at(99), 'd99'],
      ['operationDone', 'a', undefined, undefined, at(20), 'd20'],
      ['connected', undefined, undefined, undefined, at(105), 'x'],
    ],
  );
  assert.match(sayingOf(told[0] as MonitoringEvent).text, /^a changed the registry 42 times\.$/);
});
