/**
 * An archive and history of a hub of several nodes, over a real broker and database: history goes over from the archive to the topic, also while
 * the broker removes records below a reader, and the archive's partitions move on when a node is killed.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { filesIn } from '../drivers/archive-files.ts';
import { archivedIn } from '../drivers/archive-rig.ts';
import { ownerOf } from '../drivers/back-end.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster, type TestCluster } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { kafkaMissing, startKafka, type TestKafka } from '../drivers/kafka.ts';
import { removeRecordsBelow } from '../drivers/kafka-tool.ts';
import { until } from '../drivers/until.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';

const missing = clusterMissing() ?? kafkaMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: archives of a cluster (${missing})\n`);
const skip = missing ?? false;

const folder = mkdtempSync(path.join(os.tmpdir(), 'archive-nodes-'));
const declaration = {
  endpoints: [{ name: 'cold', kind: 'archive', fileSeconds: 1 }],
  routes: [
    { name: 'all', endpoint: 'cold' },
    { name: 'shown', endpoint: 'events' },
  ],
};

const archived = async (root: string): Promise<Map<number, number[]>> => archivedIn(filesIn(root));

const total = (lists: ReadonlyMap<number, readonly number[]>): number =>
  [...lists.values()].reduce((sum, { length }) => sum + length, 0);

/** Sends from each of some devices, by one node, and waits for every acknowledgement. */
async function send(node: TestHub, from: number, to: number): Promise<void> {
  for (let device = 0; device < 4; device++) {
    await makeDevice(node, `d${device}`);
    const { client, returnCode } = await connectDevice(node, `d${device}`);
    assert.equal(returnCode, 0);
    for (let nth = from; nth < to; nth++) {
      const topic = `devices/d${device}/messages/events/%24.mid=m${nth}&site=north`;
      client.publish({ topic, payload: `${device} ${nth} ${'x'.repeat(200)}`, qos: 1, messageId: nth + 1 });
      await client.next('puback');
    }
    await client.disconnect();
  }
}

const placeOf = (node: TestHub, group?: string) => ({
  port: node.endpoints.ports.amqp ?? 0,
  connectionString: node.endpoints.connectionStrings.eventHubsEmulator,
  ...(group !== undefined && { group }),
});

async function events(node: TestHub, group?: string, behind = new Map<string, number>()): Promise<ReadEvent[]> {
  const found: ReadEvent[] = [];
  await readToEnd(placeOf(node, group), behind, (event) => found.push(event));
  return found.sort((a, b) => Number(a.partition) - Number(b.partition) || a.sequence - b.sequence);
}

const shown = ({ partition, sequence, deviceId, body, properties, annotations, fields }: ReadEvent): unknown => ({
  ...{ partition, sequence, deviceId, body: body.toString('hex'), properties, annotations, fields },
});

/** Sequence numbers of each partition. */
function numbersOf(found: readonly ReadEvent[]): Map<number, number[]> {
  const lists = new Map<number, number[]>();
  for (const { partition, sequence } of found) {
    lists.set(Number(partition), [...(lists.get(Number(partition)) ?? []), sequence]);
  }
  return lists;
}

/** Has the broker remove all records below a place of each partition, as its retention would. */
function removeBelow(kafka: TestKafka, cluster: TestCluster, places: ReadonlyMap<number, number>): Promise<void> {
  const prefix = `${cluster.database.schema.slice('cluster_'.length)}-`;
  const entity = /EntityPath=([^;]+)/.exec(cluster.nodes[0].endpoints.connectionStrings.eventHubsEmulator)?.[1];
  return removeRecordsBelow(kafka.brokers[0], `${prefix}${entity}`, places);
}

/** Declares the archive at one node. The others follow within some seconds, and mark no event for it before. */
async function declare(nodes: readonly TestHub[]): Promise<void> {
  const { routes, close } = apiOf(nodes[0]);
  await routes.replace(declaration);
  close();
  for (const node of nodes) {
    await until('the archive is known at each node', async () => (await archivesOf(node))[0]?.status !== undefined);
  }
}

let kafka: TestKafka;
let cluster: TestCluster;
const root = path.join(folder, 'archive');

