import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { silentLog } from '../../base/log.ts';
import { listen } from './listener.ts';
import { readsShared, withSharedReads } from './shared-reads.ts';

const nobody = { receive: () => {}, ended: () => {}, closed: () => {} };

/** A port whose sockets are handed to `accept`; one client of it. */
async function open(context: TestContext, accept: (socket: net.Socket) => void): Promise<() => net.Socket> {
  const addresses = ['127.0.0.1'];
  const listener = await listen({ name: 'test', port: 0, addresses, sharedReads: true, log: silentLog, accept });
  context.after(() => listener.close());
  return () => {
    const client = net.connect(listener.port, '127.0.0.1');
    context.after(() => client.destroy());
    return client;
  };
}

test('connections that share a buffer get their own bytes, all and in order', async (context) => {
  const connect = await open(context, (socket) => {
    assert.ok(readsShared(socket));
    socket.owner = { ...nobody, receive: (bytes) => void socket.write(Buffer.from(bytes)) };
  });
  const sizes = [1, 100, 65_536, 300_000, 1_000_000];
  await Promise.all(
    sizes.map(async (size, client) => {
      const sent = Buffer.alloc(size, client + 1);
      const socket = connect();
      socket.end(sent);
      const got: Buffer[] = [];
      for await (const chunk of socket) got.push(chunk as Buffer);
      assert.ok(Buffer.concat(got).equals(sent), `${size} bytes`);
    }),
  );
});

test('a paused connection is not read, and goes on where it was', async (context) => {
  let got = 0;
  let accepted: net.Socket | undefined;
  let paused = (): void => {};
  const isPaused = new Promise<void>((resolve) => {
    paused = resolve;
  });
  const connect = await open(context, (socket) => {
    accepted ??= socket;
    assert.ok(readsShared(socket));
    socket.owner = {
      ...nobody,
      receive(bytes) {
        got += bytes.length;
        socket.pause();
        paused();
      },
    };
  });
  const client = connect();
  const all = 16 * 1024 * 1024;
  client.write(Buffer.alloc(all));
  await isPaused;
  const before = got;
  // A round trip of another connection: time in which this one could be read.
  await once(connect(), 'connect');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(got, before);
  assert.ok(client.writableLength > 0, 'what is not read waits with the peer');
  const socket = accepted as net.Socket;
  assert.ok(readsShared(socket));
  const isComplete = new Promise<void>((resolve) => {
    socket.owner = {
      ...nobody,
      receive(bytes) {
        got += bytes.length;
        if (got === all) resolve();
      },
    };
  });
  socket.resume();
  await isComplete;
});

test("the peer's end and a broken connection are told, and the port can be closed", async (context) => {
  const told: string[] = [];
  let closed = (): void => {};
  const isClosed = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const connect = await open(context, (socket) => {
    assert.ok(readsShared(socket));
    assert.equal(socket.remoteAddress, '127.0.0.1');
    socket.place = { leave: () => void told.push('place left') };
    socket.owner = {
      receive: () => {},
      ended: () => void told.push('ended'),
      closed() {
        told.push('closed');
        if (told.length === 5) closed();
      },
    };
  });
  const [ends, breaks] = [connect(), connect()];
  await Promise.all([once(ends, 'connect'), once(breaks, 'connect')]);
  ends.end('last words');
  await once(ends, 'close');
  breaks.resetAndDestroy();
  await isClosed;
  assert.deepEqual(told, ['ended', 'place left', 'closed', 'place left', 'closed']);
});

test('other listeners of a socket hear its end and its close as of any socket', async (context) => {
  const told: string[] = [];
  let closed = (): void => {};
  const isClosed = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const connect = await open(context, (socket) => {
    socket.on('end', () => void told.push('end'));
    socket.on('close', () => {
      told.push('close');
      closed();
    });
  });
  connect().end('last words');
  await isClosed;
  assert.deepEqual(told, ['end', 'close']);
});

test('a socket that cannot be moved stays as it is', () => {
  const socket = new net.Socket();
  assert.equal(withSharedReads(socket), socket);
  assert.equal(readsShared(socket), false);
  socket.destroy();
});
