/** A hub with `storage` `cluster`, over a real broker and a real database: what each of them, and the hub, may do without loss. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { databaseLink } from '../drivers/database-link.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { kafkaMissing, startKafka, type TestKafka } from '../drivers/kafka.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';
import { KillPublisher, numberedMessage } from '../reliability/kill-publisher.ts';

const postgres = process.env.MOORING_TEST_POSTGRES;
const missing = kafkaMissing() ?? (postgres === undefined ? 'MOORING_TEST_POSTGRES is not set' : undefined);
if (missing !== undefined) process.stderr.write(`NOT TESTED: a hub on Kafka and PostgreSQL (${missing})\n`);
const skip = missing ?? false;
const SEED = 7;
const DEVICES = 3;
const SCHEMA = `hub_${randomBytes(6).toString('hex')}`;
const key = (n: number): string => Buffer.alloc(32, n + 1).toString('base64');

function argsFor(kafka: TestKafka): readonly string[] {
  return [
    ...[
      '--storage',
      'cluster',
      '--kafka-brokers',
      kafka.brokers[0],
      '--kafka-replicas',
      '1',
      '--kafka-in-sync-min',
      '1',
    ],
    ...['--postgres-schema', SCHEMA, '--partitions', '2', '--mqtt-port', '0'],
  ];
}

async function publishersOf(hub: TestHub): Promise<KillPublisher[]> {
  const api = apiOf(hub);
  const { hostName } = hub.endpoints;
  const publishers = Array.from({ length: DEVICES }, async (_, n) => {
    const deviceId = `device-${n}`;
    await api.devices.create(deviceId, {
      authentication: { symmetricKey: { primaryKey: key(n), secondaryKey: key(n) } },
    });
    const expiresAt = Date.now() + 3_600_000;
    const password = await signSas({ resource: `${hostName}/devices/${deviceId}`, key: key(n), expiresAt });
    const username = `${hostName}/${deviceId}/?api-version=2021-04-12`;
    const topic = `devices/${deviceId}/messages/events/`;
    return new KillPublisher({ clientId: deviceId, username, password, topic }, SEED);
  });
  const ready = await Promise.all(publishers);
  api.close();
  return ready;
}

async function readAll(hub: TestHub): Promise<ReadEvent[]> {
  const events: ReadEvent[] = [];
  const { ports, connectionStrings } = hub.endpoints;
  const place = { port: ports.amqp as number, connectionString: connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), (event) => events.push(event));
  return events;
}

/** Everything acknowledged is there once, in order, as it was sent; what was never answered may be there, once. */
function assertKept(events: readonly ReadEvent[], publishers: readonly KillPublisher[]): void {
  for (const publisher of publishers) {
    const own = events.filter(({ deviceId }) => deviceId === publisher.deviceId);
    const numbers = own.map(({ properties }) => Number(properties.n));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
      `${publisher.deviceId}: in order`,
    );
    assert.equal(new Set(numbers).size, numbers.length, `${publisher.deviceId}: once each`);
    const found = new Set(numbers);
    const lost = publisher.acknowledgedNumbers().filter((n) => !found.has(n));
    assert.deepEqual(lost, [], `${publisher.deviceId}: acknowledged and lost`);
    for (const { properties, body } of own) {
      const sent = numberedMessage(SEED, publisher.deviceId, Number(properties.n));
      assert.deepEqual({ properties, body }, { properties: sent.properties, body: sent.body });
    }
  }
}

/** Bytes of the telemetry topic on the only broker's disk, as the metrics page has them; undefined = it does not. */
async function topicBytes({ endpoints }: TestHub): Promise<number | undefined> {
  const page = await (await fetch(`http://127.0.0.1:${endpoints.ports.admin}/metrics`)).text();
  const line = new RegExp(`^mooring_event_topic_bytes\\{event_hub="${endpoints.hubName}",broker="1"\\} (.+)$`, 'm');
  const [, bytes] = line.exec(page) ?? [];
  return bytes === undefined ? undefined : Number(bytes);
}

