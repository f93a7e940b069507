/** Who carries a job on, and what is done once: two nodes over one store, one that hangs, one that comes back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { exampleIdentity } from '../../stores/contract/identities.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryJobStore } from '../../stores/memory/jobs.ts';
import { createMemoryTwinStore } from '../../stores/memory/twins.ts';
import { HubError } from '../errors.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { MethodRequest, MethodResult } from '../methods/types.ts';
import { type MonitoringReport, silentRecorder } from '../monitoring/types.ts';
import type { JobStore } from './ports.ts';
import { createJobRunner, type RunnerParts } from './runner.ts';
import type { JobWork } from './types.ts';

const patch: JobWork = { kind: 'scheduleUpdateTwin', change: { kind: 'merge', desired: { a: 1 } } };
const method: JobWork = {
  kind: 'scheduleDeviceMethod',
  method: { name: 'm', responseMs: 30_000, connectMs: 5000 },
};
const PIECE = 100;
/** Of a call of the store: once before it is carried out, once after, or each time. */
type Failure = 'before' | 'after' | 'always';

async function bench(devices: number) {
  const clock = new VirtualClock();
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const store = createMemoryJobStore(twins);
  const keys = Array.from({ length: devices }, (_, at) => ({ deviceId: `d${String(at).padStart(5, '0')}` }));
  await identities.write(keys.map((key) => ({ kind: 'create', identity: exampleIdentity(key), countMax: devices })));
  const asked = new Map<string, number>();
  const told: MonitoringReport[] = [];
  const answers: { answer: (key: IdentityKey, signal: AbortSignal) => Promise<MethodResult> } = {
    answer: async () => ({ status: 200, payload: 'null' }),
  };
  const connected = new Set(keys.map(({ deviceId }) => deviceId));

  /** A node; while it hangs, nothing that it asks of the store is answered, and nothing of it is carried out. */
  function node(name: string, change: Partial<RunnerParts> = {}) {
    const state: { hangs: boolean; fails: Map<string, Failure> } = { hangs: false, fails: new Map() };
    const behind = new Proxy(store, {
      get(of, call) {
        const own = Reflect.get(of, call) as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]) => {
          while (state.hangs) await new Promise<void>((resolve) => clock.after(100, resolve));
          const failure = state.fails.get(String(call));
          if (failure === 'before' || failure === 'always') {
            if (failure === 'before') state.fails.delete(String(call));
            throw new HubError('ServiceUnavailable');
          }
          const answer = await own(...args);
          if (failure === undefined) return answer;
          state.fails.delete(String(call));
          throw new HubError('ServiceUnavailable');
        };
      },
    }) as JobStore;
    const runner = createJobRunner({
      ...{ store: behind, node: name, withTwinEvents: true, withJobEvents: true, clock, log: silentLog },
      recorder: { record: (report) => void told.push(report) },
      async select(_condition, place) {
        const from = Number(place ?? 0);
        const next = from + PIECE < keys.length ? String(from + PIECE) : undefined;
        return { keys: keys.slice(from, from + PIECE), next };
      },
      async invoke({ deviceId }: IdentityKey, request: MethodRequest, signal: AbortSignal) {
        assert.equal(request.connectMs, 0, 'who is not there is not asked');
        asked.set(deviceId, (asked.get(deviceId) ?? 0) + 1);
        return answers.answer({ deviceId }, signal);
      },
      isConnected: async ({ deviceId }) => connected.has(deviceId),
      ...change,
    });
    runner.start();
    return Object.assign(runner, { state });
  }

  async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 600_000): Promise<void> {
    for (const end = clock.monotonic() + withinMs; !(await holds()); clock.advance(20)) {
      for (let times = 0; times < 3; times++) await turn();
      assert.ok(clock.monotonic() < end, what);
    }
  }
  const create = async (work: JobWork, maxExecutionMs = 300_000): Promise<void> => {
    const now = clock.now();
    const job = { id: 'j', condition: '*', work, createdTime: now, createdBy: 'p', startTime: now, maxExecutionMs };
    assert.equal(await store.create(job, 10), 'created');
  };
  const counts = async () => (await store.find('j', clock.now()))?.counts;
  const isOver = async (): Promise<boolean> => (await store.find('j', clock.now()))?.status === 'completed';
  return { clock, store, twins, keys, asked, told, answers, connected, node, until, create, counts, isOver };
}

