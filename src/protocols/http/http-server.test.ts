import assert from 'node:assert/strict';
import { once } from 'node:events';
import type http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { until } from '../../../test/drivers/until.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import { createHttpServer } from './http-server.ts';

/** A client of a server whose bodies may take as long as they like; what it receives. */
async function client(context: TestContext, handler: http.RequestListener) {
  const options = { clock: systemClock, random: seededRandom(1), log: silentLog, upgrades: [] };
  const machinery = createHttpServer(handler, { ...options, requestMs: 300, streams: () => true });
  const door = net.createServer((accepted) => machinery.accept(accepted)).listen(0, '127.0.0.1');
  await once(door, 'listening');
  const socket = net.connect((door.address() as AddressInfo).port, '127.0.0.1');
  context.after(() => {
    socket.destroy();
    door.close();
    machinery.server.close();
  });
  let received = '';
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  socket.on('error', () => {});
  return { socket, received: () => received };
}

test('who goes on sending behind the answer is cut off after the time of a request', async (context) => {
  const { socket, received } = await client(context, (_, response) => response.end('no'));
  socket.write('PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n');
  const timer = setInterval(() => socket.write('1\r\nx\r\n'), 20);
  context.after(() => clearInterval(timer));
  await until('the connection has ended', () => socket.destroyed);
  assert.match(received(), /^HTTP\/1\.1 200/);
});

test('what cannot be read behind the beginning of an answer gets no second one', async (context) => {
  const { socket, received } = await client(context, (_, response) => response.end('no'));
  socket.write('PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n');
  await until('an answer', () => received().includes('no'));
  socket.write('zz\r\n');
  await until('the connection has ended', () => socket.destroyed);
  assert.equal(received().match(/HTTP\/1\.1/g)?.length, 1, received());
});
