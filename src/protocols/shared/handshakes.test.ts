import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { until } from '../../../test/drivers/until.ts';
import { limits } from '../../base/limits.ts';
import { Handshakes } from './handshakes.ts';

/** Raw connections that say something, in the order in which their handshakes begin, with the turn of the loop. */
async function begun(peers: readonly string[]): Promise<readonly { readonly peer: string; readonly turn: number }[]> {
  const order: { peer: string; turn: number }[] = [];
  const handshakes = new Handshakes();
  const clients: net.Socket[] = [];
  const sockets: net.Socket[] = [];
  let turn = 0;
  const server = net.createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  while (sockets.length < peers.length) {
    const accepted = once(server, 'connection');
    const client = net.connect(port, '127.0.0.1').on('error', () => {});
    const [socket] = (await accepted) as [net.Socket];
    client.write('hello');
    clients.push(client);
    sockets.push(socket);
  }
  // All have something to say before the first is listened to.
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const [at, peer] of peers.entries()) handshakes.add(sockets[at], peer, () => order.push({ peer, turn }));
  const next = (): void => {
    turn++;
    if (order.length < peers.length) setImmediate(next);
  };
  next();
  await until('every peer has had its turn', () => order.length >= peers.length);
  for (const socket of [...clients, ...sockets]) socket.destroy();
  server.close();
  return order;
}

test('few handshakes begin in one turn, and a flood of one address keeps the others waiting for one of its own only', async () => {
  const flood = Array<string>(40).fill('192.0.2.1');
  const order = await begun([...flood, '198.51.100.1', '2001:db8::1', '2001:db8::2']);
  const perTurn = new Map<number, number>();
  for (const { turn } of order) perTurn.set(turn, (perTurn.get(turn) ?? 0) + 1);
  assert.ok(Math.max(...perTurn.values()) <= limits.tlsHandshakesPerTurn, [...perTurn.values()].join());
  const places = order.map(({ peer }) => peer);
  // Each address in its turn; the two of one site share theirs.
  for (const peer of ['198.51.100.1', '2001:db8::1', '2001:db8::2']) {
    assert.ok(places.indexOf(peer) < limits.tlsHandshakesPerTurn * 3, `${peer} is number ${places.indexOf(peer)}`);
  }
});

test('canary: without the bound all that wait begin in one turn', async () => {
  const changeable = limits as { tlsHandshakesPerTurn: number };
  const bound = changeable.tlsHandshakesPerTurn;
  changeable.tlsHandshakesPerTurn = 1000;
  const order = await begun(Array<string>(20).fill('192.0.2.1')).finally(() => {
    changeable.tlsHandshakesPerTurn = bound;
  });
  assert.equal(order.filter(({ turn }) => turn === order[0].turn).length, order.length);
});

test('who says nothing gets no TLS layer, and who ends before he says anything is forgotten', async () => {
  let begins = 0;
  const handshakes = new Handshakes();
  const server = net.createServer((socket) => handshakes.add(socket, '192.0.2.1', () => begins++));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const silent = net.connect(port, '127.0.0.1');
  const ending = net.connect(port, '127.0.0.1');
  await Promise.all([once(silent, 'connect'), once(ending, 'connect')]);
  ending.end();
  ending.resume();
  await once(ending, 'close');
  assert.equal(begins, 0);
  silent.destroy();
  server.close();
  await once(server, 'close');
});