test('a node that hangs loses its job to the other one, and does nothing more of it when it comes back', async () => {
  const { store, twins, keys, told, node, until, create, counts, isOver, clock } = await bench(1000);
  const first = node('a');
  const second = node('b');
  await create(patch);
  const [, begun] = [
    await until('half is done', async () => ((await counts())?.completed ?? 0) >= 300),
    await counts(),
  ];
  const holder = await store.claim({
    ...{ node: 'nobody', isFirst: false, now: clock.now(), leaseMs: 1, runningMax: 10, withEvents: false },
  });
  assert.deepEqual(holder, [], 'one node holds it, and says so');
  const [hanging, other] = first.ended.completed > 0 ? [first, second] : [second, first];
  assert.equal(other.ended.completed, 0, 'the other one has left it alone');
  hanging.state.hangs = true;
  await until('the other one has it all', isOver);
  assert.ok(other.ended.completed > 0);
  const before = { ...other.ended };
  hanging.state.hangs = false;
  await until('time passes', () => clock.monotonic() > 0);
  clock.advance(limits.jobLeaseMs);
  for (let times = 0; times < 200; times++) await turn();
  assert.deepEqual({ ...other.ended }, before);
  assert.equal(first.ended.completed + second.ended.completed >= 1000, true);
  assert.ok((begun?.completed ?? 0) < 1000);
  for (const key of keys) assert.equal((await twins.load(key))?.twin.desired.version, 2, `${key.deviceId} once`);
  const events = await twins.events(10_000);
  assert.equal(events.filter(({ kind }) => kind === 'update').length, 1000);
  assert.equal(events.filter(({ kind }) => kind === 'job').length, 1000);
  const ends = told.filter(({ type }) => type === 'jobEnded');
  assert.deepEqual(
    ends.map((report) => 'completed' in report && report.completed),
    [1000],
  );
  await Promise.all([first.close(), second.close()]);
});

test('methods that a node was asking when it hung are not known, and no other device is asked twice', async () => {
  const { asked, answers, node, until, create, counts, isOver, clock, keys, twins } = await bench(200);
  answers.answer = (_key, signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      clock.after(400, () => resolve({ status: 200, payload: '1' }));
    });
  const first = node('a');
  await create(method);
  await until('devices are being asked', async () => ((await counts())?.running ?? 0) > 0);
  const second = node('b');
  first.state.hangs = true;
  await until('the other one has it all', isOver);
  first.state.hangs = false;
  for (let times = 0; times < 50; times++) {
    clock.advance(1000);
    await turn();
  }
  assert.equal(asked.size, keys.length);
  for (const [deviceId, times] of asked) assert.equal(times, 1, deviceId);
  const ended = await counts();
  assert.ok((ended?.unknown ?? 0) > 0);
  assert.equal((ended?.unknown ?? 0) + (ended?.completed ?? 0), keys.length);
  assert.equal(second.ended.unknown, ended?.unknown, 'counted where it was found');
  assert.equal((await twins.events(1000)).length, keys.length, 'each record has its event');
  await Promise.all([first.close(), second.close()]);
});

test('as many methods are under way as may be, and those who are not connected are not asked until they are', async () => {
  const { asked, answers, connected, keys, node, until, create, counts, isOver, clock } = await bench(300);
  let underWay = 0;
  let most = 0;
  answers.answer = async () => {
    most = Math.max(most, ++underWay);
    await new Promise<void>((resolve) => clock.after(50, resolve));
    underWay -= 1;
    return { status: 200, payload: '1' };
  };
  for (const { deviceId } of keys.slice(0, 50)) connected.delete(deviceId);
  const runner = node('a');
  await create(method);
  await until('all that are there are over', async () => (await counts())?.completed === 250);
  assert.equal(most, limits.jobMethodsAtOnceMax);
  assert.equal(asked.size, 250);
  connected.add(keys[7].deviceId);
  runner.connected(keys[7]);
  await until('the one that came is over', async () => (await counts())?.completed === 251, 500);
  for (const { deviceId } of keys) connected.add(deviceId);
  await until('the job is over', isOver);
  assert.equal(asked.size, 300);
  await runner.close();
});

