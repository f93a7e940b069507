/**
 * `kill -9` during load, again and again on one data folder: every acknowledged message is read back exactly as sent, in
 * order per device, and nothing that was never sent. MOORING_TEST_KILLS sets the rounds, MOORING_TEST_SEED the seed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDevices } from '../../bench/servers/hub.ts';
import { seededRandom } from '../../src/base/random.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { type ReadEvent, readToEnd } from './event-reader.ts';
import { KillPublisher, numberedMessage } from './kill-publisher.ts';

const ROUNDS = Number(process.env.MOORING_TEST_KILLS ?? 5);
const SEED = Number(process.env.MOORING_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const DEVICES = 20;
const LOAD_MS_MIN = 100;
const LOAD_MS_MAX = 500;

const TIMEOUT_MS = 60_000 + ROUNDS * 20_000;

test(`kill -9 during load, ${ROUNDS} times: nothing acknowledged is lost, nothing is invented`, {
  timeout: TIMEOUT_MS,
}, async (t) => {
  t.diagnostic(`MOORING_TEST_SEED=${SEED} MOORING_TEST_KILLS=${ROUNDS}`);
  const random = seededRandom(SEED);
  let hub = await startHub();
  try {
    const logins = await createDevices(hub.endpoints, hub.ca, DEVICES, '');
    const publishers = new Map(logins.map((login) => [login.clientId, new KillPublisher(login, SEED)]));
    const record = new Readings(publishers);
    for (let round = 1; round <= ROUNDS; round++) {
      await startAll(hub, publishers);
      await sleep(LOAD_MS_MIN + random.next() * (LOAD_MS_MAX - LOAD_MS_MIN));
      await hub.kill();
      await Promise.all([...publishers.values()].map((publisher) => publisher.ended()));
      hub = await hub.restart();
      await record.readNew(hub);
      record.assertAcknowledgedAreRead(`round ${round}`);
    }
    // A clean end shows that the log still takes and keeps messages, and that what was read stays as it was.
    await startAll(hub, publishers);
    await sleep(LOAD_MS_MIN);
    await Promise.all([...publishers.values()].map((publisher) => publisher.finish()));
    await record.readNew(hub);
    record.assertAcknowledgedAreRead('the end');
    await record.assertTheSameAgain(hub);
    const { acknowledged, stored, sent } = record.counts();
    t.diagnostic(`${sent} sent, ${acknowledged} acknowledged, ${stored} stored, each as sent`);
    assert.ok(acknowledged > ROUNDS * DEVICES, 'the load was a load');
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});

async function startAll(hub: TestHub, publishers: ReadonlyMap<string, KillPublisher>): Promise<void> {
  const port = hub.endpoints.ports.mqtt as number;
  await Promise.all([...publishers.values()].map((publisher) => publisher.start(port)));
}

/** What has been read back so far, checked against what was sent. */
class Readings {
  readonly #publishers: ReadonlyMap<string, KillPublisher>;
  readonly #numbers: ReadonlyMap<string, Set<number>>;
  readonly #lastNumber = new Map<string, number>();
  readonly #lastSequence = new Map<string, number>();
  readonly #digests = new Map<string, ReturnType<typeof createHash>>();

  constructor(publishers: ReadonlyMap<string, KillPublisher>) {
    this.#publishers = publishers;
    this.#numbers = new Map([...publishers.keys()].map((deviceId) => [deviceId, new Set()]));
  }

  readNew(hub: TestHub): Promise<void> {
    return readToEnd(place(hub), this.#lastSequence, (event) => this.#take(event));
  }

  #take(event: ReadEvent): void {
    const { partition, sequence, deviceId, properties, body } = event;
    const before = this.#lastSequence.get(partition) ?? -1;
    assert.equal(sequence, before + 1, `partition ${partition} has no gap and no repetition`);
    this.#lastSequence.set(partition, sequence);
    const publisher = this.#publishers.get(deviceId);
    assert.ok(publisher !== undefined, `an event of ${deviceId}, which does not exist`);
    const n = Number(properties.n);
    assert.notEqual(publisher.fate(n), undefined, `message ${properties.n} of ${deviceId} was never sent`);
    const sent = numberedMessage(SEED, deviceId, n);
    assert.deepEqual({ properties, body }, { properties: sent.properties, body: sent.body }, `${deviceId}: ${n}`);
    assert.ok(n > (this.#lastNumber.get(deviceId) ?? -1), `message ${n} of ${deviceId} is in order, and there once`);
    this.#lastNumber.set(deviceId, n);
    this.#numbers.get(deviceId)?.add(n);
    addTo(this.#digests, event);
  }

  assertAcknowledgedAreRead(when: string): void {
    for (const [deviceId, publisher] of this.#publishers) {
      const lost = publisher.acknowledgedNumbers().filter((n) => !this.#numbers.get(deviceId)?.has(n));
      assert.deepEqual(lost, [], `${when}: acknowledged messages of ${deviceId} are missing`);
    }
  }

  /** Reads everything once more from the start and compares it, byte for byte, with what was read on the way. */
  async assertTheSameAgain(hub: TestHub): Promise<void> {
    const again = new Map<string, ReturnType<typeof createHash>>();
    await readToEnd(place(hub), new Map(), (event) => addTo(again, event));
    const hex = (digests: ReadonlyMap<string, ReturnType<typeof createHash>>): object =>
      Object.fromEntries([...digests].map(([partition, digest]) => [partition, digest.copy().digest('hex')]));
    assert.deepEqual(hex(again), hex(this.#digests));
  }

  counts(): { readonly sent: number; readonly acknowledged: number; readonly stored: number } {
    const sum = (of: (deviceId: string, publisher: KillPublisher) => number): number =>
      [...this.#publishers].reduce((all, [deviceId, publisher]) => all + of(deviceId, publisher), 0);
    return {
      sent: sum((_, publisher) => publisher.sentCount),
      acknowledged: sum((_, publisher) => publisher.acknowledgedNumbers().length),
      stored: sum((deviceId) => this.#numbers.get(deviceId)?.size ?? 0),
    };
  }
}

function place(hub: TestHub) {
  return {
    port: hub.endpoints.ports.amqp as number,
    connectionString: hub.endpoints.connectionStrings.eventHubsEmulator,
  };
}

function addTo(digests: Map<string, ReturnType<typeof createHash>>, event: ReadEvent): void {
  let digest = digests.get(event.partition);
  if (digest === undefined) {
    digest = createHash('sha256');
    digests.set(event.partition, digest);
  }
  digest.update(`${event.sequence} ${event.deviceId} ${JSON.stringify(event.properties)} ${event.body.length}\n`);
  digest.update(event.body);
}
