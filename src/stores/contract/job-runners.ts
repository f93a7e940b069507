/** Two nodes that carry jobs on over one store, as their runners do: one that hangs, and both at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until as untilWithin } from '../../../test/drivers/until.ts';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { JobStore } from '../../core/jobs/ports.ts';
import { createJobRunner } from '../../core/jobs/runner.ts';
import type { JobWork } from '../../core/jobs/types.ts';
import type { MethodResult } from '../../core/methods/types.ts';
import type { MonitoringReport } from '../../core/monitoring/types.ts';
import { exampleIdentity } from './identities.ts';
import type { JobTrial } from './job-trial.ts';

export interface RunnersTrial extends Omit<JobTrial, 'reopen'> {
  /** The same jobs, as another node has them. */
  readonly another: JobStore;
}

const patch: JobWork = { kind: 'scheduleUpdateTwin', change: { kind: 'merge', desired: { a: 1 } } };
const method: JobWork = { kind: 'scheduleDeviceMethod', method: { name: 'm', responseMs: 30_000, connectMs: 0 } };
/** Devices of one piece of a selection. */
const PIECE = 100;
/** More than two steps take. */
const DEVICES = 2 * limits.jobBatchTwins + 1;

/** A server on a busy machine makes each step durable. */
const until = (what: string, holds: () => boolean | Promise<boolean>): Promise<void> =>
  untilWithin(what, holds, { withinMs: 90_000 });

interface Hanging {
  readonly call: keyof JobStore;
  readonly times: number;
}

/** What runners of two nodes do over every store that several nodes have. */
export function jobRunnersContract(name: string, open: () => Promise<RunnersTrial>): void {
  const trial = (title: string, body: (bench: Awaited<ReturnType<typeof setUp>>) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const parts = await open();
      const bench = await setUp(parts);
      try {
        await body(bench);
      } finally {
        await bench.close();
        await parts.close();
      }
    });
  };

  trial('a node that hangs loses its job of twins, and each twin is updated once', async (bench) => {
    const { store, twins, keys, create, node, find } = bench;
    await create('j', patch);
    const first = node('a', store, { hanging: { call: 'updateTwins', times: 1 } });
    await until('it hangs', () => first.hangs());
    const { completed } = (await find('j')).counts;
    assert.ok(completed > 0 && completed < DEVICES, `${completed} are updated`);
    const second = node('b', bench.another, { aheadMs: 2 * limits.jobLeaseMs });
    await until('the other one has ended it', async () => (await find('j')).status === 'completed');
    first.goOn();
    await first.runner.close();
    assert.equal(second.runner.ended.completed, DEVICES - completed);
    assert.equal(first.runner.ended.completed, completed);
    for (const key of keys) assert.equal((await twins.load(key))?.twin.desired.version, 2, `${key.deviceId} once`);
    const kinds = (await twins.events(3 * DEVICES)).map(({ kind }) => kind);
    assert.equal(kinds.filter((kind) => kind === 'update').length, DEVICES);
    assert.equal(kinds.filter((kind) => kind === 'job').length, DEVICES);
    assert.equal(bench.told.filter(({ type }) => type === 'jobEnded').length, 1);
  });

  trial('no device is asked by two nodes; whom the one that hangs was asking is unknown', async (bench) => {
    const { store, twins, keys, asked, create, node, find } = bench;
    await create('j', method);
    const first = node('a', store, { answers: false });
    await until('it asks as many as it may', () => first.runner.underWay === limits.jobMethodsAtOnceMax);
    node('b', bench.another, { aheadMs: 2 * limits.jobLeaseMs });
    await until('the other one has ended it', async () => (await find('j')).status === 'completed');
    await until('the first one has given them up', () => first.runner.underWay === 0);
    const { unknown, completed } = (await find('j')).counts;
    assert.deepEqual([unknown, completed], [limits.jobMethodsAtOnceMax, DEVICES - limits.jobMethodsAtOnceMax]);
    assert.equal(asked.size, keys.length);
    for (const [deviceId, times] of asked) assert.equal(times, 1, deviceId);
    assert.equal((await twins.events(3 * DEVICES)).length, DEVICES);
  });

  trial('two nodes share many jobs, and each does to each device what it says once', async (bench) => {
    const { store, twins, keys, asked, create, node, find } = bench;
    const ids = Array.from({ length: 8 }, (_, at) => `j${at}`);
    const some = keys.slice(0, 40);
    const nodes = [node('a', store), node('b', bench.another)];
    for (const [at, id] of ids.entries()) await create(id, at === 0 ? method : patch, some.length);
    for (const { runner } of nodes) runner.wake();
    for (const id of ids) await until(`${id} is over`, async () => (await find(id)).status === 'completed');
    for (const { runner } of nodes) await runner.close();
    for (const key of some) assert.equal((await twins.load(key))?.twin.desired.version, ids.length);
    for (const { deviceId } of some) assert.equal(asked.get(deviceId), 1);
    for (const id of ids) assert.equal((await find(id)).counts.completed, some.length);
    const done = nodes.map(({ runner }) => runner.ended.completed);
    assert.equal(done[0] + done[1], ids.length * some.length);
    assert.equal(bench.told.filter(({ type }) => type === 'jobEnded').length, ids.length);
  });
}

