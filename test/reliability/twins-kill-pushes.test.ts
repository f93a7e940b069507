/**
 * `kill -9` while devices report and a back end desires, again and again on one data folder: nothing acknowledged is lost, what a
 * device reported is there as a beginning of what it sent, each patch counted once, and pushes have no gap. MOORING_TEST_KILLS sets the
 * rounds, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, createApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { seededRandom } from '../../src/base/random.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';

const ROUNDS = Number(process.env.MOORING_TEST_KILLS ?? 4);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DEVICES = 8;
const IN_FLIGHT = 4;
const SLOTS = 5;
const LOAD_MS_MIN = 150;
const LOAD_MS_MAX = 600;

interface State {
  /** Merged numbers: the newest as `n`, and the newest of each slot. */
  values: Record<string, number>;
  version: number;
}

/** One device and the back end that desires something of it, over the lives of many hubs. */
class Pair {
  readonly id: string;
  readonly key: string;
  readonly #reported: State = { values: {}, version: 1 };
  /** Numbers sent since the last look at the store, and the newest of them that was answered. */
  #sent: number[] = [];
  #answered = 0;
  #next = 1;
  #desired = 0;
  #isDesiring = false;
  #running: Promise<unknown>[] = [];
  #client: MqttDriver | undefined;
  acknowledged = 0;
  pushed = 0;

  constructor(id: string, key: string) {
    this.id = id;
    this.key = key;
  }

  async start(hub: TestHub, api: ApiClient): Promise<void> {
    const { hostName, ports } = hub.endpoints;
    const resource = `${hostName}/devices/${this.id}`;
    const { client, returnCode } = await MqttDriver.connect(
      { port: ports.mqtt as number },
      {
        clientId: this.id,
        username: `${hostName}/${this.id}/?api-version=2021-04-12`,
        password: Buffer.from(await signSas({ resource, key: this.key, expiresAt: Date.now() + 3_600_000 })),
      },
    );
    assert.equal(returnCode, 0);
    const topics = ['$iothub/twin/res/#', '$iothub/twin/PATCH/properties/desired/#'];
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) });
    await client.next('suback');
    this.#client = client;
    for (let n = 0; n < IN_FLIGHT; n++) this.#report(client);
    this.#running = [this.#read(client), this.#desire(api)];
  }

  #report(client: MqttDriver): void {
    const n = this.#next++;
    this.#sent.push(n);
    const payload = JSON.stringify({ n, [`s${n % SLOTS}`]: n });
    client.publish({ topic: `$iothub/twin/PATCH/properties/reported/?$rid=${n.toString(16)}`, payload });
  }

  /** Until the connection ends. */
  async #read(client: MqttDriver): Promise<void> {
    let told: number | undefined;
    for (;;) {
      const packet = await client.next('publish').catch(() => undefined);
      if (packet === undefined) return;
      const push = /desired\/\?\$version=(\d+)$/.exec(packet.topic);
      if (push !== null) {
        const version = Number(push[1]);
        if (told !== undefined) assert.equal(version, told + 1, `${this.id}: pushes have no gap and no repetition`);
        told = version;
        this.pushed++;
        continue;
      }
      const answer = /res\/204\/\?\$rid=([0-9a-f]+)&\$version=(\d+)$/.exec(packet.topic);
      assert.ok(answer !== null, `${this.id}: ${packet.topic}`);
      const n = Number.parseInt(answer[1], 16);
      const place = this.#sent.indexOf(n) + 1;
      assert.equal(Number(answer[2]), this.#reported.version + place, `${this.id}: the version of patch ${n}`);
      this.#answered = Math.max(this.#answered, n);
      this.acknowledged++;
      this.#report(client);
    }
  }

  /** Until a request fails, which it does when the hub is killed. */
  async #desire(api: ApiClient): Promise<void> {
    this.#isDesiring = true;
    while (this.#isDesiring) {
      const d = this.#desired + 1;
      try {
        await api.twins.update({ deviceId: this.id }, { properties: { desired: { d } } });
      } catch {
        return;
      }
      this.#desired = d;
    }
  }

  /** Resolves when everything that has reached this side is counted. @throws what a push or an answer was wrong with */
  async ended(): Promise<void> {
    this.#isDesiring = false;
    this.#client?.destroy();
    await Promise.all(this.#running);
  }

  /** Compares with the store, and goes on from what is there. */
  async check(api: ApiClient): Promise<void> {
    const { desired, reported } = (await api.twins.get({ deviceId: this.id })).properties;
    const d = Number(desired.d ?? 0);
    assert.ok(d === this.#desired || d === this.#desired + 1, `${this.id}: desired ${d}, answered ${this.#desired}`);
    assert.equal(desired.$version, d + 1, `${this.id}: each change of desired properties counts once`);
    this.#desired = d;
    const newest = Number(reported.n ?? 0);
    assert.ok(newest >= this.#answered, `${this.id}: patch ${this.#answered} was answered, the newest is ${newest}`);
    const { values } = this.#reported;
    for (const n of this.#sent) {
      if (n > newest) break;
      values.n = n;
      values[`s${n % SLOTS}`] = n;
      this.#reported.version++;
    }
    const { $metadata, $version, ...stored } = reported;
    assert.deepEqual(stored, values, `${this.id}: a beginning of what was sent`);
    assert.equal($version, this.#reported.version, `${this.id}: each patch counts once`);
    this.#sent = [];
  }
}

test(`kill -9 while devices report and a back end desires, ${ROUNDS} times: nothing acknowledged is lost`, {
  timeout: 60_000 + ROUNDS * 30_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  let hub = await startHub();
  const open = (): ApiClient => {
    const { connectionStrings, ports } = hub.endpoints;
    return createApiClient({
      connectionString: connectionStrings.iothubowner,
      port: ports.https as number,
      ca: hub.ca,
    });
  };
  let api = open();
  try {
    const pairs = await Promise.all(
      Array.from({ length: DEVICES }, async (_, at) => {
        const { deviceId, authentication } = await api.devices.create(`d${at}`);
        return new Pair(deviceId, authentication.symmetricKey?.primaryKey ?? '');
      }),
    );
    const sum = (of: (pair: Pair) => number): number => pairs.reduce((all, pair) => all + of(pair), 0);
    for (let round = 1; round <= ROUNDS; round++) {
      await Promise.all(pairs.map((pair) => pair.start(hub, api)));
      const acknowledged = sum((pair) => pair.acknowledged);
      await sleep(LOAD_MS_MIN + random.next() * (LOAD_MS_MAX - LOAD_MS_MIN));
      await until('something is acknowledged', () => sum((pair) => pair.acknowledged) > acknowledged);
      await hub.kill();
      await Promise.all(pairs.map((pair) => pair.ended()));
      api.close();
      hub = await hub.restart();
      api = open();
      for (const pair of pairs) await pair.check(api);
    }
    t.diagnostic(
      `${sum((pair) => pair.acknowledged)} reports acknowledged, ${sum((pair) => pair.pushed)} changes pushed`,
    );
    assert.ok(sum((pair) => pair.pushed) > 0, 'the load was a load');
  } finally {
    api.close();
    await hub[Symbol.asyncDispose]();
  }
});
