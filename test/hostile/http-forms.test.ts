/** Forms of HTTP by which a request is made to look like another one: to a proxy, to the router, to the admin port. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openHttpHub } from '../drivers/http.ts';
import { registerDevice } from '../drivers/http-device.ts';
import { startHub } from '../drivers/hub.ts';

/** Statuses of everything that is answered until the hub closes, or is silent for a while behind its first answer. */
async function statuses(socket: net.Socket, text: string): Promise<readonly number[]> {
  let answer = '';
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
  });
  const closed = once(socket, 'close').catch(() => {});
  const answered = once(socket, 'data').catch(() => {});
  socket.write(text);
  await Promise.race([closed, answered]);
  await Promise.race([closed, delay(150)]);
  socket.destroy();
  return [...answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
}

test('a request whose end two readers would see in two places is refused, and nothing behind it is read', async () => {
  await using http = await openHttpHub();
  const token = await http.token();
  const hidden = `GET /devices?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${token}\r\n\r\n`;
  const head = `POST /devices/query?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${token}\r\n`;
  const forms: readonly (readonly [what: string, text: string])[] = [
    ['length and chunks', `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['two lengths', `${head}Content-Length: 0\r\nContent-Length: 10\r\n\r\n${hidden}`],
    ['a list of lengths', `${head}Content-Length: 0, 10\r\n\r\n${hidden}`],
    ['a signed length', `${head}Content-Length: +0\r\n\r\n${hidden}`],
    ['a length in hexadecimal', `${head}Content-Length: 0x0\r\n\r\n${hidden}`],
    ['a space before the colon', `${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['chunks that are not the last coding', `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`],
    ['a chunk with a false size', `${head}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n${hidden}`],
    ['a folded line', `${head}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n${hidden}`],
    ['a bare line feed', `${head}X-A: b\nContent-Length: 0\r\n\r\n${hidden}`],
    ['NUL in a header', `${head}X-A: \0\r\nContent-Length: 0\r\n\r\n${hidden}`],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ];
  for (const [what, text] of forms) {
    const answered = await statuses(await http.connect(), text);
    assert.deepEqual(answered, [400], what);
  }
});

test('paths that climb, are encoded twice or hold NUL reach nobody else’s', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  await registerDevice(http, 'd2');
  const token = await device.token();
  const paths = [
    '/devices/d1/../d2/messages/events',
    '/devices/d1/%2e%2e/d2/messages/events',
    '/devices/d1%2f..%2fd2/messages/events',
    '/devices/d1%252f..%252fd2/messages/events',
    '/devices/d1%00/messages/events',
    '/devices/d2/messages/events',
    '/devices/%64%32/messages/events',
    '//devices//d2//messages//events',
    '/devices/d1/messages/events/../../../d2/messages/events',
    '/devices/d1;/../d2/messages/events',
    '/devices/d1\\..\\d2/messages/events',
    'https://localhost/devices/d2/messages/events',
    '/%64evices/d2/messages/events',
  ];
  for (const path of paths) {
    const text = `POST ${path}?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${token}\r\nContent-Length: 1\r\n\r\nx`;
    const [status] = await statuses(await http.connect(), text);
    assert.ok(status === 400 || status === 401 || status === 404, `${path}: ${status}`);
  }
  const own = await device.request('POST', '/messages/events?api-version=2021-04-12', { body: 'x' });
  assert.equal(own.status, 204, 'its own address it reaches');
});

test('the admin port answers its own pages only, whatever name or page is claimed', async () => {
  await using hub = await startHub();
  const { admin } = hub.endpoints.ports;
  const ask = (lines: string, target = '/metrics', method = 'GET'): Promise<readonly number[]> =>
    statuses(net.connect(admin ?? 0, '127.0.0.1'), `${method} ${target} HTTP/1.1\r\n${lines}\r\n\r\n`);
  assert.deepEqual(await ask('Host: localhost'), [200]);
  const foreign: readonly (readonly [lines: string, target?: string])[] = [
    ['Host: evil.example'],
    ['Host: localhost.evil.example'],
    ['Host: localhost@evil.example'],
    ['Host: localhost:8080@evil.example'],
    ['Host: 127.0.0.1.evil.example'],
    ['Host: evil.example', 'http://localhost/metrics'],
    ['Host: localhost\r\nOrigin: http://evil.example'],
    ['Host: localhost\r\nOrigin: null'],
    ['Host: localhost\r\nOrigin: http://localhost.evil.example'],
    ['Host: localhost\r\nOrigin: https://localhost'],
    ['Host: localhost\r\nHost: evil.example'],
    ['X-Forwarded-Host: localhost'],
    ['Host: '],
  ];
  for (const [lines, target] of foreign) {
    const [status] = await ask(lines, target);
    assert.ok(status !== undefined && status >= 400 && status < 500, `${lines} ${target ?? ''}: ${status}`);
  }
  for (const method of ['POST', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']) {
    const [status] = await ask('Host: localhost', '/metrics', method);
    assert.ok(status === undefined || status >= 400, method);
  }
});
