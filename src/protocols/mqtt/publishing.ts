/** PUBLISH: telemetry into the log; requests of the device to its twin, and its answers to methods. */

import { puback } from '../../wire/mqtt/encode.ts';
import type { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import { MalformedPacket, type PublishPacket } from '../../wire/mqtt/packets.ts';
import { isGranted, publishTarget } from './addresses.ts';
import type { HandledConnection } from './handled-connection.ts';
import { telemetryOf } from './mapping.ts';

/** Bytes of a patch, which is checked value by value, that take as long as a small packet. */
const PATCH_BYTES_PER_PACKET = 32;

/** @throws MalformedPacket, HubError as `Events.enqueue`: the connection is closed for both */
export function takePublish(connection: HandledConnection, packet: PublishPacket, reader: PacketReader): void {
  if (packet.qos === 2) throw new MalformedPacket('QoS 2 is not offered (device reference 2.2)', packet.topic);
  const target = publishTarget(packet.topic, connection.device.key);
  if (target === undefined) throw new MalformedPacket('a topic that the device may not publish to', packet.topic);
  if (target.kind === 'telemetry') {
    const telemetry = telemetryOf(target.propertyBag, packet.payload, packet.retain);
    const uplink = connection.openUplink();
    uplink.enqueue(telemetry, packet.packetId);
    if (!packet.retain) uplink.learn(reader, telemetry);
    return;
  }
  if (packet.qos === 1 && connection.uplink?.awaitTurn(packet.packetId) !== true) {
    connection.write(puback(packet.packetId));
  }
  switch (target.kind) {
    case 'methodResponse':
      // One to an unknown request is ignored (device reference 2.6).
      if (target.id !== undefined) connection.twinIfAny?.methodAnswered(target.id, target.status, packet.payload);
      return;
    case 'twinGet':
      if (target.requestId !== '' && isGranted(connection.grants, 'twinResponses'))
        connection.twin.get(target.requestId);
      return;
    case 'twinPatch':
      // Carried out, whether or not the device wants to know what became of it.
      connection.worked(Math.floor(packet.payload.length / PATCH_BYTES_PER_PACKET));
      connection.twin.patch(target.requestId, packet.payload, target.version);
  }
}
