import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import fastify from 'fastify';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { addEventRoute, type LiveEvents } from './monitoring-routes.ts';

async function open(context: TestContext) {
  const listeners = new Set<Parameters<LiveEvents['watch']>[0]>();
  const counts = { clients: 0, dropped: 0 };
  const events: LiveEvents = {
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    opened: (clients) => {
      counts.clients = clients;
    },
    dropped: () => {
      counts.dropped++;
    },
  };
  const app = fastify();
  app.setErrorHandler((error, _request, reply) => reply.code(error instanceof HubError ? error.status : 500).send());
  addEventRoute(app, events, systemClock, async () => {});
  await app.listen({ host: '127.0.0.1', port: 0 });
  const sockets: net.Socket[] = [];
  context.after(async () => {
    for (const socket of sockets) socket.destroy();
    await app.close();
  });
  const connect = async (): Promise<net.Socket> => {
    const socket = net.connect((app.server.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => {});
    sockets.push(socket);
    socket.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(socket, 'readable');
    return socket;
  };
  return { listeners, counts, connect };
}

test('a client that does not read is dropped, told why, and costs the others nothing', async (context) => {
  const { listeners, counts, connect } = await open(context);
  const slow = await connect();
  const quick = await connect();
  let heard = '';
  quick.setEncoding('utf8').on('data', (text: string) => {
    heard += text;
  });
  quick.resume();
  const json = JSON.stringify({ filler: 'x'.repeat(64 * 1024) });
  // What the two kernels hold for a socket comes on top of the bound.
  for (let at = 0; counts.dropped === 0; at++) {
    assert.ok(at < 1000, 'never dropped');
    for (const listener of [...listeners]) listener('connected', String(at), json);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(counts.dropped, 1);
  assert.equal(listeners.size, 1);
  let rest = '';
  slow.setEncoding('utf8').on('data', (text: string) => {
    rest = (rest + text).slice(-500);
  });
  slow.resume();
  await once(slow, 'close');
  assert.match(rest, /event: dropped\ndata: \{"message":"This client did not keep up/);
  for (const listener of listeners) listener('hubStopped', 'last', '{}');
  while (!heard.includes('id: last')) await once(quick, 'data');
  assert.equal(counts.clients, 1);
});

test('so many clients and no more', async (context) => {
  const { counts, connect } = await open(context);
  for (let at = 0; at < limits.eventStreamClientsMax; at++) await connect();
  assert.equal(counts.clients, limits.eventStreamClientsMax);
  const late = await connect();
  assert.match(String(late.read()), /^HTTP\/1\.1 429 /);
});
