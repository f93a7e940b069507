import assert from 'node:assert/strict';
import { test } from 'node:test';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { connack, pingresp, puback, publishAtLeastOnce, publishAtMostOnce, suback, unsuback } from './encode.ts';

/** What the mqtt-packet library reads from our bytes. */
function parse(bytes: Buffer): Packet {
  const parser = mqttPacket.parser({ protocolVersion: 4 });
  const packets: Packet[] = [];
  parser.on('packet', (packet) => packets.push(packet));
  parser.on('error', (error) => assert.fail(error));
  assert.equal(parser.parse(bytes), 0);
  assert.equal(packets.length, 1);
  return packets[0];
}

test('CONNACK says the code, and a present session only when it accepts', () => {
  assert.deepEqual([...connack(0, true)], [0x20, 2, 1, 0]);
  assert.deepEqual([...connack(0, false)], [0x20, 2, 0, 0]);
  assert.deepEqual([...connack(5, true)], [0x20, 2, 0, 5]);
});

test('acknowledgements are read by the mqtt-packet library', () => {
  assert.deepEqual(pick(parse(puback(0xabcd))), { cmd: 'puback', messageId: 0xabcd });
  assert.deepEqual(pick(parse(unsuback(300))), { cmd: 'unsuback', messageId: 300 });
  assert.deepEqual(pick(parse(pingresp)), { cmd: 'pingresp', messageId: undefined });
  const subscribed = parse(suback(7, [0, 1, 0]));
  assert.ok(subscribed.cmd === 'suback');
  assert.deepEqual([subscribed.messageId, subscribed.granted], [7, [0, 1, 0]]);
});

test('PUBLISH of any length is read by the mqtt-packet library', () => {
  for (const size of [0, 1, 100, 116, 117, 118, 5000, 16_370, 16_384, 70_000]) {
    const payload = Buffer.alloc(size, 1);
    const packet = parse(publishAtMostOnce('$iothub/ü', payload));
    assert.ok(packet.cmd === 'publish');
    assert.deepEqual([packet.topic, packet.qos, packet.retain], ['$iothub/ü', 0, false]);
    assert.ok(payload.equals(Buffer.from(packet.payload)), `${size} bytes`);
  }
});

function pick(packet: Packet): object {
  return { cmd: packet.cmd, messageId: packet.messageId };
}

test('PUBLISH at QoS 1 carries its packet id and whether it is a repetition', () => {
  for (const duplicate of [false, true]) {
    const packet = parse(publishAtLeastOnce('a/ü', Buffer.from('body'), 0xfffe, duplicate));
    assert.ok(packet.cmd === 'publish');
    assert.deepEqual(
      [packet.topic, packet.qos, packet.dup, packet.retain, packet.messageId, String(packet.payload)],
      ['a/ü', 1, duplicate, false, 0xfffe, 'body'],
    );
  }
});
