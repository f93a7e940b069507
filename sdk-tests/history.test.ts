/** History through @azure/event-hubs: what retention has taken comes from the archive, and goes over to the log, as if nothing had been taken. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { PublisherLogin } from '../bench/load/publisher.ts';
import { createDevices } from '../bench/servers/hub.ts';
import { apiOf } from '../test/drivers/api.ts';
import { runMooring, type TestHub } from '../test/drivers/hub.ts';
import { MqttDriver } from '../test/drivers/mqtt.ts';
import { until } from '../test/drivers/until.ts';
import { readEvents, type SeenEvent } from './support/events.ts';
import { startStockHub, whyNot } from './support/hub.ts';

const OLD = 1500;
const NEW = 300;
const ALL = OLD + NEW;

async function send(hub: TestHub, login: PublisherLogin, from: number, to: number): Promise<void> {
  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtt ?? 0 },
    { clientId: login.clientId, username: login.username, password: Buffer.from(login.password) },
  );
  for (let nth = from; nth < to; nth++) {
    const topic = `${login.topic}%24.mid=m${nth}&%24.cid=c&%24.ct=text%2Fplain&site=north`;
    client.publish({ topic, payload: `${nth} ${'x'.repeat(1000)}`, qos: 1, messageId: nth + 1 });
    await client.next('puback');
  }
  await client.disconnect();
}

/** As the SDK shows it, in order of partition and place. */
const shown = (events: readonly SeenEvent[]): unknown[] =>
  events
    .map(({ partition, sequenceNumber, offset, enqueuedTime, body, properties, system, messageId, correlationId }) => ({
      ...{ partition, sequenceNumber, offset, enqueuedTime, body, properties, system, messageId, correlationId },
    }))
    .toSorted((a, b) => Number(a.partition) - Number(b.partition) || a.sequenceNumber - b.sequenceNumber);

test('@azure/event-hubs reads history from its start, a sequence number, an offset, a time', {
  skip: await whyNot(),
}, async () => {
  const groups = ['--consumer-groups', 'past', '--history-groups', 'past'];
  let hub = await startStockHub([...groups, '--segment-bytes', '64KiB']);
  try {
    const api = apiOf(hub);
    await api.routes.replace({
      endpoints: [{ name: 'cold', kind: 'archive', fileSeconds: 1 }],
      routes: [
        { name: 'all', endpoint: 'cold' },
        { name: 'shown', endpoint: 'events' },
      ],
    });
    api.close();
    const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
    await send(hub, login, 0, OLD);
    const connectionString = hub.endpoints.connectionStrings.eventHubs;
    const before = await readEvents(hub, { connectionString, count: OLD });
    const verify = () => runMooring(['archive', 'verify', 'cold', '--data-dir', hub.dataDir]);
    await until('all is archived', async () => (await verify()).stdout.includes(` ${OLD} events, `), { everyMs: 500 });
    await hub.stop();
    hub = await hub.restart({ args: ['--retention-bytes', '1MiB'] });
    const folder = path.join(hub.dataDir, 'events');
    const filesOfLog = () => readdirSync(folder, { recursive: true }).sort().join();
    const held = filesOfLog();
    await send(hub, login, OLD, ALL);
    await until('retention has taken some', () => filesOfLog() !== held);
    const wish = { connectionString, consumerGroup: 'past' };
    const past = shown(await readEvents(hub, { ...wish, count: ALL })) as SeenEvent[];
    assert.deepEqual(past.slice(0, OLD), shown(before));
    const now = await readEvents(hub, { connectionString, count: NEW });
    const first = past.findIndex((event) => event.sequenceNumber === now[0].sequenceNumber);
    assert.ok(first > 0, 'the event hub itself has lost its first events');
    assert.deepEqual(past.slice(first, first + now.length), shown(now));

    const { partition, sequenceNumber, offset, enqueuedTime } = past[100];
    const places = [
      { position: { sequenceNumber }, expected: past.slice(101) },
      { position: { offset }, expected: past.slice(101) },
      { position: { time: enqueuedTime }, expected: past.filter((event) => event.enqueuedTime > enqueuedTime) },
    ];
    for (const { position, expected } of places) {
      const found = await readEvents(hub, { ...wish, count: expected.length, positions: { [partition]: position } });
      assert.deepEqual(shown(found), expected, JSON.stringify(position));
    }
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
