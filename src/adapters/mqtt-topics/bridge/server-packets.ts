/** What only a server of MQTT 3.1.1 sends, read; and what only a client sends, written. */
import mqttPacket, { type IConnectPacket } from 'mqtt-packet';
import { decodePacket } from '../../../wire/mqtt/decode.ts';
import { Fields } from '../../../wire/mqtt/fields.ts';
import { type ClientPacket, MalformedPacket, packetTypes } from '../../../wire/mqtt/packets.ts';

export type ServerPacket =
  | Extract<ClientPacket, { kind: 'publish' | 'puback' | 'pubrec' | 'pubrel' | 'pubcomp' }>
  | { readonly kind: 'connack'; readonly sessionPresent: boolean; readonly code: number }
  /** QoS that was granted, or 0x80, for each filter. */
  | { readonly kind: 'suback'; readonly packetId: number; readonly granted: readonly number[] }
  | { readonly kind: 'pingresp' };

/** @throws MalformedPacket */
export function decodeServerPacket(bytes: Buffer, start: number, body: number, end: number): ServerPacket {
  const fields = new Fields(bytes, body, end);
  switch (bytes[start] >> 4) {
    case packetTypes.connack: {
      const sessionPresent = (fields.byte() & 1) === 1;
      const code = fields.byte();
      fields.finish();
      return { kind: 'connack', sessionPresent, code };
    }
    case packetTypes.suback:
      return { kind: 'suback', packetId: fields.packetId(), granted: [...fields.rest()] };
    case packetTypes.pingresp:
      fields.finish();
      return { kind: 'pingresp' };
    case packetTypes.publish:
    case packetTypes.puback:
    case packetTypes.pubrec:
    case packetTypes.pubrel:
    case packetTypes.pubcomp:
      return decodePacket(bytes, start, body, end) as ServerPacket;
    default:
      throw new MalformedPacket(`a server does not send packets of type ${bytes[start] >> 4} here (2.2.1)`);
  }
}

export function connectBytes(fields: Omit<IConnectPacket, 'cmd' | 'protocolId' | 'protocolVersion'>): Buffer {
  return mqttPacket.generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, ...fields });
}

export function subscribeBytes(packetId: number, filters: readonly string[]): Buffer {
  return mqttPacket.generate({
    cmd: 'subscribe',
    messageId: packetId,
    subscriptions: filters.map((topic) => ({ topic, qos: 1 })),
  });
}

export const pingreq: Buffer = Buffer.from([packetTypes.pingreq << 4, 0]);
export const disconnect: Buffer = Buffer.from([packetTypes.disconnect << 4, 0]);
