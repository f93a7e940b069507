import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import type { Log } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ConnectionGate, type ConnectionLimits } from '../../src/protocols/shared/connection-gate.ts';
import { type Listener, listen } from '../../src/protocols/shared/listener.ts';
import { makeAuthority, makeServerCertificate } from '../../src/server/tls/certificates.ts';
import { until } from '../drivers/until.ts';

const MANY = 1000;

interface Scene extends AsyncDisposable {
  readonly gate: ConnectionGate;
  readonly clock: VirtualClock;
  readonly warnings: string[];
  readonly port: number;
  /** A connection from the address, which the listener has seen; `proved` says so on the hub's side. */
  connect(address?: string): Promise<{ readonly socket: net.Socket; proved(by?: string): void }>;
  /** Resolves to whether the hub closes what is connected now. */
  isClosed(socket: net.Socket): Promise<boolean>;
}

async function open(bounds: Partial<ConnectionLimits>, secured = false): Promise<Scene> {
  const clock = new VirtualClock();
  const warnings: string[] = [];
  const silent = (): void => {};
  const warn: Log['warn'] = (fields) => void warnings.push(String(fields.limit));
  const log: Log = { debug: silent, info: silent, warn, error: silent, child: () => log };
  const gate = new ConnectionGate({ connectionsMax: MANY, unprovedConnectionsMax: MANY, ...bounds }, clock, log);
  const accepted = new Map<number, { proved: (by?: string) => void; tell: () => void }>();
  const all = new Set<net.Socket>();
  const authority = await makeAuthority('gate', Date.now(), systemRandom);
  const identity = await makeServerCertificate(
    authority,
    [{ type: 'dns', value: 'localhost' }],
    Date.now(),
    systemRandom,
  );
  const listener: Listener = await listen({
    name: 'mqttsPort',
    port: 0,
    addresses: ['127.0.0.1'],
    log,
    gate,
    ...(secured && { tls: { current: () => ({ cert: [identity.cert], key: [identity.key] }), watch: () => silent } }),
    accept(socket, proved) {
      all.add(socket);
      socket.resume();
      accepted.get(socket.remotePort ?? 0)?.tell();
      accepted.set(socket.remotePort ?? 0, { proved, tell: silent });
    },
  });
  return {
    gate,
    clock,
    warnings,
    port: listener.port,
    async connect(address = '127.0.0.1') {
      const before = gate.counts();
      const socket = net.connect({ port: listener.port, host: '127.0.0.1', localAddress: address });
      socket.on('error', silent);
      all.add(socket);
      await once(socket, 'connect');
      const seen = (): boolean => {
        const { refused, open: now, displaced } = gate.counts();
        return refused + now + displaced > before.refused + before.open + before.displaced;
      };
      await until('the gate has seen the connection', seen, { everyMs: 1 });
      return { socket, proved: (by) => accepted.get(socket.localPort ?? 0)?.proved(by) };
    },
    async isClosed(socket) {
      for (let turn = 0; turn < 50 && !socket.destroyed; turn++) {
        socket.resume();
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      return socket.destroyed;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of all) socket.destroy();
      await listener.close();
    },
  };
}

test('a connection beyond all that there may be is closed at once, and its place can be had when one goes', async () => {
  await using scene = await open({ connectionsMax: 2 });
  const first = await scene.connect();
  const second = await scene.connect();
  second.proved();
  const third = await scene.connect();
  assert.equal(await scene.isClosed(third.socket), true);
  assert.deepEqual(scene.warnings, ['connectionsMax']);
  first.socket.destroy();
  await until('one is open', () => scene.gate.counts().open <= 1);
  const fourth = await scene.connect();
  assert.equal(await scene.isClosed(fourth.socket), false);
  assert.deepEqual(scene.gate.counts(), { open: 2, unproved: 1, refused: 1, displaced: 0 });
});

test('one address has only its own number of connections', async () => {
  await using scene = await open({ connectionsPerAddressMax: 1 });
  await scene.connect('127.0.0.1');
  assert.equal(await scene.isClosed((await scene.connect('127.0.0.1')).socket), true);
  assert.equal(await scene.isClosed((await scene.connect('127.0.0.2')).socket), false);
});

test('in a rush, a client that waits for its turn keeps it; one that has been slow loses its place', async () => {
  await using scene = await open({ unprovedConnectionsMax: 2 });
  const first = await scene.connect();
  await scene.connect();
  const early = await scene.connect();
  assert.equal(await scene.isClosed(early.socket), true);
  scene.clock.advance(limits.unprovedSlowMs);
  const late = await scene.connect();
  assert.equal(await scene.isClosed(first.socket), true);
  assert.equal(await scene.isClosed(late.socket), false);
  assert.deepEqual(scene.gate.counts(), { open: 2, unproved: 2, refused: 1, displaced: 1 });
});

