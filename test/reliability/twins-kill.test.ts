/**
 * `kill -9` while devices report, again and again on one data folder: an acknowledged patch is in the twin, versions count every patch
 * once, and the event hub has exactly one event of each change, in order. MOORING_TEST_KILLS sets the rounds, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDevices } from '../../bench/servers/hub.ts';
import { seededRandom } from '../../src/base/random.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { readToEnd } from './event-reader.ts';

const ROUNDS = Number(process.env.MOORING_TEST_KILLS ?? 5);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DEVICES = 12;
const LOAD_MS_MIN = 150;
const LOAD_MS_MAX = 600;

type Login = Awaited<ReturnType<typeof createDevices>>[number];

/** Reports one number after the other, and knows which of them the hub has acknowledged. */
class Reporter {
  readonly login: Login;
  /** The last number that was sent, and the last one that was acknowledged. */
  sent = 0;
  acknowledged = 0;
  #isStopped = false;

  constructor(login: Login) {
    this.login = login;
  }

  /**
   * Connects, checks what is there against what was acknowledged, and reports until the connection or the test ends it.
   * @param begun is called when it begins to report
   */
  async run(port: number, begun: () => void): Promise<void> {
    this.#isStopped = false;
    const { client, returnCode } = await MqttDriver.connect(
      { port },
      { clientId: this.login.clientId, username: this.login.username, password: Buffer.from(this.login.password) },
    );
    assert.equal(returnCode, 0);
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/twin/res/#', qos: 0 }] });
    await client.next('suback');
    client.publish({ topic: '$iothub/twin/GET/?$rid=get' });
    const { reported } = JSON.parse((await client.next('publish')).payload.toString());
    const kept = reported.n ?? 0;
    const { clientId } = this.login;
    assert.ok(
      kept >= this.acknowledged,
      `${clientId}: ${this.acknowledged} was acknowledged, and the twin has ${kept}`,
    );
    assert.ok(kept <= this.sent, `${clientId}: the twin has ${kept}, and ${this.sent} was the last that was sent`);
    assert.equal(reported.$version, kept + 1, `${clientId}: each patch is one version`);
    this.sent = kept;
    this.acknowledged = kept;
    begun();
    try {
      while (!this.#isStopped) {
        this.sent++;
        const payload = JSON.stringify({ n: this.sent, [`k${this.sent % 7}`]: { at: this.sent } });
        client.publish({ topic: `$iothub/twin/PATCH/properties/reported/?$rid=${this.sent}`, payload });
        const { topic } = await client.next('publish');
        assert.equal(topic, `$iothub/twin/res/204/?$rid=${this.sent}&$version=${this.sent + 1}`);
        this.acknowledged = this.sent;
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
    } finally {
      client.destroy();
    }
  }

  stop(): void {
    this.#isStopped = true;
  }
}

test(`kill -9 while devices report, ${ROUNDS} times: nothing acknowledged is lost, and each change is one event`, {
  timeout: 60_000 + ROUNDS * 20_000,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  let hub = await startHub({ args: ['--event-sources', 'DeviceMessages,twinChangeEvents'] });
  try {
    const reporters = (await createDevices(hub.endpoints, hub.ca, DEVICES, '')).map((login) => new Reporter(login));
    /** Resolves when every device reports; the runs go on. */
    const start = async (): Promise<{ readonly ended: Promise<unknown> }> => {
      const begun = reporters.map(() => Promise.withResolvers<void>());
      const port = hub.endpoints.ports.mqtt as number;
      const ended = Promise.all(reporters.map((each, nth) => each.run(port, begun[nth].resolve)));
      await Promise.race([Promise.all(begun.map(({ promise }) => promise)), ended]);
      return { ended };
    };
    for (let round = 1; round <= ROUNDS; round++) {
      const { ended } = await start();
      await sleep(LOAD_MS_MIN + random.next() * (LOAD_MS_MAX - LOAD_MS_MIN));
      await hub.kill();
      await ended;
      hub = await hub.restart();
    }
    const { ended } = await start();
    await sleep(LOAD_MS_MIN);
    for (const reporter of reporters) reporter.stop();
    await ended;
    const total = reporters.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    const told = await events(hub, total);
    for (const { login, acknowledged } of reporters) {
      const expected = Array.from({ length: acknowledged }, (_, at) => at + 1);
      assert.deepEqual(told.get(login.clientId) ?? [], expected, `events of ${login.clientId}`);
    }
    t.diagnostic(`${total} patches acknowledged, as many events, each once and in order`);
    assert.ok(total > ROUNDS * DEVICES, 'the load was a load');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

/** The numbers that events tell of, by device; waits until there are as many as there must be. */
async function events(hub: TestHub, count: number): Promise<ReadonlyMap<string, number[]>> {
  const place = {
    port: hub.endpoints.ports.amqp as number,
    connectionString: hub.endpoints.connectionStrings.eventHubsEmulator,
  };
  for (let attempt = 1; ; attempt++) {
    const told = new Map<string, number[]>();
    let found = 0;
    await readToEnd(place, new Map(), ({ deviceId, body }) => {
      const numbers = told.get(deviceId) ?? [];
      told.set(deviceId, numbers);
      numbers.push(JSON.parse(body.toString()).properties.reported.n);
      found++;
    });
    if (found >= count || attempt >= 50) return told;
    await sleep(100);
  }
}
