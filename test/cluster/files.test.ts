/** Uploads in blocks to a hub of several nodes that keep files in one folder: whichever node a request comes to. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { clusterMissing, startCluster } from '../drivers/cluster.ts';
import { type FileAnswer, fileDevice, request, type Ticket } from '../drivers/file-device.ts';
import type { TestHub } from '../drivers/hub.ts';

const missing = clusterMissing();
if (missing !== undefined) process.stderr.write(`NOT TESTED: files of a cluster (${missing})\n`);

const idOf = (nth: number): string => Buffer.from(`0a5f${String(nth).padStart(12, '0')}`).toString('base64');

function blob(
  node: TestHub,
  method: string,
  ticket: Ticket,
  query = '',
  body: Buffer | string = '',
): Promise<FileAnswer> {
  const { containerName, blobName, sasToken } = ticket;
  const headers = { 'content-length': String(Buffer.byteLength(body)) };
  return request(node, method, `/${containerName}/${encodeURI(blobName)}${sasToken}${query}`, headers, body);
}

const putBlock = async (node: TestHub, ticket: Ticket, nth: number, body: Buffer): Promise<void> => {
  const answer = await blob(node, 'PUT', ticket, `&comp=block&blockid=${encodeURIComponent(idOf(nth))}`, body);
  assert.equal(answer.status, 201, answer.body.toString());
};

const putList = (node: TestHub, ticket: Ticket, count: number): Promise<FileAnswer> => {
  const ids = Array.from({ length: count }, (_, nth) => `<Latest>${idOf(nth)}</Latest>`);
  return blob(node, 'PUT', ticket, '&comp=blocklist', `<?xml version="1.0"?><BlockList>${ids.join('')}</BlockList>`);
};

test('blocks that three nodes have taken are one file, also those of a node that was killed, and the newest of each id', {
  skip: missing ?? false,
}, async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-files-nodes-'));
  context.after(() => rmSync(folder, { recursive: true }));
  await using cluster = await startCluster({ nodes: 2, args: ['--files-folder', folder] });
  const [first, second] = cluster.nodes;
  const device = await fileDevice(first, 'd1');
  const blocks = Array.from({ length: 9 }, (_, nth) => randomBytes(nth === 8 ? 11 : 70_000));

  const ticket = await device.begin('logs/today.txt');
  await putBlock(first, ticket, 0, randomBytes(70_000));
  for (const nth of [0, 1, 2, 3]) await putBlock(nth % 2 === 0 ? second : first, ticket, nth, blocks[nth]);
  await putBlock(second, ticket, 4, randomBytes(5));
  await putBlock(first, ticket, 4, blocks[4]);
  const beforeKill = await blob(second, 'GET', ticket);
  assert.equal(beforeKill.status, 404, 'nothing is seen before the list');
  await first.kill();
  // It finds what is under way, and leaves it alone.
  const third = await cluster.start();
  for (const nth of [5, 6, 7, 8]) await putBlock(nth % 2 === 0 ? second : third, ticket, nth, blocks[nth]);
  const listed = await putList(third, ticket, blocks.length);
  assert.equal(listed.status, 201, listed.body.toString());
  for (const node of [second, third]) {
    assert.ok((await blob(node, 'GET', ticket)).body.equals(Buffer.concat(blocks)));
  }
  assert.deepEqual(readdirSync(path.join(folder, '.staging')), []);
  assert.equal((await putList(second, ticket, blocks.length)).status, 201, 'its answer may have been lost');

  // A block that no node has is refused as at one node, and the others stay.
  await putBlock(second, ticket, 0, blocks[0]);
  const refused = await putList(third, ticket, 2);
  assert.deepEqual([refused.status, refused.headers['x-ms-error-code']], [400, 'InvalidBlockList']);
  await putBlock(third, ticket, 1, blocks[1]);
  assert.equal((await putList(second, ticket, 2)).status, 201);
  assert.ok((await blob(third, 'GET', ticket)).body.equals(Buffer.concat(blocks.slice(0, 2))));
});
