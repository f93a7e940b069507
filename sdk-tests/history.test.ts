/** History through @azure/event-hubs and azure-eventhub: what retention has taken comes from the archive, and goes over to the log, as if nothing had been taken. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { PublisherLogin } from '../bench/load/publisher.ts';
import { createDevices } from '../bench/servers/hub.ts';
import { apiOf } from '../test/drivers/api.ts';
import { runMooring, type TestHub } from '../test/drivers/hub.ts';
import { removeRecordsBelow } from '../test/drivers/kafka-tool.ts';
import { MqttDriver } from '../test/drivers/mqtt.ts';
import { clusterTopicOf } from '../test/drivers/one-hub.ts';
import { until } from '../test/drivers/until.ts';
import { readToCheckpoints } from './support/checkpoints.ts';
import { readEvents, type SeenEvent } from './support/events.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { knownAtEachNode } from './support/nodes.ts';

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

/** Kafka's retention is the topic's, which the hub's settings do not change: the broker is told to remove what is old. */
async function removeSome(hub: TestHub, events: readonly SeenEvent[]): Promise<void> {
  const kept = events[Math.floor(events.length * 0.4)];
  const topic = clusterTopicOf(hub);
  if (topic === undefined) return;
  await removeRecordsBelow(topic.broker, topic.name, new Map([[Number(kept.partition), kept.sequenceNumber]]));
}

/** The oldest sequence number of the partitions that have lost some. */
async function firstKept(hub: TestHub): Promise<number> {
  const api = apiOf(hub);
  const { eventHubs } = await api.hub();
  api.close();
  return Math.max(...eventHubs[0].partitions.map(({ firstSequenceNumber }) => firstSequenceNumber));
}

/** As the SDK shows it, in order of partition and place. */
const shown = (events: readonly SeenEvent[]): unknown[] =>
  events
    .map(({ partition, sequenceNumber, offset, enqueuedTime, body, properties, system, messageId, correlationId }) => ({
      ...{ partition, sequenceNumber, offset, enqueuedTime, body, properties, system, messageId, correlationId },
    }))
    .toSorted((a, b) => Number(a.partition) - Number(b.partition) || a.sequenceNumber - b.sequenceNumber);

test('the SDKs read history from its start, a sequence number, an offset, a time, and from a checkpoint in it', {
  skip: await whyNot(),
}, async () => {
  const groups = ['--consumer-groups', 'past', '--history-groups', 'past'];
  const directory = mkdtempSync(path.join(tmpdir(), 'mooring-checkpoints-'));
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
    await knownAtEachNode(hub, 'mooring_archive_ok{archive="cold"}');
    const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
    await send(hub, login, 0, OLD);
    const connectionString = hub.endpoints.connectionStrings.eventHubs;
    const before = await readEvents(hub, { connectionString, count: OLD });
    const verify = () => runMooring(['archive', 'verify', 'cold', '--data-dir', hub.dataDir]);
    await until('all is archived', async () => (await verify()).stdout.includes(` ${OLD} events, `), {
      ...{ everyMs: 500, withinMs: 120_000 },
    });
    await hub.stop();
    hub = await hub.restart({ args: ['--retention-bytes', '1MiB'] });
    await send(hub, login, OLD, ALL);
    await removeSome(hub, before);
    await until('retention has taken some', async () => (await firstKept(hub)) > before[0].sequenceNumber);
    const wish = { connectionString, consumerGroup: 'past' };
    const past = shown(await readEvents(hub, { ...wish, count: ALL })) as SeenEvent[];
    const inPython = (await readEvents(hub, { ...wish, count: ALL }, 'events-read.py')) as readonly SeenEvent[];
    const same = ({ partition, sequenceNumber, offset, enqueuedTime, body, messageId }: SeenEvent): unknown => ({
      ...{ partition, sequenceNumber, offset: String(offset), enqueuedTime, body, messageId },
    });
    assert.deepEqual((shown(inPython) as SeenEvent[]).map(same), past.map(same));
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
      const theirs = await readEvents(
        hub,
        { ...wish, count: expected.length, positions: { [partition]: position } },
        'events-read.py',
      );
      assert.deepEqual(
        (shown(theirs) as SeenEvent[]).map(same),
        expected.map(same),
        `Python: ${JSON.stringify(position)}`,
      );
    }

    // A reader that is ended within history, and goes on from its checkpoint into the log.
    const early = await readToCheckpoints(hub, directory, 400, 'past');
    assert.ok(early.length >= 400 && early.length < OLD, `${early.length} events`);
    const later = await readToCheckpoints(hub, directory, ALL - early.length, 'past');
    const kept = [...early, ...later].map((event) => event.sequenceNumber - past[0].sequenceNumber);
    assert.deepEqual(
      kept,
      Array.from({ length: ALL }, (_, nth) => nth),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
    await hub[Symbol.asyncDispose]();
  }
});
