/**
 * The queue against a reference model: random sequences of everything that can be asked of it, with a clock that steps
 * over lock and expiry boundaries. The model is written plainly and shares no code with `core/commands/lifecycle.ts`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CommandQueue } from '../../core/commands/ports.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import { admitIdentities, newCommand, type OpenedQueue } from './fresh-queue.ts';

const limits = { ...defaultCommandLimits, queueDepthMax: 3, deliveryCountMax: 2, lockMs: 10_000 };
const device = { deviceId: 'd1' };
const START = Date.UTC(2026, 0, 1);

interface Entry {
  readonly id: string;
  readonly expiresAt: number;
  token: string | null;
  holder: string;
  until: number;
  abandons: number;
}

class Model {
  now = START;
  made = 0;
  tokens = 0;
  entries: Entry[] = [];
  receipts: string[] = [];

  finish(entry: Entry, outcome: string): void {
    this.entries = this.entries.filter((other) => other !== entry);
    this.receipts.push(`${entry.id} ${outcome}`);
  }

  pass(durationMs: number): void {
    this.now += durationMs;
    for (const entry of [...this.entries]) {
      if (entry.token !== null && entry.until <= this.now) entry.token = null;
      if (entry.token === null && entry.expiresAt <= this.now) this.finish(entry, 'expired');
    }
  }
}

type Step = fc.AsyncCommand<Model, CommandQueue>;
const step = (name: string, run: (model: Model, queue: CommandQueue) => Promise<void>): Step => ({
  check: () => true,
  run,
  toString: () => name,
});

const enqueue = (lifeMs: number): Step =>
  step(`enqueue(${lifeMs})`, async (model, queue) => {
    const id = `m${++model.made}`;
    const expiresAt = model.now + lifeMs;
    const outcome = await queue.enqueue(newCommand(id, { expiresAt }), limits, model.now);
    assert.equal(outcome.kind, model.entries.length < limits.queueDepthMax ? 'enqueued' : 'full');
    if (outcome.kind === 'enqueued') {
      model.entries.push({ id, expiresAt, token: null, holder: '', until: 0, abandons: 0 });
    }
  });

const take = (count: number, holder: string): Step =>
  step(`take(${count}, ${holder})`, async (model, queue) => {
    const tokens = Array.from({ length: count }, () => `t${++model.tokens}`);
    const taken = await queue.lockNext(device, 'g1', { tokens, holder, lockMs: limits.lockMs }, model.now);
    const expected = model.entries.filter((entry) => entry.token === null).slice(0, count);
    assert.deepEqual(
      taken.map((command) => command.message.messageId),
      expected.map((entry) => entry.id),
    );
    expected.forEach((entry, at) => {
      Object.assign(entry, { token: tokens[at], holder, until: model.now + limits.lockMs });
    });
  });

const settle = (pick: number, how: 'complete' | 'reject' | 'abandon'): Step =>
  step(`settle(${pick}, ${how})`, async (model, queue) => {
    const token = `t${1 + (pick % Math.max(1, model.tokens))}`;
    const entry = model.entries.find((other) => other.token === token);
    const outcome = await queue.settle(device, token, how, limits, model.now);
    if (entry === undefined) return assert.deepEqual(outcome, { kind: 'lockLost' });
    if (how === 'complete') model.finish(entry, 'completed');
    else if (how === 'reject') model.finish(entry, 'rejected');
    else if (++entry.abandons >= limits.deliveryCountMax) model.finish(entry, 'deliveryCountExceeded');
    else entry.token = null;
    model.pass(0);
    assert.equal(outcome.kind, model.entries.includes(entry) ? 'again' : 'ended');
  });

const lose = (holder: string): Step =>
  step(`lose(${holder})`, async (model, queue) => {
    const held = model.entries.filter((entry) => entry.token !== null && entry.holder === holder);
    assert.equal(await queue.releaseHolder(device, holder, model.now), held.length);
    for (const entry of held) entry.token = null;
    model.pass(0);
  });

const purge: Step = step('purge', async (model, queue) => {
  assert.equal(await queue.purge(device, model.now), model.entries.length);
  for (const entry of [...model.entries]) model.finish(entry, 'purged');
});

const wait = (durationMs: number): Step => step(`wait(${durationMs})`, async (model) => model.pass(durationMs));

const sweep: Step = step('sweep', async (model, queue) => {
  const { nextDue } = await queue.sweep(model.now, 100);
  const due = model.entries.map((entry) => (entry.token === null ? entry.expiresAt : entry.until));
  assert.equal(nextDue, due.length === 0 ? undefined : Math.min(...due));
});

const depth: Step = step('depth', async (model, queue) => {
  assert.equal(await queue.depth(device, model.now), model.entries.length);
});

/** @param open a fresh, empty queue for each sequence. */
export function commandQueueModelTest(name: string, runs: number, open: () => Promise<OpenedQueue>): void {
  test(`${name}: behaves as the reference model, whatever is asked in whatever order`, async () => {
    // Boundaries are hit on purpose: lives and waits are multiples of the same 5 seconds.
    const times = fc.constantFrom(1, 4_999, 5_000, 5_001, 10_000, 20_000);
    const holders = fc.constantFrom('c1', 'c2');
    const steps = [
      times.map(enqueue),
      fc.tuple(fc.integer({ min: 1, max: 3 }), holders).map(([count, holder]) => take(count, holder)),
      fc
        .tuple(fc.nat(50), fc.constantFrom('complete', 'reject', 'abandon'))
        .map(([pick, how]) => settle(pick, how as never)),
      holders.map(lose),
      times.map(wait),
      fc.constantFrom(purge, sweep, sweep, depth, depth),
    ];
    await fc.assert(
      fc.asyncProperty(fc.commands(steps, { maxCommands: 60 }), async (sequence) => {
        const opened = await open();
        try {
          await admitIdentities(opened.identities, [device]);
          const model = new Model();
          const told: string[] = [];
          const end = opened.queue.watch((ended) => {
            for (const { messageId, outcome } of ended) told.push(`${messageId} ${outcome}`);
          });
          await fc.asyncModelRun(() => ({ model, real: opened.queue }), sequence);
          // Every receipt of the model, and no other, is there to be read; nothing that ended is counted twice.
          await opened.queue.sweep(model.now, 1000);
          const request = { lockToken: 'all', count: 1000, lockMs: 1, notAfter: model.now, reader: '', endedBefore: 0 };
          const batch = await opened.queue.lockReceipts(request, model.now);
          assert.deepEqual(
            (batch?.receipts ?? []).map((receipt) => `${receipt.originalMessageId} ${receipt.outcome}`).sort(),
            [...model.receipts].sort(),
          );
          end();
          assert.deepEqual(told.sort(), [...model.receipts].sort());
        } finally {
          await opened.close();
        }
      }),
      { numRuns: runs },
    );
  });
}
