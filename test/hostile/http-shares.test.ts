/** One caller of the HTTPS port has its share of requests in hand and of bodies, whatever the number of its connections. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type tls from 'node:tls';
import { limits } from '../../src/base/limits.ts';
import { readBody } from '../../src/protocols/http/read-body.ts';
import { type HttpHub, openHttpHub, parseAnswer, refusalIn } from '../drivers/http.ts';
import { type HttpDevice, registerDevice } from '../drivers/http-device.ts';
import { until } from '../drivers/until.ts';

const events = '/messages/events?api-version=2021-04-12';
const MiB = 1024 * 1024;

async function head(device: HttpDevice, method: string, rest: string, more = ''): Promise<string> {
  const lines = `host: localhost\r\nauthorization: ${await device.token()}\r\n${more}`;
  return `${method} ${device.path}${rest} HTTP/1.1\r\n${lines}\r\n`;
}

/** The first answer on a connection that stays open. */
async function firstAnswer(socket: tls.TLSSocket): Promise<number> {
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return parseAnswer(bytes).status;
}

/** Holds the answers of `hub.events.send` until they are let go, and counts those that are held. */
function held(http: HttpHub): { most(): number; now(): number; release(): void } {
  const events = http.hub.events as { send: HttpHub['hub']['events']['send'] };
  const send = events.send.bind(events);
  const gate = Promise.withResolvers<void>();
  let [now, most] = [0, 0];
  events.send = async (...args) => {
    now++;
    most = Math.max(most, now);
    await gate.promise;
    now--;
    return send(...args);
  };
  return { most: () => most, now: () => now, release: () => gate.resolve() };
}

test('requests of one connection are carried out one after the other, and only few wait', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const hold = held(http);
  const post = await head(device, 'POST', events, 'content-length: 1\r\n');
  const socket = await http.connect();
  socket.resume();
  socket.write(`${post}x`.repeat(limits.httpPipelinedMax));
  await until('one is in hand', () => hold.now() === 1);
  const flood = await http.connect();
  flood.on('error', () => {}).resume();
  // It is reset, which `once` would take for a failure.
  const ended = new Promise((resolve) => flood.once('close', resolve));
  flood.write(`${post}x`.repeat(20 * limits.httpPipelinedMax));
  await ended;
  assert.equal(hold.most() <= 2, true, 'one of each connection');
  hold.release();
  socket.destroy();
});

test('one device has so many requests in hand; another one does not notice, and neither does a back end', async () => {
  await using http = await openHttpHub();
  const greedy = await registerDevice(http, 'greedy');
  const honest = await registerDevice(http, 'honest');
  const hold = held(http);
  const post = await head(greedy, 'POST', events, 'content-length: 1\r\n');
  const sockets = await Promise.all(Array.from({ length: limits.httpRequestsPerDeviceMax + 3 }, () => http.connect()));
  const answers: number[] = [];
  for (const socket of sockets) {
    socket.on('error', () => {});
    void firstAnswer(socket).then((status) => answers.push(status));
    socket.write(`${post}x`);
  }
  await until('three are refused', () => answers.length === 3);
  assert.deepEqual(answers, [429, 429, 429]);
  assert.equal(hold.now(), limits.httpRequestsPerDeviceMax);
  const other = honest.request('POST', events, { body: 'x' });
  await until('the other device is served', () => hold.now() === limits.httpRequestsPerDeviceMax + 1);
  assert.equal((await http.request('GET', '/devices/honest?api-version=2021-04-12')).status, 200);
  hold.release();
  assert.equal((await other).status, 204);
  await until('all are answered', () => answers.length === sockets.length);
  assert.equal((await greedy.request('POST', events, { body: 'x' })).status, 204, 'its share is given back');
  for (const socket of sockets) socket.destroy();
});

