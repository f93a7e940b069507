import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { handOver, releaseLock, settle, settleTime, wantsReceipt } from './lifecycle.ts';
import { defaultCommandLimits } from './rules.ts';
import type { Command, CommandLimits, CommandOutcome } from './types.ts';

const bounds: CommandLimits = { ...defaultCommandLimits, deliveryCountMax: 3 };

const fresh: Command = {
  target: { deviceId: 'd1' },
  generationId: '1',
  sequence: 1,
  message: { ack: 'full', properties: [], body: new Uint8Array() },
  enqueuedTime: 0,
  expiresAt: 100_000,
  deliveryCount: 0,
  handedOver: 0,
  state: { kind: 'enqueued' },
};
const locked = (now: number): Command => handOver(fresh, { token: 't', holder: 'c1', lockMs: bounds.lockMs }, now);

test('a lock that runs out puts the command back without counting a failed attempt', () => {
  const back = settleTime(locked(0), 60_000);
  assert.deepEqual([back.state.kind, back.deliveryCount, back.handedOver], ['enqueued', 0, 1]);
});

test('a lock token that has run out settles nothing', () => {
  assert.equal(settle(locked(0), 't', 'complete', bounds, 60_000), undefined);
  assert.equal(settle(locked(0), 'other', 'complete', bounds, 1), undefined);
});

test('a command that is completed within its lock is completed even after its time-to-live', () => {
  const done = settle(locked(99_000), 't', 'complete', bounds, 120_000);
  assert.deepEqual(done?.state, { kind: 'ended', outcome: 'completed', endedTime: 120_000 });
});

test('a lock that runs out after the time-to-live ends the command as expired', () => {
  assert.deepEqual(settleTime(locked(99_000), 159_000).state, {
    kind: 'ended',
    outcome: 'expired',
    endedTime: 159_000,
  });
});

test('the last allowed abandon gives the command up', () => {
  let command = fresh;
  for (let attempt = 1; attempt <= bounds.deliveryCountMax; attempt++) {
    command = handOver(command, { token: `t${attempt}`, holder: 'c', lockMs: 60_000 }, attempt);
    const settled = settle(command, `t${attempt}`, 'abandon', bounds, attempt);
    assert.ok(settled);
    command = settled;
  }
  assert.deepEqual(command.state, { kind: 'ended', outcome: 'deliveryCountExceeded', endedTime: 3 });
});

test('receipts are written for the outcomes that were asked for', () => {
  const negative: CommandOutcome[] = ['rejected', 'expired', 'deliveryCountExceeded', 'purged'];
  assert.deepEqual(
    (['none', 'positive', 'negative', 'full'] as const).map((wish) => [
      wantsReceipt(wish, 'completed'),
      ...negative.map((outcome) => wantsReceipt(wish, outcome)),
    ]),
    [
      [false, false, false, false, false],
      [true, false, false, false, false],
      [false, true, true, true, true],
      [true, true, true, true, true],
    ],
  );
});

test('whatever happens, an ended command never changes, and the delivery count is the number of abandons', () => {
  const step = fc.record({
    action: fc.constantFrom('hand', 'complete', 'reject', 'abandon', 'stale', 'release', 'wait'),
    wait: fc.integer({ min: 0, max: 70_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let command = fresh;
      let now = 0;
      let abandons = 0;
      for (const { action, wait } of steps) {
        now += wait;
        const before = command;
        command = settleTime(command, now);
        if (before.state.kind === 'ended') assert.deepEqual(command, before);
        if (action === 'hand' && command.state.kind === 'enqueued') {
          command = handOver(command, { token: `t${now}`, holder: 'c', lockMs: bounds.lockMs }, now);
        } else if (action === 'release') {
          command = releaseLock(command, now);
        } else if (action === 'complete' || action === 'reject' || action === 'abandon') {
          const token = command.state.kind === 'locked' ? command.state.lockToken : 'none';
          const settled = settle(command, token, action, bounds, now);
          assert.equal(settled !== undefined, command.state.kind === 'locked');
          if (settled !== undefined && action === 'abandon') abandons++;
          command = settled ?? command;
        } else if (action === 'stale') {
          assert.equal(settle(command, 'stale', 'complete', bounds, now), undefined);
        }
        assert.equal(command.deliveryCount, abandons);
      }
    }),
  );
});
