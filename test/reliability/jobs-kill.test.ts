/**
 * `kill -9` in the midst of jobs, again and again on one data folder. A job of twins: every twin is updated once, and has one event of it and
 * one of its record. A job of methods: no device is called twice, and a record says `completed` only of one that was called.
 * MOORING_TEST_KILLS sets the rounds, MOORING_TEST_JOB_DEVICES the devices, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDevices } from '../../bench/servers/hub.ts';
import type { JobJson } from '../../src/api/jobs.ts';
import { limits } from '../../src/base/limits.ts';
import { seededRandom } from '../../src/base/random.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';
import { readToEnd } from './event-reader.ts';

const KILLS = Number(process.env.MOORING_TEST_KILLS ?? 5);
const DEVICES = Number(process.env.MOORING_TEST_JOB_DEVICES ?? 10_000);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** More than can be under way at each kill. */
const CALLED = limits.jobMethodsAtOnceMax * (KILLS + 1);
const ANSWER_MS_MAX = 1500;

const isOver = ({ status }: JobJson): boolean => ['completed', 'failed', 'cancelled'].includes(status);

test(`a job over ${DEVICES} twins and ${KILLS} times kill -9: each is updated once, and none is left out`, {
  timeout: 120_000 + KILLS * 30_000 + DEVICES * 10,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_KILLS=${KILLS} MOORING_TEST_JOB_DEVICES=${DEVICES}`);
  const random = seededRandom(SEED);
  const sources = 'DeviceMessages,twinChangeEvents,deviceJobLifecycleEvents';
  let hub = await startHub({ args: ['--event-sources', sources] });
  try {
    await createDevices(hub.endpoints, hub.ca, DEVICES, '');
    await apiOf(hub).jobs.create('j', {
      type: 'scheduleUpdateTwin',
      queryCondition: 'NOT IS_DEFINED(tags.done)',
      updateTwin: { tags: { done: true }, properties: { desired: { interval: 5 } } },
    });
    const killedAt: string[] = [];
    for (let round = 1; round <= KILLS; round++) {
      const client = apiOf(hub);
      // The first comes while devices are selected, each other one after a further part of the updates.
      const wanted = (DEVICES * (round - 1) * (0.8 + 0.2 * random.next())) / KILLS;
      let job = await client.jobs.get('j');
      if (round === 1) await sleep(100 * random.next());
      else {
        await until(`${wanted} are updated`, async () => {
          job = await client.jobs.get('j');
          return job.deviceJobStatistics.succeededCount >= wanted || isOver(job);
        });
      }
      const { succeededCount, deviceCount } = job.deviceJobStatistics;
      if (!isOver(job)) killedAt.push(`${succeededCount} of ${deviceCount}`);
      client.close();
      await hub.kill();
      hub = await hub.restart();
    }
    t.diagnostic(`killed at ${killedAt.join(', ')}`);
    assert.ok(killedAt.length >= Math.ceil(KILLS / 2), 'the kills met the job in its midst');
    const client = apiOf(hub);
    let job = await client.jobs.get('j');
    await until('the job is over', async () => {
      job = await client.jobs.get('j');
      return isOver(job);
    });
    const { deviceCount, succeededCount } = job.deviceJobStatistics;
    assert.deepEqual([job.status, deviceCount, succeededCount], ['completed', DEVICES, DEVICES]);
    const count = async (query: string): Promise<number> => {
      const { rows } = await client.queries.page(query);
      return Number(rows[0].n);
    };
    assert.equal(await count('SELECT COUNT() AS n FROM devices WHERE tags.done = true'), DEVICES);
    assert.equal(
      await count('SELECT COUNT() AS n FROM devices WHERE properties.desired.$version = 2'),
      DEVICES,
      'each twin was changed once',
    );
    assert.equal(await count("SELECT COUNT() AS n FROM devices.jobs WHERE status = 'completed'"), DEVICES);
    const told = await events(hub, DEVICES);
    for (const [kind, devices] of told) {
      assert.equal(devices.size, DEVICES, `${kind}: every device has one`);
      for (const [deviceId, times] of devices) assert.equal(times, 1, `${kind} of ${deviceId}`);
    }
    assert.deepEqual([...told.keys()].sort(), ['deviceJobEnded', 'updateTwin']);
    client.close();
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

/** How often each device is told of, by what it is told; waits until there is as much as there must be. */
async function events(hub: TestHub, devices: number): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  const place = {
    port: hub.endpoints.ports.amqp as number,
    connectionString: hub.endpoints.connectionStrings.eventHubsEmulator,
  };
  for (let attempt = 1; ; attempt++) {
    const told = new Map<string, Map<string, number>>();
    let found = 0;
    await readToEnd(place, new Map(), ({ deviceId, properties }) => {
      const ofKind = told.get(properties.opType) ?? new Map<string, number>();
      told.set(properties.opType, ofKind);
      ofKind.set(deviceId, (ofKind.get(deviceId) ?? 0) + 1);
      found++;
    });
    if (found >= 2 * devices || attempt >= 50) return told;
    await sleep(200);
  }
}

/** A device that counts how often it is called, answers after a while, and comes back whenever its connection ends. */
class CalledDevice {
  readonly id: string;
  readonly #login: Awaited<ReturnType<typeof createDevices>>[number];
  readonly #waitMs: () => number;
  calls = 0;
  #isStopped = false;
  #client: MqttDriver | undefined;

  constructor(login: Awaited<ReturnType<typeof createDevices>>[number], waitMs: () => number) {
    this.id = login.clientId;
    this.#login = login;
    this.#waitMs = waitMs;
  }

  async run(port: number): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#connection(port);
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        this.#client?.destroy();
        await sleep(20);
      }
    }
  }

  async #connection(port: number): Promise<void> {
    const { clientId, username, password } = this.#login;
    const { client, returnCode } = await MqttDriver.connect(
      { port },
      { clientId, username, password: Buffer.from(password) },
    );
    this.#client = client;
    if (returnCode !== 0) throw new Error('not let in');
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/methods/POST/#', qos: 0 }] });
    for (;;) {
      const packet = await client.next();
      if (packet.cmd !== 'publish') continue;
      this.calls += 1;
      const [, name, rid] = /^\$iothub\/methods\/POST\/([^/]+)\/\?\$rid=(.+)$/.exec(packet.topic) ?? [];
      assert.equal(name, 'count');
      setTimeout(() => {
        client.publish({
          topic: `$iothub/methods/res/200/?$rid=${rid}`,
          payload: JSON.stringify({ calls: this.calls }),
        });
      }, this.#waitMs());
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#client?.destroy();
  }
}

test(`a job of methods for ${CALLED} devices and ${KILLS} times kill -9: no device is called twice, and none is left out`, {
  timeout: 120_000 + KILLS * 30_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_KILLS=${KILLS}`);
  const random = seededRandom(SEED);
  let hub = await startHub();
  const devices: CalledDevice[] = [];
  const runs: Promise<void>[] = [];
  try {
    const logins = await createDevices(hub.endpoints, hub.ca, CALLED, '');
    devices.push(...logins.map((login) => new CalledDevice(login, () => random.next() * ANSWER_MS_MAX)));
    const port = hub.endpoints.ports.mqtt as number;
    runs.push(...devices.map((device) => device.run(port)));
    await apiOf(hub).jobs.create('m', {
      ...{ type: 'scheduleDeviceMethod', queryCondition: '*' },
      cloudToDeviceMethod: { methodName: 'count', payload: null, responseTimeoutInSeconds: 10 },
    });
    let met = 0;
    for (let round = 1; round <= KILLS; round++) {
      const client = apiOf(hub);
      let job = await client.jobs.get('m');
      await until('devices are being asked', async () => {
        job = await client.jobs.get('m');
        return isOver(job) || job.deviceJobStatistics.runningCount > 0;
      });
      await sleep(random.next() * 400);
      if (!isOver(job)) met += 1;
      client.close();
      await hub.kill();
      hub = await hub.restart();
    }
    const client = apiOf(hub);
    let job = await client.jobs.get('m');
    await until('the job is over', async () => {
      job = await client.jobs.get('m');
      return isOver(job);
    });
    assert.equal(job.deviceJobStatistics.deviceCount, CALLED);
    assert.equal(job.status, 'completed');
    const statuses = new Map<string, number>();
    for await (const row of client.queries.rows('SELECT deviceId, status, error.code FROM devices.jobs')) {
      const device = devices.find(({ id }) => id === row.deviceId);
      assert.ok(device !== undefined);
      statuses.set(String(row.status), (statuses.get(String(row.status)) ?? 0) + 1);
      assert.ok(device.calls <= 1, `${device.id} was called ${device.calls} times`);
      if (row.status === 'completed') assert.equal(device.calls, 1, `${device.id} has answered`);
      else assert.ok(['unknown', 'failed'].includes(String(row.status)), `${device.id}: ${row.status}`);
    }
    t.diagnostic(`${met} kills met devices being asked: ${JSON.stringify(Object.fromEntries(statuses))}`);
    assert.equal(
      [...statuses.values()].reduce((sum, each) => sum + each, 0),
      CALLED,
    );
    assert.ok(met > 0 && (statuses.get('unknown') ?? 0) > 0, 'the kills met devices being asked');
    assert.ok((statuses.get('completed') ?? 0) > 0);
    client.close();
  } finally {
    for (const device of devices) device.stop();
    await Promise.allSettled(runs);
    await hub[Symbol.asyncDispose]();
  }
});