test('unfinished bodies of one device end at its share, and others send theirs', async () => {
  await using http = await openHttpHub();
  const greedy = await registerDevice(http, 'greedy');
  const honest = await registerDevice(http, 'honest');
  const post = await head(greedy, 'POST', events, `content-length: ${MiB}\r\n`);
  const sockets: tls.TLSSocket[] = [];
  const answers: number[] = [];
  for (let nth = 0; nth < 12; nth++) {
    const socket = await http.connect();
    socket.on('error', () => {});
    void firstAnswer(socket).then((status) => answers.push(status));
    socket.write(post);
    socket.write(Buffer.alloc(MiB - 1, 0x61));
    sockets.push(socket);
  }
  const kept = limits.httpBodiesBytesPerDeviceMax / MiB;
  await until('what is over its share is refused', () => answers.length === 12 - kept);
  assert.ok(answers.every((status) => status === 429));
  const large = await honest.request('POST', events, { body: 'y'.repeat(200_000) });
  assert.equal(large.status, 204);
  const before = http.door.connections();
  for (const socket of sockets) socket.destroy();
  await until('the connections are gone', () => http.door.connections() <= before - kept);
  assert.equal((await greedy.request('POST', events, { body: 'y'.repeat(200_000) })).status, 204);
});

test('a body in chunks of a byte takes the memory of its bytes, asked for before it is taken', async () => {
  const bytes = 20_000;
  let [taken, chunks] = [0, 0];
  const stream = new Readable({
    read() {
      this.push(chunks++ < bytes ? Buffer.from('x') : null);
    },
  });
  const body = await readBody(stream, undefined, (more) => {
    taken += more;
  });
  assert.equal(body.length, bytes);
  assert.ok(taken >= bytes && taken <= 2 * bytes, `${taken}`);
  assert.equal(body.buffer.byteLength, taken);
  const refused = readBody(Readable.from([Buffer.alloc(10)]), 10, () => {
    throw new Error('none left');
  });
  await assert.rejects(refused, /none left/);
});

test('what is sent by nobody is not kept, and nobody is told to go on', async () => {
  await using http = await openHttpHub();
  const start = 'POST /nothing HTTP/1.1\r\nhost: localhost\r\n';
  const unknown = await http.connect();
  unknown.write(`${start}content-length: ${MiB}\r\n\r\n`);
  assert.equal(await firstAnswer(unknown), 404, 'answered before the body has come');
  unknown.destroy();
  const expecting = await http.connect();
  expecting.write(
    `${start.replace('/nothing', `/devices/d1${events}`)}expect: 100-continue\r\ncontent-length: 5\r\n\r\n`,
  );
  assert.equal(await firstAnswer(expecting), 401);
  expecting.destroy();
  const device = await registerDevice(http, 'd1');
  const known = await http.connect();
  known.write(await head(device, 'POST', events, 'expect: 100-continue\r\ncontent-length: 5\r\n'));
  assert.equal(await firstAnswer(known), 100);
  known.write('hello');
  assert.equal(await firstAnswer(known), 204);
  known.destroy();
});

test('a request has a bounded number of header lines, and is told so', async () => {
  await using http = await openHttpHub();
  const lines = 'a:\r\n'.repeat(limits.httpHeadersMax + 1);
  const answer = await http.exchange(`GET /devices HTTP/1.1\r\nhost: localhost\r\n${lines}\r\n`);
  assert.equal(answer.status, 431);
  assert.equal(refusalIn(answer).code, 'MessageTooLarge');
});

test('a request whose client has gone while it was judged keeps nothing of its share', async () => {
  await using http = await openHttpHub();
  const device = await registerDevice(http, 'd1');
  const authentication = http.hub.authentication as { device: HttpHub['hub']['authentication']['device'] };
  const judge = authentication.device.bind(authentication);
  const gate = Promise.withResolvers<void>();
  let waiting = 0;
  authentication.device = async (...args) => {
    waiting++;
    await gate.promise;
    return judge(...args);
  };
  const post = await head(device, 'POST', events, 'content-length: 1\r\n');
  const count = limits.httpRequestsPerDeviceMax;
  const sockets = await Promise.all(Array.from({ length: count }, () => http.connect()));
  for (const socket of sockets) socket.on('error', () => {}).write(`${post}x`);
  await until('all are being judged', () => waiting === count);
  const before = http.door.connections();
  for (const socket of sockets) socket.destroy();
  await until('they have gone', () => http.door.connections() <= before - count);
  gate.resolve();
  assert.equal((await device.request('POST', events, { body: 'x' })).status, 204);
});

test('a body that broke off before it was read is refused, and nobody waits for it', async () => {
  const gone = new Readable({ read() {} });
  gone.on('error', () => {}).destroy();
  await assert.rejects(
    readBody(gone, 10, () => {}),
    { code: 'IotHubFormatError' },
  );
});
