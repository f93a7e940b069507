/** Who holds signed URLs of one device has one device's share of the blob endpoint, whatever the number of connections. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import tls from 'node:tls';
import { limits } from '../../src/base/limits.ts';
import { fileDevice, type Ticket } from '../drivers/file-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

async function connect(hub: TestHub): Promise<tls.TLSSocket> {
  const port = hub.endpoints.ports.https ?? 0;
  const socket = tls.connect({ port, host: '127.0.0.1', ca: hub.ca, servername: 'localhost' });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

const head = ({ containerName, blobName, sasToken }: Ticket, query: string, bytes: number): string =>
  `PUT /${containerName}/${blobName}${sasToken}${query} HTTP/1.1\r\nHost: localhost\r\nx-ms-blob-type: BlockBlob\r\nContent-Length: ${bytes}\r\n\r\n`;

/** Refusals, in the order in which they came. */
function answersOf(sockets: readonly tls.TLSSocket[]): string[] {
  const answers: string[] = [];
  for (const socket of sockets) {
    socket.on('data', (bytes) => {
      const answer = /^HTTP\/1\.1 (\d+)[\s\S]*x-ms-error-code: (\w+)/i.exec(bytes.toString('latin1'));
      if (answer !== null) answers.push(`${answer[1]} ${answer[2]}`);
    });
  }
  return answers;
}

test('unfinished block lists of one device are held once, and another device sends its own', async () => {
  await using hub = await startHub();
  const [greedy, honest] = [await fileDevice(hub, 'greedy'), await fileDevice(hub, 'honest')];
  const ticket = await greedy.begin('f');
  const sockets = await Promise.all(Array.from({ length: 6 }, () => connect(hub)));
  const answers = answersOf(sockets);
  const bytes = limits.fileBlockListBytesMax;
  for (const socket of sockets) {
    socket.write(head(ticket, '&comp=blocklist', bytes));
    socket.write(Buffer.alloc(bytes - 1, ' '));
  }
  // Where many grow side by side none may reach its end; so one share or less is held.
  await until('all but one are refused', () => answers.length >= sockets.length - 1);
  assert.ok(
    answers.every((answer) => answer === '503 ServerBusy'),
    answers.join(),
  );
  const other = await honest.begin('f');
  assert.equal(
    (await honest.blob('PUT', other, { headers: { 'x-ms-blob-type': 'BlockBlob' }, body: 'x' })).status,
    201,
  );
  assert.equal((await honest.blob('PUT', other, { query: '&comp=blocklist', body: '<BlockList/>' })).status, 201);
  for (const socket of sockets) socket.destroy();
  for (let attempt = 0; ; attempt++) {
    const { status } = await greedy.blob('PUT', ticket, { query: '&comp=blocklist', body: '<BlockList/>' });
    if (status === 201) break;
    assert.ok(attempt < 200, `${status}`);
  }
});

test('a list of nothing but blanks does not hold up anybody', async () => {
  await using hub = await startHub();
  const device = await fileDevice(hub, 'd1');
  const ticket = await device.begin('f');
  const answer = await device.blob('PUT', ticket, { query: '&comp=blocklist', body: ' '.repeat(1024 * 1024) });
  assert.deepEqual([answer.status, answer.headers['x-ms-error-code']], [400, 'InvalidXmlDocument']);
});

test('connections and requests by the URLs of one device are no more than one device may have', async () => {
  await using hub = await startHub();
  const [greedy, honest] = [await fileDevice(hub, 'greedy'), await fileDevice(hub, 'honest')];
  const ticket = await greedy.begin('f');
  const sockets: tls.TLSSocket[] = [];
  for (let nth = 0; nth < limits.connectionsPerDeviceMax + 8; nth++) {
    const socket = await connect(hub);
    socket.write(`${head(ticket, '', 1024 * 1024)}x`);
    sockets.push(socket);
  }
  await until('the oldest end', () => sockets.filter(({ destroyed, closed }) => destroyed || closed).length >= 8);
  assert.equal(sockets.filter(({ destroyed }) => !destroyed).length, limits.connectionsPerDeviceMax);
  const other = await honest.begin('f');
  assert.equal(
    (await honest.blob('PUT', other, { headers: { 'x-ms-blob-type': 'BlockBlob' }, body: 'x' })).status,
    201,
  );
  for (const socket of sockets) socket.destroy();
});
