import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { decodePacket } from './decode.ts';
import { PacketReader } from './packet-reader.ts';
import { type ClientPacket, MalformedPacket } from './packets.ts';

/** Decodes bytes that hold exactly one packet. */
function decode(bytes: Buffer): ClientPacket {
  const reader = new PacketReader();
  reader.push(bytes);
  assert.ok(reader.next(2 ** 20), 'one whole packet');
  assert.equal(reader.end, bytes.length, 'nothing behind it');
  return decodePacket(reader.bytes, reader.start, reader.body, reader.end);
}

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};
const packet = (first: number, ...parts: readonly (Buffer | readonly number[])[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  assert.ok(body.length < 128);
  return Buffer.concat([Buffer.from([first, body.length]), body]);
};
const connect = (flags: number, ...rest: readonly (Buffer | readonly number[])[]): Buffer =>
  packet(0x10, text('MQTT'), [4, flags, 0, 60], ...rest);

test('a CONNECT as the Node device SDK sends it', () => {
  const bytes = mqttPacket.generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: false,
    keepalive: 180,
    clientId: 'd1',
    username: 'localhost/d1/?api-version=2021-04-12',
    password: Buffer.from('SharedAccessSignature sr=x'),
  });
  assert.deepEqual(decode(bytes), {
    kind: 'connect',
    cleanSession: false,
    keepAliveSeconds: 180,
    clientId: 'd1',
    will: undefined,
    userName: 'localhost/d1/?api-version=2021-04-12',
    password: Buffer.from('SharedAccessSignature sr=x'),
  });
});

test('a CONNECT of another version is told apart without reading on', () => {
  assert.deepEqual(decode(packet(0x10, text('MQTT'), [5, 0x02])), {
    kind: 'foreignConnect',
    protocolName: 'MQTT',
    level: 5,
  });
  assert.deepEqual(decode(packet(0x10, text('MQIsdp'), [3])), {
    kind: 'foreignConnect',
    protocolName: 'MQIsdp',
    level: 3,
  });
});

const malformed: Readonly<Record<string, Buffer>> = {
  'CONNECT with its reserved flag': connect(0x03, text('d1')),
  'CONNECT with a will QoS and no will': connect(0x0a, text('d1')),
  'CONNECT with will retain and no will': connect(0x22, text('d1')),
  'CONNECT with will QoS 3': connect(0x1e, text('d1'), text('t'), text('p')),
  'CONNECT with a password and no user name': connect(0x42, text('d1'), text('p')),
  'CONNECT with an empty will topic': connect(0x06, text('d1'), text(''), text('p')),
  'CONNECT that ends before its user name': connect(0x82, text('d1')),
  'CONNECT with bytes behind its last field': connect(0x02, text('d1'), [0]),
  'CONNECT with header flags': Buffer.concat([Buffer.from([0x11]), connect(0x02, text('d1')).subarray(1)]),
  'CONNECT whose client id is not UTF-8': connect(0x02, [0, 2, 0xc3, 0x28]),
  'CONNECT whose client id is an encoded surrogate': connect(0x02, [0, 3, 0xed, 0xa0, 0x80]),
  'CONNECT whose client id holds U+0000': connect(0x02, [0, 1, 0]),
  'PUBLISH at QoS 3': packet(0x36, text('t'), [0, 1]),
  'PUBLISH at QoS 0 with DUP': packet(0x38, text('t')),
  'PUBLISH at QoS 1 with packet id 0': packet(0x32, text('t'), [0, 0]),
  'PUBLISH at QoS 1 without a packet id': packet(0x32, text('t')),
  'PUBLISH with an empty topic': packet(0x30, text('')),
  'PUBLISH whose topic is longer than the packet': packet(0x30, [0, 9, 116]),
  'PUBLISH without anything': packet(0x30),
  'PUBACK with packet id 0': packet(0x40, [0, 0]),
  'PUBACK with three bytes': packet(0x40, [0, 1, 0]),
  'PUBREL without its flag': packet(0x60, [0, 1]),
  'SUBSCRIBE without its flag': packet(0x80, [0, 1], text('t'), [0]),
  'SUBSCRIBE without a filter': packet(0x82, [0, 1]),
  'SUBSCRIBE with packet id 0': packet(0x82, [0, 0], text('t'), [0]),
  'SUBSCRIBE with an empty filter': packet(0x82, [0, 1], text(''), [0]),
  'SUBSCRIBE without a QoS': packet(0x82, [0, 1], text('t')),
  'SUBSCRIBE with QoS 3': packet(0x82, [0, 1], text('t'), [3]),
  'SUBSCRIBE with reserved bits': packet(0x82, [0, 1], text('t'), [4]),
  'UNSUBSCRIBE without its flag': packet(0xa0, [0, 1], text('t')),
  'UNSUBSCRIBE without a filter': packet(0xa2, [0, 1]),
  'PINGREQ with a body': packet(0xc0, [0]),
  'PINGREQ with flags': packet(0xc1),
  'DISCONNECT with a body': packet(0xe0, [0]),
  CONNACK: packet(0x20, [0, 0]),
  SUBACK: packet(0x90, [0, 1, 0]),
  PINGRESP: packet(0xd0),
  'type 0': packet(0x00),
  'type 15': packet(0xf0),
};
for (const [name, bytes] of Object.entries(malformed)) {
  test(`refused as malformed: ${name}`, () => {
    assert.throws(() => decode(bytes), MalformedPacket);
  });
}

