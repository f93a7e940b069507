import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type net from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { limits } from '../../base/limits.ts';
import { acceptWebSocket } from './websocket.ts';

interface Pair extends AsyncDisposable {
  readonly client: WebSocket;
  /** The hub's end. */
  readonly stream: Duplex;
  /** The socket under it. */
  readonly socket: net.Socket;
}

async function openPair({ isProved = true } = {}): Promise<Pair> {
  const server = http.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = new Promise<{ stream: Duplex; socket: net.Socket }>((resolve) => {
    server.on('upgrade', (request, socket: net.Socket, head) => {
      acceptWebSocket({ request, socket, head }, ['mqtt'], (stream, proved) => {
        if (isProved) proved();
        resolve({ stream, socket });
      });
    });
  });
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as net.AddressInfo).port}`, 'MQTT');
  await once(client, 'open');
  const { stream, socket } = await accepted;
  stream.on('error', () => {});
  return {
    client,
    stream,
    socket,
    async [Symbol.asyncDispose]() {
      client.terminate();
      stream.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function bytesOf(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('bytes come in order, whatever their messages, and the end of the peer behind them', async () => {
  await using pair = await openPair();
  const sent = Array.from({ length: 200 }, (_, at) => Buffer.alloc(at * 7, at));
  for (const message of sent) pair.client.send(message);
  pair.client.close();
  assert.ok((await bytesOf(pair.stream)).equals(Buffer.concat(sent)));
});

test('a reader that is behind stops the peer', async () => {
  await using pair = await openPair();
  const message = Buffer.alloc(64 * 1024, 1);
  const count = 1000;
  for (let at = 0; at < count; at++) pair.client.send(message);
  // The kernel takes a few megabytes; what is left waits with the peer.
  let before = -1;
  while (pair.client.bufferedAmount !== before) {
    before = pair.client.bufferedAmount;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(before > (count * message.length) / 2);
  assert.ok(pair.stream.readableLength <= pair.stream.readableHighWaterMark + 2 * message.length);
  pair.client.close();
  assert.equal((await bytesOf(pair.stream)).length, count * message.length);
});

test('what the peer does not read counts as waiting, and drains when it reads', async () => {
  await using pair = await openPair();
  pair.client.pause();
  let written = 0;
  while (pair.stream.write(Buffer.alloc(16 * 1024, 1)) || pair.socket.writableLength === 0) {
    written += 16 * 1024;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(pair.stream.writableNeedDrain, true);
  const drained = once(pair.stream, 'drain');
  let got = 0;
  pair.client.on('message', (message: Buffer) => {
    got += message.length;
  });
  pair.client.resume();
  await drained;
  pair.stream.end();
  await once(pair.client, 'close');
  assert.equal(got, written + 16 * 1024);
});

test('bytes that never leave are reported to their writer', async () => {
  await using pair = await openPair();
  pair.client.terminate();
  await once(pair.socket, 'close');
  const error = await new Promise((resolve) => pair.stream.write(Buffer.from('x'), resolve));
  assert.ok(error instanceof Error);
});

test('pings of a peer that does not read are not answered without end', async () => {
  await using pair = await openPair();
  pair.stream.resume();
  pair.client.pause();
  const data = Buffer.alloc(125, 1);
  for (let round = 0; round < 200; round++) {
    for (let at = 0; at < 1000; at++) pair.client.ping(data);
    while (pair.client.bufferedAmount > 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(pair.socket.writableLength < 1024 * 1024);
});

test('a peer that does not answer the closing handshake is cut off', async () => {
  await using pair = await openPair();
  pair.client.pause();
  const started = performance.now();
  pair.stream.end();
  pair.stream.resume();
  await once(pair.stream, 'close');
  assert.ok(performance.now() - started < 2 * limits.websocketCloseMs);
});

test('before anybody has proved who he is, a message may not even begin to be long', async () => {
  await using pair = await openPair({ isProved: false });
  pair.stream.resume();
  const closed = once(pair.client, 'close');
  pair.client.on('error', () => {});
  // A part of a message, whose end never comes.
  for (let sent = 0; sent <= limits.websocketUnprovedBytesMax; sent += 8192) {
    pair.client.send(Buffer.alloc(8192), { fin: false });
  }
  const [code] = (await closed) as [number];
  assert.equal(code, 1006);
});

test('a message in more fragments than an SDK makes, and a frame in small chunks, end the connection', async () => {
  for (const isProved of [true, false]) {
    await using pair = await openPair({ isProved });
    pair.stream.resume();
    const closed = once(pair.client, 'close');
    pair.client.on('error', () => {});
    for (let nth = 0; nth <= limits.websocketFragmentsMax; nth++) pair.client.send(Buffer.alloc(1), { fin: false });
    await closed;
  }
  await using pair = await openPair({ isProved: false });
  pair.stream.resume();
  const closed = once(pair.client, 'close');
  pair.client.on('error', () => {});
  const raw = (pair.client as unknown as { _socket: net.Socket })._socket;
  raw.setNoDelay(true);
  // A masked binary frame of 64 KiB, one byte at a time: each byte comes as a chunk of its own.
  raw.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]));
  let sent = 0;
  while (!raw.destroyed && sent < limits.websocketUnprovedBytesMax / 8) {
    raw.write(Buffer.alloc(1));
    sent++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await closed;
  assert.ok(sent < limits.websocketUnprovedBytesMax / 8, `${sent} chunks were kept`);
});