/** The same, as Kafka's own program has them. */
async function bytesOnDisk(kafka: TestKafka, topic: string): Promise<number> {
  const where = ['--bootstrap-server', kafka.brokers[0], '--describe', '--topic-list', topic];
  const printed = await kafka.tool('org.apache.kafka.tools.LogDirsCommand', ...where);
  const [, json] = /^(\{.*\})$/m.exec(printed) ?? [];
  const { brokers } = JSON.parse(json) as {
    readonly brokers: readonly { readonly logDirs: readonly { readonly partitions: readonly { size: number }[] }[] }[];
  };
  const sizes = brokers.flatMap(({ logDirs }) =>
    logDirs.flatMap(({ partitions }) => partitions.map(({ size }) => size)),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

const moreThan = (publishers: readonly KillPublisher[], count: number): Promise<void> =>
  until(`${count} more are acknowledged`, () => publishers.every((each) => each.acknowledgedCount >= count));

test('a hub on Kafka and PostgreSQL is killed, and its broker is: nothing acknowledged is lost, and a new machine goes on', {
  skip,
}, async (t) => {
  await using kafka = await startKafka();
  const env = {
    MOORING_POSTGRES_URL: String(postgres),
    MOORING_KEY_ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64'),
  };
  await using first = await startHub({ args: argsFor(kafka), env });
  const publishers = await publishersOf(first);
  const start = (hub: TestHub) => Promise.all(publishers.map((each) => each.start(hub.endpoints.ports.mqtt as number)));
  await start(first);
  await moreThan(publishers, 200);
  await first.kill();
  await Promise.all(publishers.map((each) => each.ended()));

  let hub = await first.restart();
  await start(hub);
  await moreThan(publishers, 400);
  await kafka.kill(1);
  const health = async () => (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`)).status;
  await until('the hub is not ready without its broker', async () => (await health()) === 503);
  // Longer than a check may be silent, and than a request to a broker is tried for.
  for (const end = Date.now() + 15_000; Date.now() < end; await sleep(500)) {
    const checks = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`)).text();
    assert.doesNotMatch(checks, /clock:/, 'its clock is not what is wrong');
  }
  await until('the metrics say nothing of its disk', async () => (await topicBytes(hub)) === undefined);
  const before = publishers.map((each) => each.acknowledgedCount);
  await kafka.restart(1);
  await until('all go on', () => publishers.every((each, at) => each.acknowledgedCount > before[at] + 100), {
    withinMs: 60_000,
  });
  await until('the hub is ready again', async () => (await health()) === 200, { withinMs: 60_000 });
  await Promise.all(publishers.map((each) => each.finish()));
  const events = await readAll(hub);
  assertKept(events, publishers);
  t.diagnostic(`${publishers.reduce((sum, each) => sum + each.acknowledgedCount, 0)} acknowledged`);
  const onDisk = await bytesOnDisk(kafka, hub.endpoints.hubName);
  assert.ok(onDisk > 100 * events.length, `${onDisk} bytes on the disk`);
  await until('the metrics have them', async () => (await topicBytes(hub)) === onDisk);
  await hub.stop();

  // A machine that has nothing but the settings and the key.
  await using other = await startHub({ args: [...argsFor(kafka), '--hub-name', first.endpoints.hubName], env });
  hub = other;
  const api = apiOf(hub);
  assert.equal((await api.devices.get('device-1')).authentication.symmetricKey?.primaryKey, key(1));
  api.close();
  assert.equal((await readAll(hub)).length, events.length);

  const consumed = await kafka.tool(
    'org.apache.kafka.tools.consumer.ConsoleConsumer',
    ...[
      '--bootstrap-server',
      kafka.brokers[0],
      '--topic',
      hub.endpoints.hubName,
      '--from-beginning',
      '--max-messages',
      '3',
    ],
    ...[
      '--timeout-ms',
      '20000',
      '--formatter-property',
      'print.key=true',
      '--formatter-property',
      'print.headers=true',
    ],
  );
  assert.match(
    consumed,
    /iothub-message-source:Telemetry.*\tdevice-\d\t/,
    "Kafka's own consumer sees device, properties and body",
  );
});

