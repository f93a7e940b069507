/** MQTT 3.1.1 packets as a client might send them that knows the grammar and means ill. */
import mqttPacket, { type Packet } from 'mqtt-packet';
import { connectPacket, publishPacket } from '../drivers/mqtt.ts';
import type { Chance } from './campaign.ts';
import { damagedBytes, damagedText } from './mutate.ts';

const topics = [
  'devices/d1/messages/events/',
  'devices/d1/messages/events/a=b&%24.mid=1&$.ct=text%2Fplain',
  'devices/d2/messages/events/',
  'devices/d1/modules/m1/messages/events/',
  '$iothub/twin/GET/?$rid=1',
  '$iothub/twin/PATCH/properties/reported/?$rid=2',
  '$iothub/methods/res/200/?$rid=3',
  'devices/d1/messages/devicebound/#',
  '$iothub/twin/res/#',
  '$iothub/methods/POST/#',
  '#',
  '+/+/+/#',
] as const;

const ownTopics = topics.filter((topic) => topic.startsWith('devices/d1/messages/events') || topic.startsWith('$'));

/** A packet, mostly of the right form; damaged bytes one time in three. @param isMild seldom, and no topics of others */
export function mqttBytes(chance: Chance, isMild = false): Buffer {
  if (isMild && !chance.once(30)) return encoded(packetOf(chance, chance.pick(ownTopics), true));
  const topic = chance.once(3)
    ? damagedText(chance, chance.pick(topics), topics).slice(0, 60_000)
    : chance.pick(topics);
  const bytes = encoded(packetOf(chance, topic.toWellFormed()));
  return chance.once(3) ? damagedBytes(chance, bytes) : bytes;
}

/** The same in MQTT 5, with properties: right ones, those of other packets, and many. @param topics they may name */
export function mqtt5Bytes(chance: Chance, own: readonly string[]): Buffer {
  const topic = chance.once(4) ? damagedText(chance, chance.pick(own), own).slice(0, 60_000) : chance.pick(own);
  const packet = packetOf(chance, topic.toWellFormed());
  const names = Array.from({ length: chance.once(10) ? 200 : chance.below(3) }, () => chance.pick(own));
  const properties = {
    ...(chance.once(3) && { userProperties: { a: names } }),
    ...(chance.once(5) && { contentType: chance.pick(own) }),
    ...(chance.once(8) && { topicAlias: 1 + chance.below(9) }),
    ...(chance.once(8) && { subscriptionIdentifier: 1 + chance.below(9) }),
    ...(chance.once(8) && { reasonString: chance.pick(own) }),
    ...(chance.once(8) && { sessionExpiryInterval: chance.below(9) }),
  };
  const bytes = encoded({ ...packet, properties } as Packet, 5);
  return chance.once(4) ? damagedBytes(chance, bytes) : bytes;
}

function packetOf(chance: Chance, topic: string, isMild = false): Packet {
  const messageId = 1 + chance.below(65_535);
  switch (chance.below(isMild ? 6 : 9)) {
    case 0:
    case 1:
    case 2:
      return publishPacket({
        topic,
        qos: isMild ? chance.pick([0, 1]) : chance.pick([0, 1, 1, 2]),
        messageId,
        dup: chance.once(5),
        retain: chance.once(5),
        payload: chance.bytes(chance.below(chance.once(30) ? 300_000 : 60)),
      });
    case 3:
    case 4: {
      const count = chance.once(20) ? 200 : 1 + chance.below(3);
      const subscriptions = Array.from({ length: count }, () => ({
        topic: chance.once(3) ? topic : chance.pick(topics),
        qos: chance.pick([0, 1, 2] as const),
      }));
      return { cmd: 'subscribe', messageId, subscriptions };
    }
    case 5:
      return { cmd: 'unsubscribe', messageId, unsubscriptions: [topic] };
    case 6:
      return chance.pick([
        { cmd: 'puback', messageId },
        { cmd: 'pubrec', messageId },
        { cmd: 'pubrel', messageId },
        { cmd: 'pubcomp', messageId },
      ] as const);
    case 7:
      return { cmd: 'pingreq' };
    default:
      return chance.once(4)
        ? { cmd: 'disconnect' }
        : connectPacket({ clientId: topic, username: 'localhost/d1/?api-version=1', password: chance.bytes(20) });
  }
}

/** The library refuses some of what we want to send: then bytes. */
function encoded(packet: Packet, protocolVersion = 4): Buffer {
  try {
    return mqttPacket.generate(packet, { protocolVersion });
  } catch {
    return Buffer.of(0x30, 0x05, 0x00, 0x09, 0x61, 0x62, 0x63);
  }
}