before(async () => {
  if (skip) return;
  kafka = await startKafka();
  const args = ['--archive-folder', root, '--consumer-groups', 'past', '--history-groups', 'past'];
  cluster = await startCluster({ nodes: 2, brokers: kafka.brokers, args });
  await declare(cluster.nodes);
});
after(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await kafka?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test('history over Kafka: what the topic keeps no more comes from the archive, at every node, without gap or repeat', {
  skip,
  timeout: 600_000,
}, async (t) => {
  const [a, b] = cluster.nodes;
  await send(b, 0, 150);
  const old = (await events(a)).map(shown);
  assert.equal(old.length, 600);
  await until('all is archived', async () => total(await archived(root)) === 600, { everyMs: 500, withinMs: 90_000 });

  const all = numbersOf(await events(a));
  const third = (share: number) =>
    new Map(Array.from(all, ([partition, list]) => [partition, list[Math.floor(list.length * share)]]));
  // A node that has read the topic lately, and believes to know where it begins.
  assert.deepEqual((await events(a, 'past')).map(shown), old);
  await removeBelow(kafka, cluster, third(0.4));
  await send(a, 150, 170);
  for (const node of [a, b]) {
    const past = await events(node, 'past');
    assert.deepEqual(
      past.filter(({ sequence, partition }) => sequence <= (all.get(Number(partition))?.at(-1) ?? -1)).map(shown),
      old,
    );
    assert.equal(past.length, 680);
    const now = await events(node);
    assert.ok(now.length < 680 && now.length >= 300, `the topic itself has ${now.length} events`);
    assert.deepEqual(
      past
        .filter((one) => now.some((other) => other.sequence === one.sequence && other.partition === one.partition))
        .map(shown),
      now.map(shown),
    );
  }

  // A checkpoint in history, and one right before the place where the topic begins.
  for (const share of [0.2, 0.4]) {
    const behind = new Map(Array.from(third(share), ([partition, sequence]) => [String(partition), sequence - 1]));
    const rest = numbersOf(await events(b, 'past', behind));
    for (const [partition, sequence] of third(share)) {
      const list = rest.get(partition) ?? [];
      assert.deepEqual(
        list,
        list.map((_, nth) => sequence + nth),
        `partition ${partition} from ${sequence}`,
      );
    }
  }

  // The broker removes records while a reader is under way.
  const seen: ReadEvent[] = [];
  let removal: Promise<void> | undefined;
  await readToEnd(placeOf(b, 'past'), new Map(), (event) => {
    seen.push(event);
    removal ??= removeBelow(kafka, cluster, third(0.9));
  });
  await removal;
  assert.equal(seen.length, 680);
  assert.equal((await events(b, 'past')).length, 680);
  const left = (await events(b)).length;
  assert.ok(left < 300, `the topic itself has ${left} events`);
  t.diagnostic(`680 events by history, ${left} in the topic`);
});

test('the node that archives is killed under load: another goes on, and each event is in exactly one file', {
  skip,
  timeout: 300_000,
}, async (t) => {
  const [a, b] = cluster.nodes;
  const placed = (await archivesOf(b))[0]?.status?.partitions;
  const [victim, left] = placed === 0 ? [a, b] : [b, a];
  const sending = send(left, 170, 210);
  await victim.kill();
  await sending;
  await send(left, 210, 230);
  const count = 4 * 230;
  await until('all is archived by the node that is left', async () => total(await archived(root)) >= count, {
    ...{ everyMs: 1000, withinMs: 120_000 },
  });
  const all = new Map([...(await archived(root))].map(([partition, list]) => [partition, list]));
  for (const [partition, list] of all) {
    assert.deepEqual(
      list,
      list.map((_, nth) => nth),
      `partition ${partition}: each once, in order, nothing else`,
    );
  }
  assert.equal(total(all), count);
  assert.equal((await events(left, 'past')).length, count);
  t.diagnostic(`${count} events, each in one of ${filesIn(root).size} files`);
});

/** What a node says of its archives. */
async function archivesOf(node: TestHub): Promise<{ readonly status?: { readonly partitions: number } }[]> {
  const ask = await ownerOf(node);
  return JSON.parse((await ask('GET', '/mooring/v1/archives')).body.toString());
}
