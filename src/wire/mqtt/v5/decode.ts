/**
 * One whole MQTT 5 packet of a client -> a value: the values of 3.1.1, with what MQTT 5 adds. Section numbers are those of the
 * OASIS standard "MQTT Version 5.0". No topic aliases are granted, so that a topic is never looked up in what came before.
 */
import { boundFilters, Fields } from '../fields.ts';
import { type ConnectPacket, MalformedPacket, type PublishPacket, packetTypes } from '../packets.ts';
import { NO_PROPERTIES, type PacketKind, type Properties, readProperties } from './properties.ts';

interface WithProperties {
  readonly properties: Readonly<Properties>;
}

export interface ConnectPacket5 extends ConnectPacket, WithProperties {
  readonly willProperties: Readonly<Properties>;
}

export interface SubscribeRequest5 {
  readonly filter: string;
  readonly qos: number;
  /** The client does not want what it has published itself (3.8.3.1). */
  readonly noLocal: boolean;
  /** 0 = send retained messages; 1 = only for a new subscription; 2 = none. */
  readonly retainHandling: number;
}

/** What a client may send. Buffers are views into the bytes that were read. */
export type ClientPacket5 =
  | ConnectPacket5
  | (PublishPacket & WithProperties)
  | ({
      readonly kind: 'subscribe';
      readonly packetId: number;
      readonly requests: readonly SubscribeRequest5[];
    } & WithProperties)
  | { readonly kind: 'unsubscribe'; readonly packetId: number; readonly filters: readonly string[] }
  | { readonly kind: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'; readonly packetId: number; readonly reason: number }
  | { readonly kind: 'pingreq' }
  | { readonly kind: 'disconnect'; readonly reason: number };

/**
 * @param start place of the packet's first byte, @param body place behind its fixed header, @param end place behind it.
 * @throws MalformedPacket naming the rule.
 */
export function decodePacket5(bytes: Buffer, start: number, body: number, end: number): ClientPacket5 {
  const type = bytes[start] >> 4;
  const flags = bytes[start] & 0x0f;
  const fields = new Fields(bytes, body, end);
  switch (type) {
    case packetTypes.connect:
      return requireFlags(flags, 0, connect(fields));
    case packetTypes.publish:
      return publish(fields, flags);
    case packetTypes.puback:
      return requireFlags(flags, 0, acknowledgement('puback', fields));
    case packetTypes.pubrec:
      return requireFlags(flags, 0, acknowledgement('pubrec', fields));
    case packetTypes.pubrel:
      return requireFlags(flags, 2, acknowledgement('pubrel', fields));
    case packetTypes.pubcomp:
      return requireFlags(flags, 0, acknowledgement('pubcomp', fields));
    case packetTypes.subscribe:
      return requireFlags(flags, 2, subscribe(fields));
    case packetTypes.unsubscribe:
      return requireFlags(flags, 2, unsubscribe(fields));
    case packetTypes.pingreq:
      fields.finish();
      return requireFlags(flags, 0, { kind: 'pingreq' });
    case packetTypes.disconnect:
      return requireFlags(flags, 0, { kind: 'disconnect', reason: reasonAndEnd(fields, 'disconnect') });
    default:
      throw new MalformedPacket(`packets of type ${type} are not taken (AUTH is not offered, 4.12)`);
  }
}

function connect(fields: Fields): ConnectPacket5 {
  const protocolName = fields.text();
  const level = fields.byte();
  if (protocolName !== 'MQTT' || level !== 5)
    throw new MalformedPacket(`protocol ${level} where MQTT 5 was said before`);
  const flags = fields.byte();
  const hasWill = (flags & 0x04) !== 0;
  const willQos = (flags >> 3) & 3;
  if ((flags & 0x01) !== 0) throw new MalformedPacket('reserved connect flag is set [MQTT-3.1.2-3]');
  if (!hasWill && (flags & 0x38) !== 0) throw new MalformedPacket('will QoS or retain without a will [MQTT-3.1.2-11]');
  if (willQos === 3) throw new MalformedPacket('will QoS is 3 [MQTT-3.1.2-12]');
  const keepAliveSeconds = fields.number();
  const properties = readProperties(fields, 'connect');
  const clientId = fields.text();
  const willProperties = hasWill ? readProperties(fields, 'will') : NO_PROPERTIES;
  const will = hasWill
    ? { topic: fields.topic(), payload: fields.block(), qos: willQos, retain: (flags & 0x20) !== 0 }
    : undefined;
  const userName = (flags & 0x80) !== 0 ? fields.text() : undefined;
  const password = (flags & 0x40) !== 0 ? fields.block() : undefined;
  fields.finish();
  const cleanSession = (flags & 0x02) !== 0;
  return {
    kind: 'connect',
    cleanSession,
    keepAliveSeconds,
    clientId,
    will,
    userName,
    password,
    properties,
    willProperties,
  };
}

function publish(fields: Fields, flags: number): PublishPacket & WithProperties {
  const qos = (flags >> 1) & 3;
  const duplicate = (flags & 0x08) !== 0;
  if (qos === 3) throw new MalformedPacket('QoS is 3 [MQTT-3.3.1-4]');
  if (qos === 0 && duplicate) throw new MalformedPacket('a duplicate at QoS 0 [MQTT-3.3.1-2]');
  const topic = fields.text();
  const packetId = qos === 0 ? 0 : fields.packetId();
  const properties = readProperties(fields, 'publish');
  if (properties.topicAlias !== undefined)
    throw new MalformedPacket('a topic alias, where none is granted [MQTT-3.3.2-9]');
  if (topic === '') throw new MalformedPacket('an empty topic [MQTT-4.7.3-1]');
  return {
    kind: 'publish',
    qos,
    duplicate,
    retain: (flags & 0x01) !== 0,
    topic,
    packetId,
    payload: fields.rest(),
    properties,
  };
}

function acknowledgement(kind: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp', fields: Fields): ClientPacket5 {
  const packetId = fields.packetId();
  return { kind, packetId, reason: reasonAndEnd(fields, 'acknowledgement') };
}

/** The reason code and the properties at a packet's end; either may be left out (3.4.2.1). */
function reasonAndEnd(fields: Fields, kind: PacketKind): number {
  const reason = fields.done ? 0 : fields.byte();
  if (!fields.done) readProperties(fields, kind);
  fields.finish();
  return reason;
}

function subscribe(fields: Fields): ClientPacket5 {
  const packetId = fields.packetId();
  const properties = readProperties(fields, 'subscribe');
  const requests: SubscribeRequest5[] = [];
  do {
    const filter = fields.topic();
    const options = fields.byte();
    const qos = options & 3;
    const retainHandling = (options >> 4) & 3;
    if (qos === 3 || retainHandling === 3 || options >> 6 !== 0) {
      throw new MalformedPacket('reserved subscription options [MQTT-3.8.3-5]');
    }
    boundFilters(requests.length);
    requests.push({ filter, qos, noLocal: (options & 4) !== 0, retainHandling });
  } while (!fields.done);
  return { kind: 'subscribe', packetId, requests, properties };
}

function unsubscribe(fields: Fields): ClientPacket5 {
  const packetId = fields.packetId();
  readProperties(fields, 'unsubscribe');
  const filters: string[] = [];
  do {
    boundFilters(filters.length);
    filters.push(fields.topic());
  } while (!fields.done);
  return { kind: 'unsubscribe', packetId, filters };
}

function requireFlags<T>(flags: number, required: number, packet: T): T {
  if (flags !== required) throw new MalformedPacket(`reserved flags are ${flags}, not ${required} [MQTT-2.1.3-1]`);
  return packet;
}