test('without its database the hub goes on taking telemetry, says what is wrong, and goes on by itself', {
  skip,
}, async (t) => {
  await using kafka = await startKafka();
  const link = await databaseLink(String(postgres));
  t.after(() => link.cut());
  const args = argsFor(kafka).map((each) => (each === SCHEMA ? `${SCHEMA}_away` : each));
  await using hub = await startHub({ args, env: { MOORING_POSTGRES_URL: link.url } });
  const publishers = await publishersOf(hub);
  await Promise.all(publishers.map((each) => each.start(hub.endpoints.ports.mqtt as number)));
  await moreThan(publishers, 100);
  link.cut();
  const readyz = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`)).text();
  await until('health says so', async () => /PostgreSQL cannot be written/.test(await readyz()));
  const before = Math.max(...publishers.map((each) => each.acknowledgedCount));
  await moreThan(publishers, before + 100);
  link.mend();
  await until('the hub is ready again', async () => !/PostgreSQL/.test(await readyz()), { withinMs: 60_000 });
  const api = apiOf(hub);
  await api.devices.create('later', {});
  api.close();
  await Promise.all(publishers.map((each) => each.finish()));
  assertKept(await readAll(hub), publishers);
});

test('a database that hangs is what is wrong, and not the disk of the hub', { skip }, async (t) => {
  await using kafka = await startKafka();
  const link = await databaseLink(String(postgres));
  t.after(() => link.cut());
  const args = argsFor(kafka).map((each) => (each === SCHEMA ? `${SCHEMA}_hangs` : each));
  await using hub = await startHub({ args, env: { MOORING_POSTGRES_URL: link.url } });
  const readyz = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/readyz`)).text();
  link.silence();
  await until('its silence is told', async () => /^fail tables: (?!there is)/m.test(await readyz()), {
    withinMs: 30_000,
  });
  assert.match(await readyz(), /^fail tables: PostgreSQL has not answered for \d+ s\. See that PostgreSQL runs/m);
  link.cut();
  link.mend();
  await until('the hub is ready again', async () => /^ready/.test(await readyz()), { withinMs: 60_000 });
});

test('what is missing or does not go together is refused before anything is opened', async () => {
  const { code, stderr } = await runMooring([
    'config',
    'check',
    '--storage',
    'cluster',
    '--kafka-login',
    'PLAIN',
    '--kafka-replicas',
    '1',
    '--threads',
    '2',
  ]);
  assert.notEqual(code, 0);
  for (const part of [
    'kafkaBrokers',
    'postgresUrl',
    'kafkaUser and kafkaPassword',
    'would show the password',
    'kafkaInSyncMin',
    'threads:',
  ]) {
    assert.match(stderr, new RegExp(part), part);
  }
});

test('brokers that cannot be reached are named, and nothing is left open', { skip }, async (t) => {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'mooring-none-'));
  t.after(() => rmSync(dataDir, { recursive: true }));
  const { code, stderr } = await runMooring(
    [
      'serve',
      '--storage',
      'cluster',
      '--kafka-brokers',
      '127.0.0.1:1',
      '--data-dir',
      path.join(dataDir, 'data'),
      '--https-port',
      '0',
      '--mqtts-port',
      '0',
      '--amqps-port',
      '0',
      '--amqp-port',
      '0',
      '--admin-port',
      '0',
    ],
    { MOORING_POSTGRES_URL: String(postgres) },
  );
  assert.notEqual(code, 0);
  assert.match(
    stderr,
    /no broker of Kafka can be reached: the Kafka broker 127\.0\.0\.1:1 cannot be used: connect ECONNREFUSED/,
  );
});
