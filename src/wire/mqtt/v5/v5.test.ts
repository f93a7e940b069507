import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { limits } from '../../../base/limits.ts';
import { PacketReader } from '../packet-reader.ts';
import { MalformedPacket } from '../packets.ts';
import { type ClientPacket5, decodePacket5 } from './decode.ts';
import { acknowledgement, connackAccepted, connackRefused, disconnect, publish, subscribed } from './encode.ts';

function decode(bytes: Buffer): ClientPacket5 {
  const reader = new PacketReader();
  reader.push(bytes);
  assert.ok(reader.next(limits.mqttPacketBytesMax));
  return decodePacket5(reader.bytes, reader.start, reader.body, reader.end);
}

const generated = (packet: Packet): Buffer => mqttPacket.generate(packet, { protocolVersion: 5 });

/** What the mqtt-packet library reads from our bytes. */
function parse(bytes: Buffer): Packet {
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  const packets: Packet[] = [];
  parser.on('packet', (packet) => packets.push(packet));
  parser.on('error', (error) => assert.fail(error));
  assert.equal(parser.parse(bytes), 0);
  assert.equal(packets.length, 1);
  return packets[0];
}

test('a CONNECT of the mqtt-packet library is read with its properties and its will', () => {
  const packet = decode(
    generated({
      cmd: 'connect',
      clientId: 'z2m',
      protocolVersion: 5,
      clean: false,
      keepalive: 60,
      username: 'u',
      password: Buffer.from('p'),
      properties: {
        sessionExpiryInterval: 3600,
        receiveMaximum: 7,
        maximumPacketSize: 900,
        userProperties: { a: ['1', '2'] },
      },
      will: {
        topic: 'x/bridge/state',
        payload: Buffer.from('offline'),
        qos: 1,
        retain: true,
        properties: { willDelayInterval: 5 },
      },
    }),
  );
  assert.ok(packet.kind === 'connect');
  assert.deepEqual(
    [packet.clientId, packet.cleanSession, packet.keepAliveSeconds, packet.userName, String(packet.password)],
    ['z2m', false, 60, 'u', 'p'],
  );
  assert.deepEqual(packet.properties, {
    sessionExpirySeconds: 3600,
    receiveMax: 7,
    packetBytesMax: 900,
    user: [
      ['a', '1'],
      ['a', '2'],
    ],
  });
  assert.deepEqual(packet.willProperties, { willDelaySeconds: 5 });
  assert.deepEqual(
    { ...packet.will, payload: String(packet.will?.payload) },
    { topic: 'x/bridge/state', payload: 'offline', qos: 1, retain: true },
  );
});

test('PUBLISH, SUBSCRIBE, UNSUBSCRIBE, acknowledgements and DISCONNECT of the library are read', () => {
  const published = decode(
    generated({
      cmd: 'publish',
      topic: 'a/b',
      payload: 'x',
      qos: 2,
      dup: true,
      retain: true,
      messageId: 9,
      properties: { contentType: 'application/json', messageExpiryInterval: 4 },
    }),
  );
  assert.ok(published.kind === 'publish');
  assert.deepEqual(
    [
      published.topic,
      published.qos,
      published.duplicate,
      published.retain,
      published.packetId,
      String(published.payload),
      published.properties,
    ],
    ['a/b', 2, true, true, 9, 'x', { contentType: 'application/json', messageExpirySeconds: 4 }],
  );
  assert.deepEqual(
    decode(generated({ cmd: 'subscribe', messageId: 3, subscriptions: [{ topic: 'a/#', qos: 1, nl: true, rh: 2 }] })),
    {
      kind: 'subscribe',
      packetId: 3,
      requests: [{ filter: 'a/#', qos: 1, noLocal: true, retainHandling: 2 }],
      properties: {},
    },
  );
  assert.deepEqual(decode(generated({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['a', 'b'] })), {
    kind: 'unsubscribe',
    packetId: 3,
    filters: ['a', 'b'],
  });
  assert.deepEqual(decode(generated({ cmd: 'puback', messageId: 4, reasonCode: 0x10 })), {
    kind: 'puback',
    packetId: 4,
    reason: 0x10,
  });
  assert.deepEqual(decode(generated({ cmd: 'pubrel', messageId: 4, reasonCode: 0 })), {
    kind: 'pubrel',
    packetId: 4,
    reason: 0,
  });
  assert.deepEqual(decode(generated({ cmd: 'disconnect', reasonCode: 4 })), { kind: 'disconnect', reason: 4 });
  assert.deepEqual(decode(Buffer.from([0xe0, 0])), { kind: 'disconnect', reason: 0 });
});