test('a device that does not take its method is left alone for a while, and asked again', async () => {
  const { asked, answers, node, until, create, counts, isOver } = await bench(1);
  answers.answer = async () => {
    if ((asked.get('d00000') ?? 0) < 3) throw new HubError('DeviceNotOnline');
    return { status: 200, payload: '1' };
  };
  const runner = node('a');
  await create(method);
  await until('it was asked', () => asked.size === 1);
  await until('it waits again', async () => (await counts())?.waiting === 1);
  assert.equal(asked.get('d00000'), 1, 'not at once');
  await until('the job is over', isOver);
  assert.equal(asked.get('d00000'), 3, 'the first two were certainly not carried out');
  await runner.close();
});

test('a stop waits for the devices that are being asked, and keeps what became of them', async () => {
  const { answers, node, until, create, counts, clock } = await bench(2);
  answers.answer = ({ deviceId }, signal) =>
    new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      if (deviceId === 'd00000') clock.after(500, () => resolve({ status: 200, payload: '1' }));
    });
  const runner = node('a', { recorder: silentRecorder });
  await create(method);
  await until('both are being asked', async () => (await counts())?.running === 2);
  let isClosed = false;
  const closing = runner.close().then(() => {
    isClosed = true;
  });
  await until('it is closed', () => isClosed);
  await closing;
  const { completed, unknown, running } = (await counts()) ?? {};
  assert.deepEqual([completed, unknown, running], [1, 1, 0]);
});

test('a job whose time is over before all are selected has failed; one of twins ends what waits', async () => {
  const { store, node, until, create, clock } = await bench(1000);
  let isSlow = true;
  const runner = node('a', {
    async select(_condition, place) {
      await new Promise<void>((resolve) => clock.after(isSlow ? 3000 : 0, resolve));
      return { keys: [{ deviceId: `d${place ?? 0}` }], next: String(Number(place ?? 0) + 1) };
    },
  });
  await create(patch, 10_000);
  await until('the job has failed', async () => (await store.find('j', clock.now()))?.status === 'failed');
  const job = await store.find('j', clock.now());
  assert.match(job?.reason ?? '', /before all devices were selected/);
  isSlow = false;
  await runner.close();
});

test('a selection that takes long holds up no other job', async () => {
  const { store, node, until, clock, keys } = await bench(10);
  let isSlow = true;
  const runner = node('a', {
    async select(condition) {
      while (condition === 'slow' && isSlow) await new Promise<void>((resolve) => clock.after(100, resolve));
      return { keys, next: undefined };
    },
  });
  const now = clock.now();
  for (const id of ['slow', 'quick']) {
    const times = { createdTime: now, startTime: now, maxExecutionMs: 300_000 };
    await store.create({ id, condition: id, work: patch, createdBy: 'p', ...times }, 10);
  }
  const statusOf = async (id: string) => (await store.find(id, clock.now()))?.status;
  await until('the quick one is over', async () => (await statusOf('quick')) === 'completed', 5000);
  assert.equal(await statusOf('slow'), 'running');
  isSlow = false;
  await until('the slow one is over', async () => (await statusOf('slow')) === 'completed', 5000);
  await runner.close();
});

for (const failure of ['before', 'after'] as const) {
  for (const [work, calls] of [
    [method, ['claim', 'select', 'begin', 'settle', 'find', 'end']],
    [patch, ['claim', 'select', 'updateTwins', 'find', 'end']],
  ] as const) {
    test(`${work.kind}: a store that fails once, ${failure} each kind of step, leaves no device between two states`, async () => {
      const { asked, keys, node, until, create, counts, isOver } = await bench(150);
      const runner = node('a');
      for (const call of calls) runner.state.fails.set(call, failure);
      await create(work);
      await until('the job is over', isOver, 60_000);
      assert.equal((await counts())?.completed, keys.length);
      assert.equal(runner.state.fails.size, 0, 'each has failed');
      for (const [deviceId, times] of asked) assert.equal(times, 1, deviceId);
      await runner.close();
    });
  }
}

