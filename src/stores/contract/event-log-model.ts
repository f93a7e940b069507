import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/clock.ts';
import type { EventLog } from '../../core/events/ports.ts';
import { durable, type EventLogFactory, type OpenedEventLog, put, textsOf } from './event-log.ts';

const PARTITIONS = 3;
const RETENTION_MS = 3_600_000;

type Step =
  | { readonly kind: 'append'; readonly records: readonly (readonly [partition: number, size: number])[] }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'setClock'; readonly ms: number }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'follow'; readonly on: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(
        fc.tuple(
          fc.nat(PARTITIONS - 1),
          fc.oneof({ weight: 9, arbitrary: fc.nat(40) }, { weight: 1, arbitrary: fc.nat(3000) }),
        ),
        { minLength: 1, maxLength: 12 },
      )
      .map((records) => ({ kind: 'append' as const, records })),
  },
  {
    weight: 2,
    arbitrary: fc.oneof(fc.nat(2000), fc.nat(2 * RETENTION_MS)).map((ms) => ({ kind: 'pass' as const, ms })),
  },
  {
    weight: 1,
    arbitrary: fc.integer({ min: -RETENTION_MS, max: 600_000 }).map((ms) => ({ kind: 'setClock' as const, ms })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
  { weight: 1, arbitrary: fc.boolean().map((on) => ({ kind: 'follow' as const, on })) },
);

interface ModelEvent {
  readonly text: string;
  readonly time: number;
  /** When it was written, by a clock that nobody sets. */
  readonly at: number;
}

/** The log as a list per partition, and what retention has surely left. */
class Model {
  readonly events: ModelEvent[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly first: number[] = new Array<number>(PARTITIONS).fill(0);
  time = 1;
}

/** Compares a log with a simple model of it over random histories and questions; fast-check prints the seed of a failure. */
export function eventLogModelTest(factory: EventLogFactory, numRuns: number): void {
  test(`${factory.name}: agrees with the model over random histories`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.infiniteStream(fc.nat(10_000)),
        run(factory),
      ),
      { numRuns, endOnFailure: false },
    );
  });
}

function run(factory: EventLogFactory) {
  return async (steps: readonly Step[], numbers: Iterator<number>): Promise<void> => {
    const draw = (bound: number): number => Number(numbers.next().value) % Math.max(1, bound);
    const clock = new VirtualClock();
    const model = new Model();
    let opened = await factory.open({ clock, retentionMs: RETENTION_MS });
    let unfollow = (): void => {};
    try {
      for (const each of steps) {
        if (each.kind === 'append') await appendBoth(opened.log, model, clock, each.records);
        if (each.kind === 'pass') clock.advance(each.ms);
        if (each.kind === 'setClock') clock.setWall(clock.now() + each.ms);
        if (each.kind === 'reopen' && opened.reopen !== undefined) opened = await opened.reopen();
        if (each.kind === 'follow') {
          unfollow();
          unfollow = each.on ? opened.log.watch(0, () => {}) : (): void => {};
        }
        await retainBoth(opened, model, clock);
        for (let partition = 0; partition < PARTITIONS; partition++) await compare(opened.log, model, partition, draw);
      }
    } finally {
      await opened.close();
    }
  };
}

async function appendBoth(
  log: EventLog,
  model: Model,
  clock: VirtualClock,
  records: readonly (readonly [number, number])[],
): Promise<void> {
  model.time = Math.max(model.time, clock.now());
  for (const [partition, size] of records) {
    const events = model.events[partition];
    const text = `${events.length} `.padEnd(size, 'x');
    put(log, partition, text);
    events.push({ text, time: model.time, at: clock.monotonic() });
  }
  await durable(log);
}

/** Retention may keep more than it must, but takes only what is old enough, the oldest first. */
async function retainBoth(opened: OpenedEventLog, model: Model, clock: VirtualClock): Promise<void> {
  await opened.retain();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { firstSequence } = await opened.log.partition(partition);
    assert.ok(firstSequence >= model.first[partition]);
    for (const { at } of model.events[partition].slice(model.first[partition], firstSequence)) {
      assert.ok(at < clock.monotonic() - RETENTION_MS, 'only what is too old goes, wherever the clock was set');
    }
    model.first[partition] = firstSequence;
  }
}

async function compare(log: EventLog, model: Model, partition: number, draw: (bound: number) => number): Promise<void> {
  const events = model.events[partition];
  const first = model.first[partition];
  const next = events.length;
  const lastTime = events.at(-1)?.time ?? 0;
  assert.deepEqual(await log.partition(partition), {
    partition,
    firstSequence: first,
    lastSequence: next - 1,
    lastTime,
  });

  const from = draw(next + 3);
  const bytesMax = draw(2) === 0 ? draw(200) : draw(10_000);
  const runs = await log.read(partition, from, bytesMax);
  let at = Math.max(from, first);
  for (const run of runs) {
    assert.equal(run.firstSequence, at);
    for (const text of textsOf(run)) {
      assert.equal(text, events[at].text);
      assert.equal(run.time, events[at].time);
      at++;
    }
  }
  const bytes = runs.reduce((sum, run) => sum + run.end - run.start, 0);
  const count = at - Math.max(from, first);
  if (from < next && first < next) assert.ok(count > 0, 'at least one record if there is one');
  else assert.equal(count, 0);
  assert.ok(count <= 1 || bytes <= bytesMax + 3100, `${bytes} bytes for ${bytesMax}`);

  const inclusive = draw(2) === 0;
  const sequence = draw(next + 3);
  assert.equal(
    await log.seek(partition, { kind: 'sequence', sequence, inclusive }),
    Math.max(first, inclusive ? sequence : sequence + 1),
  );
  const known = events[draw(next)]?.time ?? 0;
  const time = draw(3) === 0 ? known : known + draw(3) - 1;
  const matches = (event: ModelEvent): boolean => (inclusive ? event.time >= time : event.time > time);
  const found = events.findIndex((event, place) => place >= first && matches(event));
  assert.equal(await log.seek(partition, { kind: 'time', time, inclusive }), found === -1 ? next : found);
}