test('what the server sends is read by the library', () => {
  const accepted = parse(
    connackAccepted({ sessionPresent: true, receiveMax: 64, packetBytesMax: 1000, assignedClientId: 'auto-1' }),
  );
  assert.ok(accepted.cmd === 'connack');
  assert.deepEqual([accepted.sessionPresent, accepted.reasonCode], [true, 0]);
  assert.deepEqual(
    { ...accepted.properties },
    {
      receiveMaximum: 64,
      maximumPacketSize: 1000,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      assignedClientIdentifier: 'auto-1',
    },
  );
  const refused = parse(connackRefused(0x86));
  assert.ok(refused.cmd === 'connack' && refused.reasonCode === 0x86);
  const closed = parse(disconnect(0x8e));
  assert.ok(closed.cmd === 'disconnect' && closed.reasonCode === 0x8e);
  const acked = parse(acknowledgement('pubrec', 258, 0x97));
  assert.ok(acked.cmd === 'pubrec' && acked.messageId === 258 && acked.reasonCode === 0x97);
  const granted = parse(subscribed('suback', 5, [0, 1, 0x9e]));
  assert.ok(granted.cmd === 'suback');
  assert.deepEqual(granted.granted, [0, 1, 0x9e]);
  const sent = parse(
    publish({
      topic: 'cmnd/ü/POWER',
      payload: Buffer.alloc(300, 65),
      retain: false,
      duplicate: true,
      packetId: 77,
      user: [['a', 'b']],
    }),
  );
  assert.ok(sent.cmd === 'publish');
  assert.deepEqual(
    [sent.topic, sent.qos, sent.dup, sent.messageId, sent.payload.length, { ...sent.properties?.userProperties }],
    ['cmnd/ü/POWER', 1, true, 77, 300, { a: 'b' }],
  );
});

const malformed: readonly (readonly [what: string, bytes: Buffer, rule: RegExp])[] = [
  [
    'topic alias',
    generated({
      cmd: 'publish',
      topic: '',
      payload: '',
      qos: 0,
      dup: false,
      retain: false,
      properties: { topicAlias: 1 },
    }),
    /topic alias/,
  ],
  ['empty topic', Buffer.from([0x30, 3, 0, 0, 0]), /empty topic/],
  ['AUTH', Buffer.from([0xf0, 2, 0x18, 0]), /AUTH/],
  ['a property of another packet', Buffer.from([0x30, 7, 0, 1, 97, 3, 0x21, 0, 1]), /property 33/],
  ['a property twice', Buffer.from([0x30, 8, 0, 1, 97, 4, 1, 0, 1, 0]), /twice/],
  ['properties longer than the packet', Buffer.from([0x30, 4, 0, 1, 97, 9]), /ends within a field/],
  [
    'many bytes of properties',
    Buffer.concat([Buffer.from([0x30, 0x06, 0, 1, 97, 0x80, 0x80, 0x02])]),
    /bytes of properties/,
  ],
  [
    'many user properties',
    Buffer.concat([
      Buffer.from([
        0x30,
        0x80 | ((5 + 5 * 65) & 0x7f),
        (5 + 5 * 65) >> 7,
        0,
        1,
        97,
        0x80 | ((5 * 65) & 0x7f),
        (5 * 65) >> 7,
      ]),
      Buffer.concat(Array.from({ length: 65 }, () => Buffer.from([0x26, 0, 0, 0, 0]))),
    ]),
    /more user properties/,
  ],
  ['reserved subscription options', Buffer.from([0x82, 7, 0, 1, 0, 0, 1, 97, 0xc0]), /reserved subscription options/],
  [
    'receive maximum 0',
    Buffer.from([0x10, 16, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 0, 3, 0x21, 0, 0, 0, 0]),
    /receive maximum/,
  ],
];

for (const [what, bytes, rule] of malformed) {
  test(`malformed and named: ${what}`, () => {
    assert.throws(
      () => decode(bytes),
      (error) => error instanceof MalformedPacket && rule.test(error.message),
    );
  });
}

test('whatever bytes come, a packet is decoded or MalformedPacket is thrown', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 80 }), (first, rest) => {
      const bytes = Buffer.concat([Buffer.from([first, rest.length]), rest]);
      try {
        decodePacket5(bytes, 0, 2, bytes.length);
      } catch (error) {
        assert.ok(error instanceof MalformedPacket, String(error));
      }
    }),
    { numRuns: 5000 },
  );
});
