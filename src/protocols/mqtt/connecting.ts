/** CONNECT: the device proves who it is, takes its identity's place and its session, and is told so. */
import { DeviceConnection } from '../../core/devices/connection.ts';
import { asHubError } from '../../core/errors.ts';
import { connack, connackCodes, connackUnsupportedVersion5 } from '../../wire/mqtt/encode.ts';
import type { ConnectPacket, ForeignConnectPacket } from '../../wire/mqtt/packets.ts';
import type { HandledConnection } from './handled-connection.ts';
import { admit, enter, type Refused } from './handshake.ts';
import type { Origin } from './link.ts';

/** Never rejects but for a fault of the hub. @param origin of the connection, which nothing has proved yet */
export async function takeConnect(
  connection: HandledConnection,
  packet: ConnectPacket | ForeignConnectPacket,
  origin: Origin,
): Promise<void> {
  const { hub } = connection;
  const admission = await admit(hub, packet, origin);
  if (connection.closed) return;
  if (packet.kind === 'foreignConnect' || admission.kind === 'refused') {
    if (admission.kind === 'refused') refuse(connection, admission, origin);
    return;
  }
  const device = new DeviceConnection(hub, admission.principal, origin, connection);
  connection.proved(device, admission.traits);
  origin.proved?.();
  try {
    const entered = await enter(hub.subscriptions, device, packet.cleanSession);
    if (entered === undefined) return;
    await connection.preparing(entered.grants);
    if (!connection.closed) connection.accept(entered, packet);
  } catch (error) {
    const { code, limit } = asHubError(error);
    const hasExpired = code === 'IotHubUnauthorized';
    if (code === 'ThrottlingException') hub.log.info({ ...connection.facts(), limit }, 'MQTT connection put off');
    else if (hasExpired) hub.log.info(connection.facts(), 'MQTT connection refused: its proof has ended meanwhile');
    else hub.log.error({ ...connection.facts(), error }, 'the hub could not serve a connection');
    if (connection.closed) return;
    connection.link.write(connack(hasExpired ? connackCodes.notAuthorized : connackCodes.serverUnavailable));
    connection.close(hasExpired ? 'token-expired' : 'storage-failed', 'end');
  }
}

function refuse(connection: HandledConnection, refusal: Refused, { peer }: Origin): void {
  connection.link.write(refusal.speaksVersion5 === true ? connackUnsupportedVersion5 : connack(refusal.code));
  const { identity, check, code } = refusal;
  connection.hub.log.info({ identity, check, code, peer }, 'MQTT connection refused');
  connection.close('protocol-error', 'end');
}
