/** Backup of a hub on both engines: PostgreSQL's is the older of the two, and what is restored from it goes on with the events behind it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import pg from 'pg';
import { apiOf } from '../drivers/api.ts';
import { clusterMissing, connectDevice, makeDevice, startCluster, subscribeAll } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { readToEnd } from '../reliability/event-reader.ts';

const dump = globSync('/usr/lib/postgresql/*/bin/pg_dump').sort().at(-1);
const missing = clusterMissing() ?? (dump === undefined ? 'there is no pg_dump' : undefined);
if (missing !== undefined) process.stderr.write(`NOT TESTED: backup of a cluster (${missing})\n`);

const send = async (hub: TestHub, deviceId: string, body: string): Promise<void> => {
  const { client, returnCode } = await connectDevice(hub, deviceId);
  assert.equal(returnCode, 0);
  client.publish({ topic: `devices/${deviceId}/messages/events/`, qos: 1, messageId: 1, payload: body });
  await client.next('puback');
  await client.disconnect();
};

const bodies = async (hub: TestHub): Promise<string[]> => {
  const found: string[] = [];
  const { ports, connectionStrings } = hub.endpoints;
  const place = { port: ports.amqp ?? 0, connectionString: connectionStrings.eventHubsEmulator };
  await readToEnd(place, new Map(), ({ body }) => found.push(body.toString()));
  return found;
};

/** Takes the command that waits, and completes it. */
const command = async (hub: TestHub, deviceId: string): Promise<string> => {
  const { client } = await connectDevice(hub, deviceId);
  await subscribeAll(client, deviceId);
  const packet = await client.next('publish');
  client.send({ cmd: 'puback', messageId: packet.messageId });
  await client.ping();
  await client.disconnect();
  return packet.payload.toString();
};

test('tables of before and events of after make a hub: nothing stored is lost, and what was undone since is there again', {
  skip: missing ?? false,
}, async () => {
  await using cluster = await startCluster({ nodes: 1 });
  const { url, schema } = cluster.database;
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-backup-'));
  const file = path.join(folder, 'tables.dump');
  const [node] = cluster.nodes;
  const api = apiOf(node);
  await makeDevice(node, 'old');
  await send(node, 'old', 'before');
  await api.commands.send({ deviceId: 'old' }, { bodyText: 'once' });
  await api.twins.update({ deviceId: 'old' }, { tags: { floor: 1 } });

  execFileSync(String(dump), ['--format', 'custom', '--schema', schema, '--file', file, url]);
  await makeDevice(node, 'young');
  await send(node, 'young', 'after');
  assert.equal(await command(node, 'old'), 'once');
  api.close();
  await node.stop();

  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`drop schema ${schema} cascade`);
  await client.end();
  execFileSync(String(dump).replace(/pg_dump$/, 'pg_restore'), ['--exit-on-error', '--dbname', url, file]);

  // On a machine that has nothing of before but the settings.
  const there = await cluster.start();
  assert.deepEqual((await bodies(there)).toSorted(), ['after', 'before']);
  await send(there, 'old', 'restored');
  assert.equal((await bodies(there)).length, 3);
  assert.equal(await command(there, 'old'), 'once');
  const restored = apiOf(there);
  assert.equal((await restored.twins.get({ deviceId: 'old' })).tags?.floor, 1);
  await assert.rejects(restored.devices.get('young'), { code: 'DeviceNotFound' });
  restored.close();
  await there.stop();
  rmSync(folder, { recursive: true, force: true });
});
