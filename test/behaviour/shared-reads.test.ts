import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { silentLog } from '../../src/base/log.ts';
import { listen } from '../../src/protocols/shared/listener.ts';
import { readsShared, withSharedReads } from '../../src/protocols/shared/shared-reads.ts';
import { createTestTls } from '../drivers/http.ts';

const nobody = { receive: () => {}, ended: () => {}, closed: () => {} };

const kinds = ['plain', 'TLS'] as const;
const identity = await createTestTls();

/** A port whose sockets are handed to `accept`; one client of it. */
async function open(
  context: TestContext,
  accept: (socket: net.Socket) => void,
  kind: (typeof kinds)[number] = 'plain',
): Promise<() => net.Socket> {
  const shared = { name: 'test', port: 0, addresses: ['127.0.0.1'], sharedReads: true, log: silentLog, accept };
  const listener = await listen(kind === 'plain' ? shared : { ...shared, tls: identity });
  context.after(() => listener.close());
  return () => {
    const { port } = listener;
    const host = '127.0.0.1';
    const client = kind === 'plain' ? net.connect(port, host) : tls.connect({ port, host, rejectUnauthorized: false });
    context.after(() => client.destroy());
    return client;
  };
}

for (const kind of kinds)
  test(`${kind}: connections that share a buffer get their own bytes, all and in order`, async (context) => {
    const echo = (socket: net.Socket): void => {
      assert.ok(readsShared(socket));
      socket.owner = { ...nobody, receive: (bytes) => void socket.write(Buffer.from(bytes)) };
    };
    const connect = await open(context, echo, kind);
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

for (const kind of kinds)
  test(`${kind}: a paused connection is not read, and goes on where it was`, async (context) => {
    let got = 0;
    let accepted: net.Socket | undefined;
    let paused = (): void => {};
    const isPaused = new Promise<void>((resolve) => {
      paused = resolve;
    });
    const pausing = (socket: net.Socket): void => {
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
    };
    const connect = await open(context, pausing, kind);
    const client = connect();
    const all = 16 * 1024 * 1024;
    client.write(Buffer.alloc(all));
    await isPaused;
    const before = got;
    // A round trip of another connection: time in which this one could be read.
    await once(connect(), 'connect');
    await new Promise((resolve) => setImmediate(resolve));
    // What has been read from the connection is decrypted to its end.
    assert.ok(got - before <= (kind === 'TLS' ? 64 * 1024 : 0), `${got - before} bytes`);
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

test("TLS: the peer's end and a broken connection are told once each, behind the bytes before", async (context) => {
  const told: string[] = [];
  let closed = (): void => {};
  const isClosed = new Promise<void>((resolve) => {
    closed = resolve;
  });
  let count = 0;
  const accept = (socket: net.Socket): void => {
    const name = ++count;
    assert.ok(readsShared(socket));
    socket.owner = {
      receive: (bytes) => void told.push(`${name} ${bytes.toString()}`),
      ended: () => void told.push(`${name} ended`),
      closed() {
        told.push(`${name} closed`);
        if (name === 2) closed();
      },
    };
  };
  const connect = await open(context, accept, 'TLS');
  const ends = connect();
  ends.end('last words');
  await once(ends, 'close');
  const breaks = connect();
  await once(breaks, 'secureConnect');
  await new Promise<void>((resolve) => breaks.write('x', () => resolve()));
  breaks.destroy();
  await isClosed;
  assert.deepEqual(told.slice(0, 3), ['1 last words', '1 ended', '1 closed']);
  assert.deepEqual([told[3], told.at(-1)], ['2 x', '2 closed']);
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
