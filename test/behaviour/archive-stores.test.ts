/** An archive in an Azure container and in an S3 bucket, end to end: files, list, verify and repair, a store that is away, history. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { PublisherLogin } from '../../bench/load/publisher.ts';
import { createDevices } from '../../bench/servers/hub.ts';
import { systemClock } from '../../src/base/clock.ts';
import { readConnectionString } from '../../src/stores/objects/azure/account.ts';
import { openAzureStore } from '../../src/stores/objects/azure/azure-store.ts';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import {
  makeBucket,
  missingAzurite,
  missingS3,
  type ObjectServer,
  startAzurite,
  startS3,
} from '../drivers/object-servers.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';

const folder = mkdtempSync(join(tmpdir(), 'archive-stores-'));
after(() => rmSync(folder, { recursive: true }));

interface Store {
  readonly server: ObjectServer;
  /** Of the endpoint. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly secret: string;
  remove(path: string): Promise<unknown>;
}

const stores: readonly { readonly name: string; readonly missing: string | false; open(): Promise<Store> }[] = [
  {
    name: 'azure',
    missing: missingAzurite(),
    async open() {
      const server = await startAzurite();
      const { connectionString } = server;
      // Azurite keeps what it was given under names of its own: it is asked.
      const remove = async (path: string) => {
        const store = await openAzureStore({
          account: readConnectionString(connectionString),
          ...{ container: 'cold', ca: undefined, folder, clock: systemClock, observe: () => {} },
        });
        await store.delete(path);
        await store.close();
      };
      const secret = /AccountKey=([^;]+)/.exec(connectionString)?.[1] ?? assert.fail('no key');
      return { server, settings: { store: 'azure', connectionString, container: 'cold' }, secret, remove };
    },
  },
  {
    name: 's3',
    missing: missingS3(),
    async open() {
      const server = await startS3();
      await makeBucket(server, 'cold');
      const { endpoint: s3Endpoint, accessKeyId, secretAccessKey } = server;
      const settings = { store: 's3', s3Endpoint, bucket: 'cold', accessKeyId, secretAccessKey, pathStyle: true };
      const remove = (path: string) => rm(join(server.folder, 'cold', path));
      return { server, settings, secret: secretAccessKey, remove };
    },
  },
];

const COUNT = 1500;
const LATER = 300;

async function send(hub: TestHub, login: PublisherLogin, count: number, word: string): Promise<void> {
  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtt ?? 0 },
    { clientId: login.clientId, username: login.username, password: Buffer.from(login.password) },
  );
  for (let nth = 0; nth < count; nth++) {
    client.publish({ topic: login.topic, payload: `${word} ${nth} ${'x'.repeat(1000)}`, qos: 1, messageId: nth + 1 });
    if (nth % 50 === 49 || nth === count - 1) {
      for (let answered = nth - (nth % 50); answered <= nth; answered++) await client.next('puback');
    }
  }
  await client.disconnect();
}

async function events(hub: TestHub, group?: string): Promise<ReadEvent[]> {
  const found: ReadEvent[] = [];
  const connectionString = hub.endpoints.connectionStrings.eventHubsEmulator;
  const place = { port: hub.endpoints.ports.amqp ?? 0, connectionString, ...(group !== undefined && { group }) };
  await readToEnd(place, new Map(), (event) => found.push(event));
  return found;
}

const shown = ({ partition, sequence, deviceId, body, properties, annotations, fields }: ReadEvent): unknown => ({
  ...{ partition, sequence, deviceId, body: body.toString('hex'), properties, annotations, fields },
});

async function metric(hub: TestHub, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  return Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}

for (const { name, missing, open } of stores) {
  test(`an archive in a store of the kind ${name}: it may be away; verify, repair, history`, {
    skip: missing,
  }, async () => {
    const { server, settings, secret, remove } = await open();
    await using _ = server;
    const groups = ['--consumer-groups', 'past', '--history-groups', 'past'];
    // Kafka removes what is too much when it thinks fit.
    let hub = await startHub({ args: ['--storage', 'embedded', ...groups] });
    try {
      const api = apiOf(hub);
      await api.routes.replace({
        endpoints: [{ name: 'cold', kind: 'archive', fileSeconds: 1, ...settings }],
        routes: [
          { name: 'all', endpoint: 'cold' },
          { name: 'shown', endpoint: 'events' },
        ],
      });
      api.close();
      const mooring = (...args: readonly string[]) => runMooring(['archive', ...args, '--data-dir', hub.dataDir]);
      const isWhole = async (count: number): Promise<boolean> =>
        (await mooring('verify', 'cold', '--content')).stdout.includes(` ${count} events, `);
      await server.kill();
      const [login] = await createDevices(hub.endpoints, hub.ca, 1, '');
      await send(hub, login, COUNT, 'first');
      await until('it is degraded', async () => /^cold .* degraded /m.test((await mooring('list')).stdout));
      await server.restart();
      await until('all is archived', () => isWhole(COUNT), { everyMs: 300 });
      assert.match((await mooring('list')).stdout, /^cold .* healthy /m);
      const names = JSON.parse((await mooring('list', 'cold', '--json')).stdout).map(
        ({ path }: { path: string }) => path,
      );
      assert.match(names[0], /^cold\/date=/);
      await remove(names[0]);
      assert.match((await mooring('verify', 'cold', '--repair')).stdout, /: missing\. .* It is written again\.$/m);
      await until('it is written again', () => isWhole(COUNT), { everyMs: 300 });
      assert.ok((await metric(hub, 'mooring_archive_store_requests_total{outcome="ok"}')) > 0);
      assert.ok((await metric(hub, 'mooring_archive_store_requests_total{outcome="failed"}')) > 0);

      const before = (await events(hub)).map(shown);
      assert.equal(before.length, COUNT);
      await hub.stop();
      hub = await hub.restart({ args: ['--retention-bytes', '1MiB', '--segment-bytes', '64KiB'] });
      await send(hub, login, LATER, 'later');
      await until('retention has taken some', async () => (await events(hub)).length < COUNT, { everyMs: 200 });
      const past = await events(hub, 'past');
      assert.equal(past.length, COUNT + LATER);
      assert.deepEqual(past.slice(0, COUNT).map(shown), before);
      assert.ok(!hub.stderr().includes(secret), 'the log does not show the secret');
    } finally {
      await hub[Symbol.asyncDispose]();
    }
  });
}
