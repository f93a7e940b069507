/** PUBLISH: telemetry into the log; requests of the device to its twin, and its answers to methods. */

import { puback } from '../../wire/mqtt/encode.ts';
import type { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import { MalformedPacket, type PublishPacket } from '../../wire/mqtt/packets.ts';
import { isGranted, publishTarget } from './addresses.ts';
import { telemetryOf } from './mapping.ts';
import { twinRefusal } from './refusals.ts';
import type { Session } from './session.ts';

/** @throws MalformedPacket, HubError as `Events.enqueue`: the connection is closed for both */
export function takePublish(session: Session, packet: PublishPacket, reader: PacketReader): void {
  if (packet.qos === 2) throw new MalformedPacket('QoS 2 is not offered (device reference 2.2)');
  const target = publishTarget(packet.topic, session.device.key);
  if (target === undefined) throw new MalformedPacket('a topic that the device may not publish to');
  if (target.kind === 'telemetry') {
    const telemetry = telemetryOf(target.propertyBag, packet.payload, packet.retain);
    const uplink = session.openUplink();
    uplink.enqueue(telemetry, packet.packetId);
    if (!packet.retain) uplink.learn(reader, telemetry);
    return;
  }
  if (packet.qos === 1 && session.uplink?.awaitTurn(packet.packetId) !== true) {
    session.write(puback(packet.packetId));
  }
  // Methods are not called yet, so every response is to an unknown request: ignored (device reference 2.6).
  if (target.kind === 'methodResponse' || !isGranted(session.grants, 'twinResponses')) return;
  // Twins are not offered yet: an error answer, because an application without any would reconnect for ever.
  session.write(twinRefusal('OperationNotAvailable', target.requestId, session.hub));
}