test('while the store fails it is asked once a second, and so often the log says it', async () => {
  const { node, until, clock } = await bench(1);
  let said = 0;
  const runner = node('a', { log: { ...silentLog, error: () => void said++ } });
  runner.state.fails.set('claim', 'always');
  runner.wake();
  const end = clock.monotonic() + 10_000;
  await until('time passes', () => clock.monotonic() >= end);
  assert.ok(said >= 5 && said <= 12, `${said} times`);
  await runner.close();
});

test('all jobs of methods together have so many under way, and one whose devices are slow leaves a place to each other one', async () => {
  const { store, node, until, clock, keys } = await bench(300);
  let underWay = 0;
  let most = 0;
  let isSlow = true;
  const runner = node('a', {
    async invoke(_key, { name }) {
      most = Math.max(most, ++underWay);
      const isOver = (): boolean => name !== 'slow' || !isSlow;
      do await new Promise<void>((resolve) => clock.after(50, resolve));
      while (!isOver());
      underWay -= 1;
      return { status: 200, payload: '1' };
    },
  });
  const now = clock.now();
  const times = { createdTime: now, startTime: now, maxExecutionMs: 300_000 };
  const create = (id: string): Promise<unknown> => {
    const work: JobWork = { kind: 'scheduleDeviceMethod', method: { name: id, responseMs: 30_000, connectMs: 0 } };
    return store.create({ id, condition: '*', work, createdBy: 'p', ...times }, 10);
  };
  await create('slow');
  await create('other');
  const completed = async (id: string) => (await store.find(id, clock.now()))?.counts.completed ?? 0;
  await until('the other one is over', async () => (await completed('other')) === keys.length, 60_000);
  assert.equal(await completed('slow'), 0);
  isSlow = false;
  await create('third');
  await until('all are over', async () => (await completed('slow')) + (await completed('third')) === 2 * keys.length);
  assert.equal(most, limits.jobMethodsAtOnceMax);
  await runner.close();
});

test('a node that may not work asks the store for nothing, and goes on when it may', async () => {
  const { store, node, until, clock, keys } = await bench(20);
  let mayWork = false;
  let asked = 0;
  const counting: typeof store = {
    ...store,
    claim(...terms) {
      asked++;
      return store.claim(...terms);
    },
  };
  const runner = node('a', { store: counting, mayWork: () => mayWork });
  const now = clock.now();
  const times = { createdTime: now, startTime: now, maxExecutionMs: 300_000 };
  await store.create({ id: 'one', condition: '*', work: patch, createdBy: 'p', ...times }, 10);
  runner.wake();
  for (let each = 0; each < 100; each++) {
    clock.advance(limits.jobClaimMs);
    await turn();
  }
  assert.equal(asked, 0);
  mayWork = true;
  await until('all are done', async () => (await store.find('one', clock.now()))?.counts.completed === keys.length);
  await runner.close();
});

test('what happens beside jobs of twins makes them no faster, and they take turns', async () => {
  const { store, node, until, clock, keys, connected } = await bench(2000);
  connected.clear();
  const runner = node('a');
  const now = clock.now();
  const times = { createdTime: now, startTime: now, maxExecutionMs: 300_000 };
  for (const id of ['one', 'two', 'waits']) {
    const work = id === 'waits' ? method : patch;
    await store.create({ id, condition: '*', work, createdBy: 'p', ...times }, 10);
  }
  const completed = async (id: string) => (await store.find(id, clock.now()))?.counts.completed ?? 0;
  await until('both are begun', async () => (await completed('one')) > 0 && (await completed('two')) > 0);
  const both = async () => (await completed('one')) + (await completed('two'));
  const before = await both();
  for (let times = 0; times < 10; times++) {
    runner.connected(keys[times]);
    for (let each = 0; each < 20; each++) await turn();
  }
  assert.ok((await both()) - before <= limits.jobBatchTwins, 'time stands still');
  await until('one is half done', async () => (await completed('one')) >= 1000);
  const apart = Math.abs((await completed('one')) - (await completed('two')));
  assert.ok(apart <= 2 * limits.jobBatchTwins, `they are ${apart} apart`);
  await store.cancel('waits', clock.now());
  await until('they are over', async () => (await both()) === 2 * keys.length);
  await runner.close();
});