async function setUp({ store, another, identities, twins }: RunnersTrial) {
  const keys = Array.from({ length: DEVICES }, (_, at) => ({ deviceId: `d${String(at).padStart(4, '0')}` }));
  const creations = keys.map((key) => ({
    ...{ kind: 'create' as const, countMax: DEVICES },
    identity: exampleIdentity(key, { generationId: 'g1' }),
  }));
  for (let at = 0; at < DEVICES; at += PIECE) await identities.write(creations.slice(at, at + PIECE));
  const asked = new Map<string, number>();
  const told: MonitoringReport[] = [];
  const ends: (() => Promise<void>)[] = [];

  /**
   * @param aheadMs By how much its clock is ahead: it takes over what the other one holds
   * @param answers Whether the devices that it asks answer
   */
  function node(
    nodeName: string,
    of: JobStore,
    how: { readonly hanging?: Hanging; readonly aheadMs?: number; readonly answers?: boolean } = {},
  ) {
    const { hanging, aheadMs = 0, answers = true } = how;
    let goOn = (): void => {};
    const released = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let times = 0;
    const isHanging = (): boolean => hanging !== undefined && times >= hanging.times;
    const behind = new Proxy(of, {
      get(target, call) {
        const own = Reflect.get(target, call) as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]) => {
          if (isHanging()) await released;
          const answer = await own(...args);
          if (call === hanging?.call) times++;
          return answer;
        };
      },
    });
    const clock = { ...systemClock, now: () => Date.now() + aheadMs };
    const runner = createJobRunner({
      ...{ store: behind, node: nodeName, withTwinEvents: true, withJobEvents: true, clock, log: silentLog },
      recorder: { record: (report) => void told.push(report) },
      async select(condition, place) {
        const from = Number(place ?? 0);
        const own = keys.slice(0, Number(condition));
        const next = from + PIECE < own.length ? String(from + PIECE) : undefined;
        return { keys: own.slice(from, from + PIECE), next };
      },
      invoke({ deviceId }: IdentityKey, _request, signal): Promise<MethodResult> {
        asked.set(deviceId, (asked.get(deviceId) ?? 0) + 1);
        if (answers) return Promise.resolve({ status: 200, payload: 'null' });
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
      isConnected: async () => true,
    });
    runner.start();
    ends.push(() => {
      goOn();
      return runner.close();
    });
    return { runner, goOn: () => goOn(), hangs: isHanging };
  }

  return {
    ...{ store, another, twins, keys, asked, told, node },
    /** Over the first `devices` devices. */
    async create(id: string, work: JobWork, devices = DEVICES) {
      const now = Date.now();
      const times = { createdTime: now, startTime: now, maxExecutionMs: 300_000 };
      const job = { id, condition: String(devices), work, createdBy: 'p', ...times };
      assert.equal(await store.create(job, 100), 'created');
    },
    async find(id: string) {
      const job = await store.find(id, Date.now());
      assert.ok(job !== undefined);
      return job;
    },
    async close() {
      await Promise.all(ends.map((end) => end()));
    },
  };
}
