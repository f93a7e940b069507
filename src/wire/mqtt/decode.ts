/**
 * One whole packet of a client -> a value. Everything that the standard calls malformed or a protocol violation, and
 * that can be seen in the packet alone, is refused here, each with its clause.
 */
import { boundFilters, Fields } from './fields.ts';
import { type ClientPacket, type ConnectPacket, MalformedPacket, packetTypes } from './packets.ts';

const PROTOCOL_NAME = 'MQTT';
const PROTOCOL_LEVEL = 4;

/**
 * @param start place of the packet's first byte, @param body place behind its fixed header, @param end place behind it.
 * @throws MalformedPacket naming the rule.
 */
export function decodePacket(bytes: Buffer, start: number, body: number, end: number): ClientPacket {
  const type = bytes[start] >> 4;
  const flags = bytes[start] & 0x0f;
  const fields = new Fields(bytes, body, end);
  switch (type) {
    case packetTypes.connect:
      requireFlags(flags, 0);
      return connect(fields);
    case packetTypes.publish:
      return publish(fields, flags);
    case packetTypes.puback:
      return acknowledgement('puback', fields, flags, 0);
    case packetTypes.pubrec:
      return acknowledgement('pubrec', fields, flags, 0);
    case packetTypes.pubrel:
      return acknowledgement('pubrel', fields, flags, 2);
    case packetTypes.pubcomp:
      return acknowledgement('pubcomp', fields, flags, 0);
    case packetTypes.subscribe:
      requireFlags(flags, 2);
      return subscribe(fields);
    case packetTypes.unsubscribe:
      requireFlags(flags, 2);
      return unsubscribe(fields);
    case packetTypes.pingreq:
      requireFlags(flags, 0);
      fields.finish();
      return { kind: 'pingreq' };
    case packetTypes.disconnect:
      requireFlags(flags, 0);
      fields.finish();
      return { kind: 'disconnect' };
    default:
      throw new MalformedPacket(`a client does not send packets of type ${type} (2.2.1)`);
  }
}

function connect(fields: Fields): ClientPacket {
  const protocolName = fields.text();
  const level = fields.byte();
  if (protocolName !== PROTOCOL_NAME || level !== PROTOCOL_LEVEL)
    return { kind: 'foreignConnect', protocolName, level };
  const flags = fields.byte();
  const hasWill = (flags & 0x04) !== 0;
  const willQos = (flags >> 3) & 3;
  const hasPassword = (flags & 0x40) !== 0;
  const hasUserName = (flags & 0x80) !== 0;
  if ((flags & 0x01) !== 0) throw new MalformedPacket('reserved connect flag is set [MQTT-3.1.2-3]');
  if (!hasWill && (flags & 0x38) !== 0) throw new MalformedPacket('will QoS or retain without a will [MQTT-3.1.2-11]');
  if (willQos === 3) throw new MalformedPacket('will QoS is 3 [MQTT-3.1.2-14]');
  if (hasPassword && !hasUserName) throw new MalformedPacket('a password without a user name [MQTT-3.1.2-22]');
  // The order of the payload's fields, section 3.1.3.
  const keepAliveSeconds = fields.number();
  const clientId = fields.text();
  const will: ConnectPacket['will'] = hasWill
    ? { topic: fields.topic(), payload: fields.block(), qos: willQos, retain: (flags & 0x20) !== 0 }
    : undefined;
  const userName = hasUserName ? fields.text() : undefined;
  const password = hasPassword ? fields.block() : undefined;
  fields.finish();
  return { kind: 'connect', cleanSession: (flags & 0x02) !== 0, keepAliveSeconds, clientId, will, userName, password };
}

function publish(fields: Fields, flags: number): ClientPacket {
  const qos = (flags >> 1) & 3;
  const duplicate = (flags & 0x08) !== 0;
  if (qos === 3) throw new MalformedPacket('QoS is 3 [MQTT-3.3.1-4]');
  if (qos === 0 && duplicate) throw new MalformedPacket('a duplicate at QoS 0 [MQTT-3.3.1-2]');
  const topic = fields.topic();
  const packetId = qos === 0 ? 0 : fields.packetId();
  return { kind: 'publish', qos, duplicate, retain: (flags & 0x01) !== 0, topic, packetId, payload: fields.rest() };
}

function acknowledgement(
  kind: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  fields: Fields,
  flags: number,
  flagsRequired: number,
): ClientPacket {
  requireFlags(flags, flagsRequired);
  const packetId = fields.packetId();
  fields.finish();
  return { kind, packetId };
}

function subscribe(fields: Fields): ClientPacket {
  const packetId = fields.packetId();
  const requests: { filter: string; qos: number }[] = [];
  do {
    const filter = fields.topic();
    const qos = fields.byte();
    if (qos > 2) throw new MalformedPacket('requested QoS is over 2 [MQTT-3.8.3-4]');
    boundFilters(requests.length);
    requests.push({ filter, qos });
  } while (!fields.done);
  return { kind: 'subscribe', packetId, requests };
}

function unsubscribe(fields: Fields): ClientPacket {
  const packetId = fields.packetId();
  const filters: string[] = [];
  do {
    boundFilters(filters.length);
    filters.push(fields.topic());
  } while (!fields.done);
  return { kind: 'unsubscribe', packetId, filters };
}

function requireFlags(flags: number, required: number): void {
  if (flags !== required) throw new MalformedPacket(`reserved flags are ${flags}, not ${required} [MQTT-2.2.2-2]`);
}
