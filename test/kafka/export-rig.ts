/** What tests of `mooring data export` share: places in Kafka and PostgreSQL, folders, and what a hub holds. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { signSas } from '../../src/api/sas.ts';
import { runMooring, type TestHub } from '../drivers/hub.ts';
import { kafkaMissing, type TestKafka } from '../drivers/kafka.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';

const postgres = process.env.MOORING_TEST_POSTGRES;
const missing = kafkaMissing() ?? (postgres === undefined ? 'MOORING_TEST_POSTGRES is not set' : undefined);
if (missing !== undefined) process.stderr.write(`NOT TESTED: data export into a cluster and back (${missing})\n`);
/** Why nothing can be tested; false = it can. */
export const skip = missing ?? false;

export const deviceKey = Buffer.alloc(32, 5).toString('base64');
/** So that retention has removed the first events, and numbers begin behind 0. */
export const small = ['--segment-bytes', '64KiB', '--retention-bytes', '1MiB', '--partitions', '2'];

export interface Place {
  readonly kafka: TestKafka;
  readonly schema: string;
  readonly prefix: string;
}

export function newPlace(kafka: TestKafka): Place {
  const name = randomBytes(5).toString('hex');
  return { kafka, schema: `export_${name}`, prefix: `${name}-` };
}

export const flagsOf = ({ kafka, schema, prefix }: Place): string[] => [
  ...['--kafka-brokers', kafka.brokers[0], '--kafka-replicas', '1', '--kafka-in-sync-min', '1'],
  ...['--postgres-schema', schema, '--kafka-topic-prefix', prefix],
];
export const noPorts = ['mqtts', 'amqps', 'https', 'admin', 'amqp'].flatMap((name) => [`--${name}-port`, '0']);
export const env = { MOORING_POSTGRES_URL: String(postgres) };

export function folders(): { readonly at: (name: string) => string } & Disposable {
  const root = mkdtempSync(path.join(tmpdir(), 'mooring-export-'));
  return {
    at: (name) => path.join(root, name),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

async function post(hub: TestHub, deviceId: string, body: string, headers: Record<string, string>): Promise<void> {
  const { hostName, ports } = hub.endpoints;
  const resource = `${hostName}/devices/${deviceId}`;
  const authorization = await signSas({ resource, key: deviceKey, expiresAt: Date.now() + 3_600_000 });
  const request = https.request({
    ...{ host: '127.0.0.1', port: ports.https ?? 0, servername: hostName, ca: hub.ca, agent: false, method: 'POST' },
    path: `/devices/${deviceId}/messages/events?api-version=2021-04-12`,
    headers: { ...headers, host: hostName, authorization },
  });
  request.end(body);
  const [answer] = await once(request, 'response');
  answer.resume();
  assert.equal(answer.statusCode, 204);
}

/** Two batches and a message with everything that a message may say. */
export async function sendSome(hub: TestHub, batches: number): Promise<void> {
  for (const deviceId of ['one', 'two']) {
    for (let batch = 0; batch < batches; batch++) {
      const messages = Array.from({ length: 20 }, (_, nth) => ({
        body: randomBytes(3000).toString('base64'),
        base64Encoded: true,
        properties: { nth: String(nth), '~odd': 'é', 'message-id': 'not the id' },
      }));
      await post(hub, deviceId, JSON.stringify(messages), { 'content-type': 'application/vnd.microsoft.iothub.json' });
    }
    await post(hub, deviceId, '{"t":1}', {
      'iothub-messageid': 'm1',
      'iothub-correlationid': 'c1',
      'iothub-contenttype': 'application/json',
      'iothub-contentencoding': 'utf-8',
      'iothub-creationtimeutc': '2026-05-01T12:00:00.5Z',
      'dt-subject': 'part',
      'iothub-app-place': 'Büro',
    });
  }
}

/** @param eventHub by its name; absent = the built-in one */
export async function readAll(hub: TestHub, eventHub?: string): Promise<ReadEvent[]> {
  const events: ReadEvent[] = [];
  const { ports, connectionStrings } = hub.endpoints;
  const whole = connectionStrings.eventHubsEmulator;
  const connectionString = eventHub === undefined ? whole : whole.replace(/EntityPath=[^;]*/, `EntityPath=${eventHub}`);
  const place = { port: ports.amqp as number, connectionString };
  await readToEnd(place, new Map(), (event) => events.push(event));
  return events;
}

/** Everything that a reader sees of the events, in the order of each partition. */
export const seen = (events: readonly ReadEvent[]): readonly ReadEvent[] =>
  events.toSorted((a, b) => a.partition.localeCompare(b.partition) || a.sequence - b.sequence);

export const exported = async (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  runMooring(['data', 'export', ...args], { ...env, ...more });

export const unnumbered = ({ sequence: _, annotations, ...rest }: ReadEvent): object => ({
  ...rest,
  annotations: { ...annotations, 'x-opt-sequence-number': undefined, 'x-opt-offset': undefined },
});

export async function drop({ schema }: Place): Promise<void> {
  const client = new pg.Client(String(postgres));
  await client.connect();
  await client.query(`drop schema ${schema} cascade`);
  await client.end();
}