// U+0000 may not occur in MQTT text, and lone surrogates have no UTF-8.
const mqttText = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((value) => !value.includes('\0'));
const topic = mqttText.filter((value) => value !== '');
const bytes = fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value));
const packetId = fc.integer({ min: 1, max: 0xffff });
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);

test('whatever the mqtt-packet library encodes is decoded to the same values', () => {
  const packets: fc.Arbitrary<Packet> = fc.oneof(
    fc.record({
      cmd: fc.constant('publish' as const),
      topic,
      payload: bytes,
      qos,
      messageId: packetId,
      retain: fc.boolean(),
      dup: fc.constant(false),
    }),
    fc.record({
      cmd: fc.constant('subscribe' as const),
      messageId: packetId,
      subscriptions: fc.array(fc.record({ topic, qos }), { minLength: 1, maxLength: 9 }),
    }),
    fc.record({
      cmd: fc.constant('unsubscribe' as const),
      messageId: packetId,
      unsubscriptions: fc.array(topic, { minLength: 1, maxLength: 9 }),
    }),
    fc.record({ cmd: fc.constantFrom('puback' as const, 'pubrec' as const, 'pubrel' as const), messageId: packetId }),
    fc.record({
      cmd: fc.constant('connect' as const),
      clientId: topic,
      clean: fc.boolean(),
      keepalive: fc.integer({ min: 0, max: 0xffff }),
      username: topic,
      password: bytes.filter((value) => value.length > 0),
      will: fc.record({ topic, payload: bytes.filter((value) => value.length > 0), qos, retain: fc.boolean() }),
    }),
  );
  fc.assert(
    fc.property(packets, (sent) => {
      const got = decode(mqttPacket.generate(sent));
      switch (got.kind) {
        case 'publish':
          assert.ok(sent.cmd === 'publish');
          assert.deepEqual(
            [got.topic, got.qos, got.retain, got.packetId, Buffer.from(got.payload)],
            [sent.topic, sent.qos, sent.retain, sent.qos === 0 ? 0 : sent.messageId, sent.payload],
          );
          return;
        case 'subscribe':
          assert.ok(sent.cmd === 'subscribe');
          assert.deepEqual(
            got.requests,
            sent.subscriptions.map((one) => ({ filter: one.topic, qos: one.qos })),
          );
          return;
        case 'unsubscribe':
          assert.ok(sent.cmd === 'unsubscribe');
          assert.deepEqual(got.filters, sent.unsubscriptions);
          return;
        case 'connect':
          assert.ok(sent.cmd === 'connect');
          assert.deepEqual(
            [got.clientId, got.cleanSession, got.keepAliveSeconds, got.userName, got.password],
            [sent.clientId, sent.clean, sent.keepalive, sent.username, sent.password],
          );
          assert.deepEqual({ ...got.will }, { ...sent.will });
          return;
        default:
          assert.deepEqual(got, { kind: sent.cmd, packetId: sent.messageId });
      }
    }),
  );
});

test('arbitrary bytes are a packet or malformed, never anything else', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 127 }), (first, body) => {
      try {
        decode(Buffer.concat([Buffer.from([first, body.length]), body]));
      } catch (error) {
        assert.ok(error instanceof MalformedPacket, String(error));
      }
    }),
    { numRuns: 5000 },
  );
});
