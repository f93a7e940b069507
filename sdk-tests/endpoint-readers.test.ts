/** Event Hubs SDKs read the event hub of an endpoint by its name, as they read the built-in one. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PublisherLogin } from '../bench/load/publisher.ts';
import { createDevices } from '../bench/servers/hub.ts';
import { apiOf } from '../test/drivers/api.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import { MqttDriver } from '../test/drivers/mqtt.ts';
import { until } from '../test/drivers/until.ts';
import { Client } from './support/client.ts';
import { readEvents, type SeenEvent } from './support/events.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { knownAtEachNode, sumOfNodes } from './support/nodes.ts';
import { missing } from './support/programs.ts';
import { readerSdks } from './support/readers.ts';

const DEVICES = 4;
const MESSAGES_EACH = 50;
const ALL = DEVICES * MESSAGES_EACH;

/** The place of each event and whose it is, in order. */
const placesOf = (events: readonly SeenEvent[]): readonly string[] =>
  events
    .map(({ partition, sequenceNumber, offset, enqueuedTime, body, system }) =>
      [
        partition,
        String(sequenceNumber).padStart(8, '0'),
        offset,
        enqueuedTime,
        body,
        system['iothub-connection-device-id'],
      ].join(' '),
    )
    .toSorted();

describe('readers of the event hub of an endpoint', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let logins: readonly PublisherLogin[];
  let all: readonly SeenEvent[];

  async function send(login: PublisherLogin, from: number, to: number): Promise<void> {
    const { client } = await MqttDriver.connect(
      { port: hub.endpoints.ports.mqtt ?? 0 },
      { clientId: login.clientId, username: login.username, password: Buffer.from(login.password) },
    );
    for (let n = from; n < to; n++) {
      client.publish({ topic: `${login.topic}n=${n}&level=high`, payload: `${n}`, qos: 1, messageId: n + 1 });
      await client.next('puback');
    }
    await client.disconnect();
  }

  /** A connection string of a policy, of the event hub of this name. */
  const stringOf = (eventHub = 'alarms', policy?: string): string => {
    const whole = hub.endpoints.connectionStrings.eventHubs.replace(/EntityPath=[^;]*/, `EntityPath=${eventHub}`);
    if (policy === undefined) return whole;
    const fields = new Map(policy.split(';').map((pair) => [pair.split('=')[0], pair.slice(pair.indexOf('=') + 1)]));
    return whole
      .replace(/SharedAccessKeyName=[^;]*/, `SharedAccessKeyName=${fields.get('SharedAccessKeyName')}`)
      .replace(/SharedAccessKey=[^;]*/, `SharedAccessKey=${fields.get('SharedAccessKey')}`);
  };

  before(async () => {
    hub = await startStockHub(['--mqtt-port', '0']);
    const api = apiOf(hub);
    await api.routes.replace({
      endpoints: [{ name: 'loud', kind: 'eventHub', eventHub: 'alarms', partitions: 2 }],
      routes: [{ name: 'high', endpoint: 'loud', condition: "level = 'high'" }],
    });
    await knownAtEachNode(hub, 'mooring_endpoint_health{endpoint="loud"}');
    await api.consumerGroups.create('alarms', 'night');
    logins = await createDevices(hub.endpoints, hub.ca, DEVICES, '');
    await Promise.all(logins.map((login) => send(login, 0, MESSAGES_EACH)));
    api.close();
    const delivered = 'mooring_endpoint_delivered_total{endpoint="loud"}';
    const isThere = async (): Promise<boolean> => (await sumOfNodes(hub, delivered)) >= ALL;
    await until('all are delivered', isThere, { everyMs: 200 });
  });

  after(async () => {
    await hub?.[Symbol.asyncDispose]();
  });

  test('@azure/event-hubs: two partitions, each event once, in order per device', async () => {
    all = await readEvents(hub, { connectionString: stringOf(), count: ALL });
    assert.equal(all.length, ALL);
    assert.deepEqual([...new Set(all.map(({ partition }) => partition))].toSorted(), ['0', '1']);
    for (const { clientId } of logins) {
      const own = all.filter(({ system }) => system['iothub-connection-device-id'] === clientId);
      assert.deepEqual(
        own.map(({ properties }) => Number(properties.n)),
        Array.from({ length: MESSAGES_EACH }, (_, n) => n),
      );
      assert.equal(new Set(own.map(({ partition }) => partition)).size, 1, 'in one partition');
    }
  });

  test('@azure/event-hubs: from a sequence number, an offset, a time, and a consumer group of its own', async () => {
    const ofPartition = all.filter(({ partition }) => partition === all[0].partition);
    const { partition, sequenceNumber, offset, enqueuedTime } = ofPartition[20];
    const others = all.filter((event) => event.partition !== partition);
    for (const { position, expected } of [
      { position: { sequenceNumber }, expected: ofPartition.slice(21) },
      { position: { offset }, expected: ofPartition.slice(21) },
      { position: { time: enqueuedTime }, expected: ofPartition.filter((event) => event.enqueuedTime > enqueuedTime) },
    ]) {
      const [other] = others.map((event) => event.partition);
      const positions = { [partition]: position, [other]: { offset: '-1' } };
      const count = expected.length + others.length;
      const found = await readEvents(hub, { connectionString: stringOf(), consumerGroup: 'night', count, positions });
      assert.deepEqual(placesOf(found), placesOf([...expected, ...others]), JSON.stringify(position));
    }
  });

  for (const script of ['events-read.py', '5.11:events-read.py'] as const) {
    test(`azure-eventhub (${script}) reads the same`, { skip: missing('Python') ?? false }, async () => {
      assert.deepEqual(placesOf(await readAll(script)), placesOf(all));
    });
  }

  for (const sdk of readerSdks) {
    if (sdk.language === 'JavaScript' || sdk.language === 'Python') continue;
    test(`${sdk.name} reads the same`, { skip: missing(sdk.language) ?? false }, async () => {
      assert.deepEqual(placesOf(await readAll(sdk.script)), placesOf(all));
    });
  }

  async function readAll(script: string): Promise<readonly SeenEvent[]> {
    const client = Client.start(script, hub.endpoints.caFile, { connectionString: stringOf(), count: ALL });
    try {
      const end = await client.next(['done', 'too few', 'error'], 180_000);
      assert.equal(end.kind, 'done', JSON.stringify(end));
      return client.seen('event') as readonly SeenEvent[];
    } finally {
      await client.stop();
    }
  }

  test('another name, a group that is not there, and a policy without ServiceConnect are refused', async () => {
    const { registryRead = '', service = '' } = hub.endpoints.connectionStrings as Record<string, string>;
    for (const wish of [
      { connectionString: stringOf('alarm') },
      { connectionString: stringOf('alarms', registryRead) },
      { connectionString: stringOf(), consumerGroup: 'day' },
    ]) {
      const client = Client.start('events-read.mjs', hub.endpoints.caFile, { ...wish, count: 1, timeoutMs: 20_000 });
      await assert.rejects(
        (async () => {
          const end = await client.next(['event', 'error', 'done'], 60_000);
          assert.equal(end.kind, 'event', JSON.stringify(end));
        })(),
        JSON.stringify(wish.consumerGroup ?? 'refused'),
      );
      assert.deepEqual(client.seen('event'), []);
      await client.stop();
    }
    assert.equal((await readEvents(hub, { connectionString: stringOf('alarms', service), count: ALL })).length, ALL);
  });

  test('@azure/event-hubs from the end: what comes behind it, and nothing of before', async () => {
    const positions = { '0': { offset: '@latest' }, '1': { offset: '@latest' } };
    const tail = Client.start('events-read.mjs', hub.endpoints.caFile, {
      ...{ connectionString: stringOf(), count: 1, positions },
    });
    await tail.next('partitions');
    // Its links may open a moment later: what is sent goes on until it has one.
    let n = MESSAGES_EACH;
    const isThere = async (): Promise<boolean> => {
      await send(logins[0], n, n + 1);
      n++;
      return tail.seen('event').length > 0;
    };
    await until('one comes', isThere, { everyMs: 500 });
    const found = tail.seen('event') as readonly SeenEvent[];
    assert.ok(found.every(({ properties }) => Number(properties.n) >= MESSAGES_EACH));
    await tail.stop();
  });
});
