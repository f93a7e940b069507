/** The DTLS server by a client of its own: datagrams that are lost, late, repeated, forged. Foreign clients: `foreign.test.ts`. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DtlsServer } from '../../src/adapters/coap/dtls/server.ts';
import type { DtlsSession } from '../../src/adapters/coap/dtls/session.ts';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { alerts } from '../../src/wire/dtls/handshake.ts';
import { suites } from '../../src/wire/dtls/suites.ts';
import { DtlsClient, type DtlsClientOptions } from '../drivers/dtls-client.ts';

const KEY = randomBytes(32);

/** A server, and a net between that the test looks into. */
class Net {
  readonly clock = new VirtualClock();
  readonly received: { session: DtlsSession; text: string }[] = [];
  readonly established: DtlsSession[] = [];
  readonly ended: DtlsSession[] = [];
  /** Bytes to and from each port. */
  readonly to = new Map<number, number>();
  readonly from = new Map<number, number>();
  /** Says of each datagram whether it arrives. */
  arrives: (direction: 'up' | 'down', datagram: Buffer) => boolean = () => true;
  readonly #clients = new Map<number, DtlsClient>();
  readonly server = new DtlsServer({
    clock: this.clock,
    keyOf: async (identity) => (identity === 'meter-1' ? KEY : undefined),
    established: (session) => void this.established.push(session),
    received: (session, bytes) => void this.received.push({ session, text: bytes.toString() }),
    ended: (session) => void this.ended.push(session),
    count: () => {},
    send: (bytes, _peer, port) => {
      this.to.set(port, (this.to.get(port) ?? 0) + bytes.length);
      if (!this.arrives('down', bytes)) return;
      const copy = Buffer.from(bytes);
      queueMicrotask(() => this.#clients.get(port)?.receive(copy));
    },
  });

  up(port: number, datagram: Buffer, peer = '192.0.2.1'): void {
    this.from.set(port, (this.from.get(port) ?? 0) + datagram.length);
    if (this.arrives('up', datagram)) this.server.receive(Buffer.from(datagram), peer, port);
  }

  client(port: number, options: Partial<DtlsClientOptions> = {}): DtlsClient {
    const client = new DtlsClient({
      identity: 'meter-1',
      key: KEY,
      send: (datagram) => this.up(port, datagram),
      ...options,
    });
    this.#clients.set(port, client);
    return client;
  }

  /** Lets everything arrive that is on its way. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < 8; turns++) await turn();
  }

  async connected(port: number, options: Partial<DtlsClientOptions> = {}): Promise<DtlsClient> {
    const client = this.client(port, options);
    client.begin();
    await this.settle();
    assert.ok(client.isEstablished);
    return client;
  }
}

for (const { id, name } of suites)
  for (const hasExtendedMasterSecret of [true, false])
    test(`${name}, ${hasExtendedMasterSecret ? 'with' : 'without'} an extended master secret`, async () => {
      const net = new Net();
      const client = await net.connected(1000, { suite: id, hasExtendedMasterSecret });
      client.send(Buffer.from('up'));
      assert.deepEqual(
        net.received.map(({ text }) => text),
        ['up'],
      );
      net.established[0].send(Buffer.from('down'));
      await net.settle();
      assert.deepEqual(client.received.map(String), ['down']);
      assert.equal(net.established[0].proved?.identity, 'meter-1');
    });

test('an address that has shown no cookie of its own leaves nothing behind and is sent less than it has sent', async () => {
  const net = new Net();
  const hellos: Buffer[] = [];
  for (let port = 1; port <= 2000; port++) {
    net.client(port, { send: (datagram) => hellos.push(datagram) }).begin();
    net.arrives = (direction) => direction === 'up';
    net.up(port, hellos.pop()!);
    assert.ok(net.to.get(port)! <= net.from.get(port)!, `${net.to.get(port)} for ${net.from.get(port)}`);
  }
  assert.equal(net.server.handshakes, 0);
  // A cookie of another address is none.
  net.arrives = () => true;
  const other: Buffer[] = [];
  const client = net.client(7, { send: (datagram) => other.push(datagram) });
  client.begin();
  net.up(7, other[0]);
  await net.settle();
  assert.equal(other.length, 2, 'the client has its cookie');
  net.up(8, other[1]);
  assert.equal(net.server.handshakes, 0);
  net.up(7, other[1]);
  assert.equal(net.server.handshakes, 1);
  // An old one neither.
  net.clock.advance(3 * limits.dtlsCookieMs);
  const late = net.client(9, { send: (datagram) => other.push(datagram) });
  late.begin();
  net.up(9, other.pop()!);
  await net.settle();
  const withCookie = other.pop()!;
  for (const pause of [limits.dtlsCookieMs, limits.dtlsCookieMs, limits.dtlsCookieMs]) {
    net.clock.advance(pause + 1);
    net.client(10, { send: (datagram) => net.up(10, datagram) }).begin();
    await net.settle();
  }
  const before = net.server.handshakes;
  net.up(9, withCookie);
  assert.equal(net.server.handshakes, before);
});

test('whichever single datagram is lost, the handshake ends well', async () => {
  for (let lost = 0; lost < 9; lost++) {
    const net = new Net();
    let number = 0;
    net.arrives = () => number++ !== lost;
    const client = net.client(1000);
    client.begin();
    await net.settle();
    for (let again = 0; again < 3 && !client.isEstablished; again++) {
      net.clock.advance(2 * limits.dtlsFlightMs);
      await net.settle();
      if (!client.isEstablished) client.resend();
      await net.settle();
    }
    assert.ok(client.isEstablished, `without datagram ${lost}`);
    client.send(Buffer.from('x'));
    assert.equal(net.received.length, 1);
  }
});

test('handshake messages in pieces, in the wrong order, and twice', async () => {
  const net = new Net();
  await net.connected(1, { fragmentBytes: 60, identity: 'meter-1' }).catch(() => undefined);
  assert.equal(net.server.handshakes, 0, 'a ClientHello in pieces is not kept');
  const held: Buffer[] = [];
  let isHeld = false;
  const client = net.client(2, { send: (datagram) => (isHeld ? held.push(datagram) : net.up(2, datagram)) });
  net.arrives = (direction, datagram) => {
    // From the ServerHello on.
    if (direction === 'down' && datagram[13] === 2) isHeld = true;
    return true;
  };
  client.begin();
  await net.settle();
  assert.equal(held.length, 3, 'key exchange, change of cipher, finished');
  isHeld = false;
  net.arrives = () => true;
  for (const datagram of [...held.toReversed(), ...held]) {
    net.up(2, datagram);
    await net.settle();
  }
  client.resend();
  await net.settle();
  assert.ok(client.isEstablished);
  assert.equal(net.established.length, 1);
});

test('a wrong key and an identity that nobody has look the same', async () => {
  const seen: unknown[] = [];
  for (const options of [{ key: randomBytes(32) }, { identity: 'nobody' }]) {
    const net = new Net();
    const client = net.client(1000, options);
    client.begin();
    await net.settle();
    for (let again = 0; again < limits.dtlsBrokenRecordsMax; again++) {
      client.resend();
      await net.settle();
    }
    assert.equal(client.isEstablished, false);
    assert.equal(net.server.handshakes, 0);
    assert.deepEqual(net.established, []);
    seen.push([client.alerts, net.to.get(1000)]);
  }
  assert.deepEqual(seen[0], seen[1]);
  assert.deepEqual((seen[0] as [number[]])[0], [alerts.decryptError]);
});

test('a record counts once; a broken or forged one changes nothing', async () => {
  const net = new Net();
  const sent: Buffer[] = [];
  const send = (datagram: Buffer): void => {
    sent.push(datagram);
    net.up(1000, datagram);
  };
  const client = await net.connected(1000, { send });
  for (let number = 0; number < 10; number++) client.send(Buffer.from(`m${number}`));
  for (const datagram of sent) net.up(1000, datagram);
  assert.deepEqual(
    net.received.map(({ text }) => text),
    Array.from({ length: 10 }, (_, at) => `m${at}`),
  );
  const last = sent.at(-1)!;
  for (let at = 0; at < last.length; at++) {
    const broken = Buffer.from(last);
    broken[at] ^= 0x10;
    net.up(1000, broken);
  }
  // Alerts and hellos of who does not have the keys.
  net.up(1000, Buffer.from('15fefd00000000000000070002022a', 'hex'));
  net.up(1000, Buffer.from('15fefd000100000000000f0002022a', 'hex'));
  client.send(Buffer.from('still'));
  assert.equal(net.received.at(-1)?.text, 'still');
  assert.equal(net.received.length, 11);
});

test('a session lives until the same address has completed another one', async () => {
  const net = new Net();
  const first = await net.connected(1000);
  const [session] = net.established;
  const silent: Buffer[] = [];
  const stranger = new DtlsClient({ identity: 'meter-1', key: randomBytes(32), send: (one) => void silent.push(one) });
  stranger.begin();
  net.up(1000, silent[0]);
  await net.settle();
  first.send(Buffer.from('here'));
  assert.equal(net.received.at(-1)?.text, 'here');
  assert.deepEqual(net.ended, []);
  const second = await net.connected(1000);
  assert.deepEqual(net.ended, [session]);
  second.send(Buffer.from('new'));
  assert.equal(net.received.at(-1)?.session, net.established[1]);
  assert.equal(net.server.sessions, 1);
});

test('a close is answered; a silent session, and one of a revoked key, is closed', async () => {
  const net = new Net();
  const client = await net.connected(1000);
  client.close();
  await net.settle();
  assert.deepEqual(client.alerts, [alerts.closeNotify]);
  assert.equal(net.server.sessions, 0);
  const silent = await net.connected(1001);
  net.clock.advance(limits.dtlsSessionIdleMs + 1);
  const busy = await net.connected(1002);
  net.server.sweep();
  await net.settle();
  assert.deepEqual([silent.alerts, busy.alerts], [[alerts.closeNotify], []]);
  net.server.revoked('meter-1');
  await net.settle();
  assert.deepEqual(busy.alerts, [alerts.closeNotify]);
  assert.equal(net.server.sessions, 0);
});

test('sessions of one identity are bounded: another one ends the one of it that was silent longest', async () => {
  const net = new Net();
  const clients: DtlsClient[] = [];
  for (let port = 0; port < limits.dtlsSessionsPerIdentityMax; port++) {
    clients.push(await net.connected(port));
    net.clock.advance(1000);
  }
  clients[0].send(Buffer.from('still here'));
  const last = await net.connected(3000);
  await net.settle();
  assert.equal(net.server.sessions, limits.dtlsSessionsPerIdentityMax);
  assert.deepEqual([clients[0].alerts, clients[1].alerts, last.alerts], [[], [alerts.closeNotify], []]);
  net.server.revoked('meter-1');
  assert.equal(net.server.sessions, 0);
});

test('handshakes of one address and of all are bounded, and end by themselves', async () => {
  const net = new Net();
  // Clients that answer the cookie, and no more.
  const begin = (port: number): void => {
    let sent = 0;
    const client = net.client(port, { send: (datagram) => ++sent <= 2 && net.up(port, datagram) });
    client.begin();
  };
  for (let port = 1; port <= limits.dtlsHandshakesPerAddressMax + 20; port++) begin(port);
  await net.settle();
  assert.equal(net.server.handshakes, limits.dtlsHandshakesPerAddressMax);
  for (let step = 0; step < 80; step++) net.clock.advance(limits.dtlsFlightMs);
  assert.equal(net.server.handshakes, 0);
  assert.equal((await net.connected(5000)).isEstablished, true);
});