test('who has proved himself takes none of the places of strangers, and is never displaced', async () => {
  await using scene = await open({ unprovedConnectionsMax: 1 });
  const known = await scene.connect();
  known.proved();
  known.proved();
  scene.clock.advance(limits.unprovedSlowMs);
  for (let nth = 0; nth < 3; nth++) {
    await scene.connect();
    scene.clock.advance(limits.unprovedSlowMs);
  }
  assert.equal(await scene.isClosed(known.socket), false);
  assert.equal(scene.gate.counts().unproved, 1);
});

test('an address that has filled the places of strangers gives them to those of others', async () => {
  const max = limits.unprovedUnfairMin + 4;
  await using scene = await open({ unprovedConnectionsMax: max });
  const [oldest] = await Promise.all(Array.from({ length: max }, () => scene.connect('127.0.0.1')));
  const other = await scene.connect('127.0.0.2');
  assert.equal(await scene.isClosed(other.socket), false);
  const again = await scene.connect('127.0.0.1');
  assert.equal(await scene.isClosed(again.socket), true, 'not for its own');
  assert.equal(scene.gate.counts().displaced, 1);
  assert.ok(oldest.socket);
});

test('a TLS handshake that is never made counts, one that is made goes on to the door', async () => {
  await using scene = await open({ unprovedConnectionsMax: 1 }, true);
  const silent = await scene.connect();
  assert.deepEqual(scene.gate.counts(), { open: 1, unproved: 1, refused: 0, displaced: 0 });
  const refused = await scene.connect();
  assert.equal(await scene.isClosed(refused.socket), true);
  scene.clock.advance(limits.unprovedSlowMs);
  const client = tls.connect({ port: scene.port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(client, 'secureConnect');
  assert.equal(await scene.isClosed(silent.socket), true);
  client.destroy();
  await until('none is open', () => scene.gate.counts().open === 0);
  assert.equal(scene.gate.counts().unproved, 0);
});

test('one identity has its share of connections: of more, its oldest ends, and nobody else notices', async () => {
  await using scene = await open({ connectionsPerDeviceMax: 2, connectionsPerPolicyMax: 3 });
  const own: net.Socket[] = [];
  for (let nth = 0; nth < 3; nth++) {
    const { socket, proved } = await scene.connect();
    proved('device d1');
    own.push(socket);
  }
  assert.equal(await scene.isClosed(own[0]), true);
  await until('two are open', () => scene.gate.counts().open <= 2);
  const other = await scene.connect();
  other.proved('device d2');
  for (let nth = 0; nth < 3; nth++) (await scene.connect()).proved('policy service');
  assert.equal(await scene.isClosed(own[1]), false);
  assert.equal(await scene.isClosed(own[2]), false);
  assert.equal(await scene.isClosed(other.socket), false);
  assert.deepEqual(scene.warnings, ['connectionsPerDeviceMax']);
  // Places that are left count no more.
  own[1].destroy();
  await until('five are open', () => scene.gate.counts().open <= 5);
  (await scene.connect()).proved('device d1');
  assert.equal(await scene.isClosed(own[2]), false);
});

test('when all places are taken, who has said nothing for a while gives his to a newcomer, also of the same address', async () => {
  await using scene = await open({ connectionsMax: 2 });
  const silent = await scene.connect();
  const known = await scene.connect();
  known.proved();
  scene.clock.advance(limits.unprovedSilentMs);
  const newcomer = await scene.connect();
  assert.equal(await scene.isClosed(silent.socket), true);
  assert.equal(await scene.isClosed(newcomer.socket), false);
  assert.equal(await scene.isClosed(known.socket), false);
});

test('large certificate chains on which nobody is proved are few: the oldest gives way, also with an unfinished handshake', async () => {
  await using scene = await open({}, true);
  const chain = await Promise.all(
    Array.from({ length: 60 }, (_, nth) => makeAuthority(`c${nth}`, Date.now(), systemRandom)),
  );
  const context = tls.createSecureContext({
    cert: chain.map(({ cert }) => cert).join(''),
    key: chain[0].key,
  });
  const connectLarge = async (): Promise<tls.TLSSocket> => {
    const socket = tls.connect({
      port: scene.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      secureContext: context,
    });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };
  const plain = tls.connect({ port: scene.port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(plain, 'secureConnect');
  const large: tls.TLSSocket[] = [];
  for (let nth = 0; nth < limits.tlsLargeHandshakesMax + 3; nth++) large.push(await connectLarge());
  const beyond = 3;
  await until('those beyond are closed', () => scene.gate.counts().open <= limits.tlsLargeHandshakesMax + 1);
  for (const socket of large.slice(0, beyond)) assert.equal(await scene.isClosed(socket), true);
  for (const socket of [...large.slice(beyond), plain]) assert.equal(await scene.isClosed(socket), false);
  for (const socket of [...large, plain]) socket.destroy();
});
