import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqttPacket from 'mqtt-packet';
import { connectPacket, publishPacket, ShortPacketReader } from './mqtt-packets.ts';

test('an independent codec reads the packets as they were meant', () => {
  const seen: mqttPacket.Packet[] = [];
  const parser = mqttPacket.parser();
  parser.on('packet', (packet: mqttPacket.Packet) => seen.push(packet));
  parser.parse(
    connectPacket({ clientId: 'd1', username: 'u', password: 'p', cleanSession: true, keepAliveSeconds: 300 }),
  );
  parser.parse(publishPacket('devices/d1/messages/events/', Buffer.alloc(20_000, 7), 1, 513));
  const [connect, publish] = seen;
  assert.equal(connect.cmd, 'connect');
  assert.deepEqual(
    connect.cmd === 'connect' && [connect.clientId, connect.username, String(connect.password), connect.keepalive],
    ['d1', 'u', 'p', 300],
  );
  assert.ok(publish.cmd === 'publish');
  assert.equal(publish.topic, 'devices/d1/messages/events/');
  assert.equal(publish.messageId, 513);
  assert.equal(publish.qos, 1);
  assert.equal(publish.payload.length, 20_000);
});

test('acknowledgements are found wherever the stream is cut', () => {
  const stream = Buffer.from([0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xd0, 0, 0x40, 2, 1, 2, 0x40, 2, 255, 255]);
  for (let first = 0; first <= stream.length; first++) {
    for (let second = first; second <= stream.length; second++) {
      const reader = new ShortPacketReader();
      const seen: string[] = [];
      const to = { connack: (code: number) => seen.push(`c${code}`), puback: (id: number) => seen.push(`p${id}`) };
      for (const part of [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)]) {
        reader.take(part, part.length, to);
      }
      assert.deepEqual(seen, ['c0', 'p1', 'p258', 'p65535'], `cut at ${first} and ${second}`);
    }
  }
});
