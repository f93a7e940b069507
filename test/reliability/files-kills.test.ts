/** kill -9 in each step of an upload, one after the other, and what must be there when the hub is back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { signSas } from '../../src/api/sas.ts';
import { type FileDevice, fileDevice, request, type Ticket } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';

/** How often the hub is killed in a step whose moment is not known: the list, and the word of the device. */
const KILLS = Number(process.env.MOORING_TEST_FILE_KILLS ?? 3);
const KIB = 1024;
const blocks = [randomBytes(300 * KIB), randomBytes(300 * KIB), randomBytes(11)];
const content = Buffer.concat(blocks);
const idOf = (nth: number): string => Buffer.from(String(nth).padStart(12, '0')).toString('base64');
const asBlock = (nth: number): string => `&comp=block&blockid=${encodeURIComponent(idOf(nth))}`;
const list = `<BlockList>${blocks.map((_, nth) => `<Latest>${idOf(nth)}</Latest>`).join('')}</BlockList>`;

const stage = (device: FileDevice, ticket: Ticket, nth: number) =>
  device.blob('PUT', ticket, { query: asBlock(nth), body: blocks[nth] });
const commit = (device: FileDevice, ticket: Ticket) =>
  device.blob('PUT', ticket, { query: '&comp=blocklist', body: list });
const tell = (device: FileDevice, { correlationId }: Ticket) =>
  device.ask('POST', '/files/notifications?api-version=2020-09-30', {
    correlationId,
    isSuccess: true,
    statusCode: 200,
    statusDescription: '',
  });

async function stageAll(device: FileDevice, ticket: Ticket): Promise<void> {
  for (const nth of blocks.keys()) assert.equal((await stage(device, ticket, nth)).status, 201);
}

/** Sends a request and leaves its connection open without waiting for the answer. */
async function begun(hub: TestHub, line: string, headers: readonly string[], length: number, body: Buffer | string) {
  const socket = tls.connect({ host: 'localhost', port: hub.endpoints.ports.https ?? 0, ca: hub.ca });
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('secureConnect', resolve));
  const lines = headers.map((header) => `${header}\r\n`).join('');
  socket.write(`${line} HTTP/1.1\r\nHost: localhost\r\n${lines}Content-Length: ${length}\r\n\r\n`);
  await new Promise<void>((resolve) => socket.write(body, () => resolve()));
  return socket;
}

const urlOf = ({ containerName, blobName, sasToken }: Ticket): string => `/${containerName}/${blobName}${sasToken}`;
const storeOf = (hub: TestHub): string => path.join(hub.dataDir, 'files');
const stagedIn = (hub: TestHub): readonly string[] => readdirSync(path.join(storeOf(hub), '.staging'));
const fileOf = (hub: TestHub, name: string): Buffer | undefined => {
  const file = path.join(storeOf(hub), 'd1', name);
  return existsSync(file) ? readFileSync(file) : undefined;
};

async function until(what: string, done: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 60_000; !done(); await sleep(10)) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
  }
}

/** Names of the files of which back ends hear, each taken and completed. */
async function told(hub: TestHub): Promise<readonly string[]> {
  const key = /SharedAccessKey=(.*)$/.exec(hub.endpoints.connectionStrings.service)?.[1] ?? '';
  const expiresAt = Date.now() + 3_600_000;
  const authorization = await signSas({ resource: 'localhost', key, policyName: 'service', expiresAt });
  const names: string[] = [];
  for (;;) {
    const next = await request(hub, 'GET', '/mooring/v1/file-notifications', { authorization });
    if (next.status === 204) return names;
    assert.equal(next.status, 200, next.body.toString());
    names.push(JSON.parse(next.body.toString()).blobName);
    const lock = encodeURIComponent(String(next.headers.etag).replaceAll('"', ''));
    const done = await request(hub, 'DELETE', `/mooring/v1/file-notifications/${lock}`, { authorization });
    assert.equal(done.status, 204);
  }
}

