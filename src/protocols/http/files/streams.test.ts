import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../../../test/drivers/until.ts';
import { sendBody } from './send-body.ts';
import { streamedBody } from './streamed-body.ts';

const PIECE = Buffer.alloc(256 * 1024, 1);
/** More than the kernel takes for a client that does not. */
const PIECES = 256;

interface Served extends AsyncDisposable {
  /** The client's side. */
  readonly socket: net.Socket;
  /** Resolves when the request has been worked off. */
  readonly done: Promise<void>;
}

/** A server that works one request off by `handle`. */
async function served(
  head: string,
  handle: (request: http.IncomingMessage, response: http.ServerResponse) => Promise<void>,
): Promise<Served> {
  const server = http.createServer();
  const done = new Promise<void>((resolve) => {
    server.on('request', (request, response) => {
      void handle(request, response).then(resolve);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write(`${head}\r\nHost: h\r\n\r\n`);
  return {
    socket,
    done,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function* pieces(counted: { count: number; isOver: boolean }): AsyncGenerator<Uint8Array> {
  try {
    for (; counted.count < PIECES; counted.count += 1) yield PIECE;
  } finally {
    counted.isOver = true;
  }
}

test('a client that takes nothing of an answer is cut off, and the reading ends', async () => {
  const counted = { count: 0, isOver: false };
  await using scene = await served('GET / HTTP/1.1', (_, response) => sendBody(pieces(counted), response, 300));
  await scene.done;
  assert.ok(counted.isOver && counted.count < PIECES - 1, `${counted.count} pieces`);
});

test('a client that takes an answer slowly, with rests shorter than that, gets all of it', async () => {
  const counted = { count: 0, isOver: false };
  await using scene = await served('GET / HTTP/1.1', (_, response) => sendBody(pieces(counted), response, 2000));
  const { socket } = scene;
  let received = 0;
  socket.on('data', (bytes) => {
    received += bytes.length;
  });
  // Together longer than the bound; each far shorter, also on a busy machine.
  for (let rests = 0; rests < 15; rests++) {
    socket.pause();
    await sleep(150);
    socket.resume();
    await sleep(1);
  }
  await until('all pieces have come', () => received >= PIECES * PIECE.length);
});

test('a piece that is long in coming cuts nobody off', async () => {
  async function* late(): AsyncGenerator<Uint8Array> {
    yield PIECE;
    await sleep(600);
    yield PIECE;
  }
  await using scene = await served('GET / HTTP/1.1', (_, response) => sendBody(late(), response, 200));
  let received = 0;
  scene.socket.on('data', (bytes) => {
    received += bytes.length;
  });
  scene.socket.resume();
  await scene.done;
  await until('two pieces have come', () => received >= 2 * PIECE.length);
});

test('a client that is silent in the middle of what it sends is cut off', async () => {
  let failure: unknown;
  const head = 'PUT / HTTP/1.1\r\nContent-Length: 10';
  await using scene = await served(head, async (request) => {
    try {
      for await (const _ of streamedBody(request, 200));
    } catch (error) {
      failure = error;
    }
  });
  scene.socket.write('12345');
  await scene.done;
  assert.ok(failure instanceof Error);
});
