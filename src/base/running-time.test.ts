import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from './limits.ts';
import { firstLook, type Look, nextLook, type TimeSeen } from './running-time.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 0, 1);

/** A machine whose hub looks at the clock often, is stopped, killed and started, and whose clock says anything. */
class Machine {
  /** What really passed, in all and while the hub ran. */
  real = 0;
  ran = 0;
  /** By how much the clock is wrong. */
  error = 0;
  jumps = 0;
  seen: TimeSeen;
  kept: { passedMs: number; wall: number } | undefined;
  #keptAgo = 0;

  constructor() {
    this.seen = this.take(firstLook(undefined, this.reading()));
  }

  get wall(): number {
    return START + this.real + this.error;
  }

  reading() {
    return { monotonic: this.real, wall: this.wall };
  }

  take({ seen, jumpMs }: Look): TimeSeen {
    if (jumpMs !== 0) this.jumps++;
    this.seen = seen;
    return seen;
  }

  keep(): void {
    this.kept = { passedMs: this.seen.passedMs, wall: this.seen.wall };
    this.#keptAgo = 0;
  }

  run(ms: number): void {
    for (let left = ms; left > 0; left -= limits.clockLookMs) {
      const step = Math.min(left, limits.clockLookMs);
      this.real += step;
      this.ran += step;
      this.#keptAgo += step;
      this.take(nextLook(this.seen, this.reading()));
      if (this.#keptAgo >= limits.runningTimeKeptMs) this.keep();
    }
  }

  restart(offMs: number, killed: boolean): void {
    if (!killed) this.keep();
    this.real += offMs;
    this.take(firstLook(this.kept, this.reading()));
    this.#keptAgo = 0;
  }

  stamp(): number {
    return this.seen.passedMs + this.seen.offMs;
  }
}

type Step =
  | { readonly kind: 'run'; readonly ms: number }
  | { readonly kind: 'set'; readonly error: number }
  | { readonly kind: 'restart'; readonly offMs: number; readonly killed: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.oneof(fc.nat(3 * MINUTE), fc.nat(5 * HOUR)).map((ms) => ({ kind: 'run' as const, ms })),
  fc
    .oneof(fc.integer({ min: -60 * 365 * DAY, max: 60 * 365 * DAY }), fc.constant(0))
    .map((error) => ({ kind: 'set' as const, error })),
  fc
    .tuple(fc.oneof(fc.nat(MINUTE), fc.nat(3 * DAY)), fc.boolean())
    .map(([offMs, killed]) => ({ kind: 'restart' as const, offMs, killed })),
);

test('whatever the clock says: time goes on, and nothing ages by more than it was there and a bound for each restart', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      const machine = new Machine();
      /** What is written at every step: when it really was, and its stamp. */
      const written: { readonly ran: number; readonly stamp: number; restarts: number }[] = [];
      for (const each of steps) {
        written.push({ ran: machine.ran, stamp: machine.stamp(), restarts: 0 });
        const before = machine.seen.passedMs;
        if (each.kind === 'run') machine.run(each.ms);
        if (each.kind === 'set') machine.error = each.error;
        if (each.kind === 'restart') {
          // As the event log does: what was written since the time was kept counts as written at the restart.
          machine.restart(each.offMs, each.killed);
          for (const [at, event] of written.entries()) {
            const isKept = event.stamp <= (machine.kept?.passedMs ?? -1);
            written[at] = { ...event, stamp: isKept ? event.stamp : Math.max(event.stamp, machine.stamp()) };
            written[at].restarts++;
          }
        } else {
          assert.ok(machine.seen.passedMs >= before, 'running time never goes back');
        }
        for (const { ran, stamp, restarts } of written) {
          const age = machine.seen.passedMs - stamp;
          assert.ok(age <= machine.ran - ran + restarts * limits.offTimeMsMax, 'older than it can be');
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('with a clock that is right nothing ages faster than time, and a hub that is restarted daily still ages', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ runMs: fc.integer({ min: 2 * HOUR, max: DAY }), offMs: fc.nat(2 * DAY), killed: fc.boolean() }),
        { minLength: 1, maxLength: 10 },
      ),
      (days) => {
        const machine = new Machine();
        const stamp = machine.stamp();
        let counted = 0;
        for (const { runMs, offMs, killed } of days) {
          machine.run(runMs);
          machine.restart(offMs, killed);
          const age = machine.seen.passedMs - stamp;
          assert.ok(age <= machine.real, `${age} of ${machine.real}`);
          counted += runMs - (killed ? limits.runningTimeKeptMs : 0);
          assert.ok(age >= counted - limits.clockLookMs, `${age} of at least ${counted}`);
        }
        assert.equal(machine.jumps, 0);
      },
    ),
    { numRuns: 100 },
  );
});

test('two days ahead for a minute, two years back, 1970 at every start: all told, none counted', () => {
  const machine = new Machine();
  machine.run(HOUR);
  machine.error = 2 * DAY;
  machine.run(MINUTE);
  machine.error = 0;
  machine.run(MINUTE);
  machine.error = -2 * 365 * DAY;
  machine.run(MINUTE);
  machine.error = 0;
  machine.run(MINUTE);
  assert.deepEqual([machine.seen.passedMs, machine.jumps], [machine.ran, 4]);
  for (let day = 0; day < 5; day++) {
    machine.error = -machine.real - START;
    machine.restart(0, day % 2 === 0);
    machine.run(30_000);
    machine.error = 0;
    machine.run(DAY);
  }
  assert.equal(machine.jumps, 14);
  const lost = machine.ran - machine.seen.passedMs;
  assert.ok(lost >= 0 && lost <= 5 * limits.runningTimeKeptMs, `${lost}`);
});

test('a clock that is ahead at the start and put right within the hour costs nothing; months off count as half a day', () => {
  const machine = new Machine();
  machine.run(HOUR);
  machine.error = 2 * DAY;
  machine.restart(0, false);
  machine.run(10 * MINUTE);
  machine.error = 0;
  machine.run(3 * HOUR);
  assert.equal(machine.seen.passedMs, machine.ran);
  machine.restart(90 * DAY, false);
  machine.run(2 * HOUR);
  assert.equal(machine.seen.passedMs, machine.ran + limits.offTimeMsMax);
});