test('kill -9 in each step of an upload: the device goes on where it was, and back ends hear once', async (t) => {
  let hub = await startHub();
  const killed = async (): Promise<void> => {
    await hub.kill();
    hub = await hub.restart();
  };
  try {
    const device = await fileDevice(hub, 'd1');

    await t.test('the signed URL is given: it is good, and keeps its place among the open uploads', async () => {
      const tickets = [];
      for (let nth = 0; nth < 10; nth++) tickets.push(await device.begin(`url-${nth}`));
      await killed();
      const eleventh = await device.ask('POST', '/files?api-version=2021-04-12', { blobName: 'url-10' });
      assert.equal(eleventh.status, 403);
      for (const ticket of tickets) {
        const headers = { 'x-ms-blob-type': 'BlockBlob' };
        assert.equal((await device.blob('PUT', ticket, { headers, body: 'after' })).status, 201);
        assert.equal((await tell(device, ticket)).status, 204);
      }
      assert.equal((await told(hub)).length, 10);
    });

    await t.test('a block is under way: blocks that were done are there, this one is not', async () => {
      const ticket = await device.begin('block');
      assert.equal((await stage(device, ticket, 0)).status, 201);
      const sent = blocks[1].subarray(0, 290 * KIB);
      const socket = await begun(hub, `PUT ${urlOf(ticket)}${asBlock(1)}`, [], blocks[1].length, sent);
      const [folder] = stagedIn(hub);
      // A piece of it is on the disk.
      const data = path.join(storeOf(hub), '.staging', folder, 'data');
      await until('bytes of the block are written', () => statSync(data).size > blocks[0].length);
      await killed();
      socket.destroy();
      assert.equal(fileOf(hub, 'block'), undefined);
      const refused = await commit(device, ticket);
      assert.deepEqual([refused.status, refused.headers['x-ms-error-code']], [400, 'InvalidBlockList']);
      for (const nth of [1, 2]) assert.equal((await stage(device, ticket, nth)).status, 201);
      assert.equal((await commit(device, ticket)).status, 201);
      assert.deepEqual(fileOf(hub, 'block'), content);
      assert.equal((await tell(device, ticket)).status, 204);
    });

    await t.test('all blocks are done: the list finds them', async () => {
      const ticket = await device.begin('blocks');
      await stageAll(device, ticket);
      await killed();
      assert.equal(fileOf(hub, 'blocks'), undefined);
      assert.equal((await commit(device, ticket)).status, 201);
      assert.deepEqual(fileOf(hub, 'blocks'), content);
      assert.equal((await tell(device, ticket)).status, 204);
    });

    await t.test('the list is under way: the file is whole or not there, and can be sent again', async (each) => {
      let whole = 0;
      for (let round = 0; round < KILLS; round++) {
        const name = `list-${round}`;
        const ticket = await device.begin(name);
        await stageAll(device, ticket);
        const socket = await begun(hub, `PUT ${urlOf(ticket)}&comp=blocklist`, [], list.length, list);
        // From at once to about when it is done.
        await sleep(round * 7);
        await killed();
        socket.destroy();
        const found = fileOf(hub, name);
        if (found === undefined) assert.equal((await commit(device, ticket)).status, 201, 'its blocks are there');
        else {
          whole += 1;
          assert.deepEqual(found, content);
          // As a library does that has no answer: it begins again.
          await stageAll(device, ticket);
          assert.equal((await commit(device, ticket)).status, 201);
        }
        assert.deepEqual(fileOf(hub, name), content);
        assert.equal((await tell(device, ticket)).status, 204);
      }
      each.diagnostic(`whole after ${whole} of ${KILLS} kills`);
    });

    await t.test('the list is done and the device has not said so: it may', async () => {
      const ticket = await device.begin('listed');
      await stageAll(device, ticket);
      assert.equal((await commit(device, ticket)).status, 201);
      await told(hub);
      await killed();
      assert.deepEqual(fileOf(hub, 'listed'), content);
      assert.deepEqual(await told(hub), [], 'nobody hears of it before the device has said so');
      assert.equal((await tell(device, ticket)).status, 204);
      assert.deepEqual(await told(hub), ['d1/listed']);
    });

    await t.test('the word of the device is under way: said again, back ends hear once', async (each) => {
      let heard = 0;
      for (let round = 0; round < KILLS; round++) {
        const name = `told-${round}`;
        const ticket = await device.begin(name);
        const headers = { 'x-ms-blob-type': 'BlockBlob' };
        assert.equal((await device.blob('PUT', ticket, { headers, body: content })).status, 201);
        const lost = tell(device, ticket).then(
          () => true,
          () => false,
        );
        await sleep(round * 5);
        await killed();
        if (await lost) heard += 1;
        assert.equal((await tell(device, ticket)).status, 204);
        assert.deepEqual(await told(hub), [`d1/${name}`]);
      }
      await killed();
      assert.deepEqual(await told(hub), [], 'what was completed stays so');
      each.diagnostic(`answered before ${heard} of ${KILLS} kills`);
    });

    assert.deepEqual(stagedIn(hub), [], 'nothing is staged any more');
    const facts = readdirSync(path.join(storeOf(hub), 'd1', '.facts'));
    assert.deepEqual(
      facts.filter((name) => !existsSync(path.join(storeOf(hub), 'd1', name))),
      [],
      'nothing is left of what was being written',
    );
  } finally {
    await hub[Symbol.asyncDispose]();
  }
});
