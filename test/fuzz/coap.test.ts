/** What strangers send to the CoAP ports: refused by its own kind of error, soon; what is read writes as what was read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DtlsServer } from '../../src/adapters/coap/dtls/server.ts';
import { systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { decodeBlock } from '../../src/wire/coap/blocks.ts';
import { decodeDatagram, encodeDatagram } from '../../src/wire/coap/datagram.ts';
import { type CoapMessage, MalformedCoap } from '../../src/wire/coap/messages.ts';
import { decodeOscoreOption, encodeOscoreOption, nonceOf, seal, unseal } from '../../src/wire/coap/oscore.ts';
import { encodeStream, StreamReader } from '../../src/wire/coap/stream.ts';
import { readClientHello, readFragments } from '../../src/wire/dtls/handshake.ts';
import { DtlsClient } from '../drivers/dtls-client.ts';
import { type Chance, campaign } from './campaign.ts';
import { damagedBytes } from './mutate.ts';

const SECONDS = 1;

/** A message of any options, most of them such as clients send. */
function message(chance: Chance): CoapMessage {
  return {
    code: chance.once(4) ? chance.below(256) || 1 : chance.pick([1, 2, 3, 4, 0x45]),
    token: chance.bytes(chance.below(9)),
    options: Array.from({ length: chance.below(8) }, () => ({
      number: chance.once(4) ? chance.below(65_536) : chance.pick([3, 6, 8, 9, 11, 12, 15, 23, 27, 60, 292]),
      value: chance.bytes(chance.below(chance.once(6) ? limits.coapOptionBytesMax + 1 : 12)),
    })).sort((a, b) => a.number - b.number),
    payload: chance.bytes(chance.once(8) ? chance.below(900) : chance.below(40)),
  };
}

function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof MalformedCoap, String(error));
    return undefined;
  }
}

test('datagrams: what is whole comes back, what is damaged is refused or is another message', async () => {
  const { inputs } = await campaign('coap datagrams', SECONDS, (chance) => {
    const sent = { ...message(chance), type: chance.below(4), messageId: chance.below(65_536) };
    const bytes = encodeDatagram(sent);
    assert.deepEqual(decodeDatagram(bytes), sent);
    const read = refusedOr(() => decodeDatagram(damagedBytes(chance, bytes)));
    if (read === undefined) return;
    assert.ok(read.options.length <= limits.coapOptionsMax && read.token.length <= 8);
    for (const option of read.options) decodeBlock(option.value);
    assert.deepEqual(decodeDatagram(encodeDatagram(read)), read);
  });
  assert.ok(inputs > 0);
});

test('streams, cut anywhere', async () => {
  const { inputs } = await campaign('coap streams', SECONDS, (chance) => {
    const sent = Array.from({ length: 1 + chance.below(4) }, () => message(chance)).filter(
      (one) => encodeStream(one).length < limits.coapStreamMessageBytesMax,
    );
    const whole = Buffer.concat(sent.map(encodeStream));
    const read: CoapMessage[] = [];
    const isDamaged = chance.once(2);
    const bytes = isDamaged ? damagedBytes(chance, whole) : whole;
    const reader = new StreamReader();
    refusedOr(() => {
      for (let at = 0; at < bytes.length; ) {
        const next = at + 1 + chance.below(40);
        for (const one of reader.read(Buffer.from(bytes.subarray(at, next)))) read.push(one);
        at = next;
      }
    });
    if (!isDamaged) assert.deepEqual(read, sent);
  });
  assert.ok(inputs > 0);
});

test('OSCORE options and DTLS handshakes are read or refused, and kept within their bounds', async () => {
  const key = Buffer.alloc(16, 7);
  const { inputs } = await campaign('coap protections', SECONDS, (chance) => {
    const value = chance.bytes(chance.below(chance.once(5) ? 255 : 20));
    const option = refusedOr(() => decodeOscoreOption(value));
    if (option !== undefined) assert.deepEqual(decodeOscoreOption(encodeOscoreOption(option)), option);
    const id = { kid: chance.bytes(chance.below(8)), number: chance.bytes(1 + chance.below(5)) };
    const nonce = nonceOf(Buffer.alloc(13, 3), id.kid, id.number);
    const sealed = seal(key, nonce, id, { ...message(chance), code: 1 });
    assert.notEqual(unseal(key, nonce, id, sealed), undefined);
    const damaged = damagedBytes(chance, sealed);
    if (!damaged.equals(sealed)) assert.equal(unseal(key, nonce, id, damaged), undefined);
    for (const fragment of readFragments(chance.bytes(chance.below(200)))) readClientHello(fragment.body);
    readClientHello(chance.bytes(chance.below(120)));
  });
  assert.ok(inputs > 0);
});

test('a DTLS server that is sent damaged datagrams of a client goes on, and serves the next one', async () => {
  const key = Buffer.alloc(32, 9);
  const clients = new Map<number, DtlsClient>();
  let received = 0;
  const server = new DtlsServer({
    clock: systemClock,
    keyOf: async (identity) => (identity === 'd' ? key : undefined),
    established: () => {},
    received: () => received++,
    ended: () => {},
    count: () => {},
    send: (bytes, _peer, port) => {
      const copy = Buffer.from(bytes);
      queueMicrotask(() => clients.get(port)?.receive(copy));
    },
  });
  /** A client that says one thing; what it sends is damaged once in so many times. */
  const talk = async (port: number, chance: Chance | undefined): Promise<void> => {
    const send = (datagram: Buffer): void => {
      const isDamaged = chance?.once(3) === true;
      server.receive(isDamaged ? damagedBytes(chance, Buffer.from(datagram)) : Buffer.from(datagram), '::1', port);
    };
    const client = new DtlsClient({ identity: 'd', key, send });
    clients.set(port, client);
    client.begin();
    for (let turns = 0; turns < 3; turns++) await turn();
    if (client.isEstablished) client.send(Buffer.from('x'));
    if (chance === undefined) assert.ok(client.isEstablished);
    for (let more = 0; more < 3 && chance !== undefined; more++)
      server.receive(chance.bytes(chance.below(120)), '::1', port);
    clients.delete(port);
  };
  const { inputs } = await campaign('dtls server', SECONDS, (chance, input) => talk(input % 40, chance));
  assert.ok(inputs > 0 && server.sessions <= 40 && server.handshakes <= 40);
  const before = received;
  await talk(1000, undefined);
  assert.equal(received, before + 1);
  server.stop();
});
