/** History whose store is away, through @azure/event-hubs and azure-eventhub: readers wait, and get every event once when it is back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PublisherLogin } from '../bench/load/publisher.ts';
import { createDevices } from '../bench/servers/hub.ts';
import { apiOf } from '../test/drivers/api.ts';
import { runMooring, type TestHub } from '../test/drivers/hub.ts';
import { MqttDriver } from '../test/drivers/mqtt.ts';
import { makeBucket, missingS3, startS3 } from '../test/drivers/object-servers.ts';
import { until } from '../test/drivers/until.ts';
import { Client } from './support/client.ts';
import type { SeenEvent } from './support/events.ts';
import { startStockHub, whyNot } from './support/hub.ts';

const OLD = 400;
const ALL = 500;
/** How long the store stays away. Above a minute the hub ends links (`limits.historyWaitMs`), and readers tell of errors. */
const AWAY_MS = Number(process.env.MOORING_TEST_AWAY_MS ?? 15_000);

async function send(hub: TestHub, login: PublisherLogin, from: number, to: number): Promise<void> {
  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtt ?? 0 },
    { clientId: login.clientId, username: login.username, password: Buffer.from(login.password) },
  );
  for (let nth = from; nth < to; nth++) {
    const payload = `${nth} ${'x'.repeat(4000)}`;
    client.publish({ topic: login.topic, payload, qos: 1, messageId: nth + 1 });
    await client.next('puback');
  }
  await client.disconnect();
}

async function firstKept(hub: TestHub): Promise<number> {
  const api = apiOf(hub);
  const { eventHubs } = await api.hub();
  api.close();
  return Math.max(...eventHubs[0].partitions.map(({ firstSequenceNumber }) => firstSequenceNumber));
}

test('readers wait for history whose store is away, and get each event once', {
  skip: (await whyNot()) ?? missingS3(),
}, async (t) => {
  await using server = await startS3();
  await makeBucket(server, 'cold');
  const { endpoint: s3Endpoint, accessKeyId, secretAccessKey } = server;
  const groups = ['--consumer-groups', 'past', '--history-groups', 'past'];
  let hub = await startStockHub([...groups, '--segment-bytes', '64KiB']);
  try {
    const api = apiOf(hub);
    await api.routes.replace({
      endpoints: [
        {
          ...{
            name: 'cold',
            kind: 'archive',
            fileSeconds: 1,
            store: 's3',
            s3Endpoint,
            bucket: 'cold',
            pathStyle: true,
          },
          ...{ region: 'us-east-1', accessKeyId, secretAccessKey },
        },
      ],
      routes: [
        { name: 'all', endpoint: 'cold' },
        { name: 'shown', endpoint: 'events' },
      ],
    });
    api.close();
    const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
    await send(hub, login, 0, OLD);
    const verify = () => runMooring(['archive', 'verify', 'cold', '--data-dir', hub.dataDir]);
    await until('all is archived', async () => (await verify()).stdout.includes(` ${OLD} events, `), {
      ...{ everyMs: 500, withinMs: 60_000 },
    });
    await hub.stop();
    hub = await hub.restart({ args: ['--retention-bytes', '1MiB'] });
    await send(hub, login, OLD, ALL);
    await until('retention has taken some', async () => (await firstKept(hub)) > 100);

    await server.kill();
    const connectionString = hub.endpoints.connectionStrings.eventHubs;
    const job = { connectionString, consumerGroup: 'past', count: ALL, timeoutMs: AWAY_MS + 300_000 };
    const readers = ['events-read.mjs', 'events-read.py'].map((script) => ({
      ...{ script, client: Client.start(script, hub.endpoints.caFile, job) },
    }));
    await new Promise<void>((resolve) => void setTimeout(resolve, AWAY_MS));
    for (const { client } of readers) assert.equal(client.seen('event').length, 0);
    await server.restart();
    for (const { script, client } of readers) {
      await client.next('done', AWAY_MS + 300_000);
      const seen = client.seen('event') as readonly SeenEvent[];
      const errors = client.seen('error');
      await client.stop();
      assert.deepEqual(
        seen.map(({ sequenceNumber }) => sequenceNumber),
        Array.from({ length: ALL }, (_, nth) => nth),
        script,
      );
      t.diagnostic(`${script}: ${errors.length} errors ${JSON.stringify(errors.slice(0, 2))}`);
      if (AWAY_MS < 60_000) assert.deepEqual(errors, [], script);
    }
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
