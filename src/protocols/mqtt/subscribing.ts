/** SUBSCRIBE and UNSUBSCRIBE: what a connection was granted before -> what it is granted afterwards. */
import { limits } from '../../base/limits.ts';
import { asHubError } from '../../core/errors.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { suback, unsuback } from '../../wire/mqtt/encode.ts';
import { MalformedPacket, type SubscribePacket, type UnsubscribePacket } from '../../wire/mqtt/packets.ts';
import { type Grants, grant, grantCount, revoke, subscriptionsOf } from './addresses.ts';
import { holds } from './gate.ts';
import type { HandledConnection } from './handled-connection.ts';

/** @throws MalformedPacket */
export function takeSubscribe(connection: HandledConnection, packet: SubscribePacket): void {
  keepGrants(
    connection,
    grantsAfter(packet, connection.grants, connection.device.key),
    suback(packet.packetId, grantedQos(packet)),
  );
}

/** @throws MalformedPacket */
export function takeUnsubscribe(connection: HandledConnection, packet: UnsubscribePacket): void {
  keepGrants(connection, grantsWithout(packet, connection.grants, connection.device.key), unsuback(packet.packetId));
}

/** Makes a persistent session's subscriptions durable, then answers: they are in force exactly when the device is told so. */
function keepGrants(connection: HandledConnection, grants: Grants, answer: Buffer): void {
  const prepared = connection.preparing(grants);
  const isKept = connection.isPersistent && grants !== connection.grants;
  if (!isKept && prepared === undefined) {
    connection.grant(grants, answer);
    return;
  }
  connection.hold(holds.saving);
  const { key, principal } = connection.device;
  const saved = isKept ? connection.hub.subscriptions.save(principal, subscriptionsOf(grants, key)) : undefined;
  Promise.all([saved, prepared]).then(
    () => {
      if (connection.closed) return;
      connection.grant(grants, answer);
      connection.release(holds.saving);
    },
    (error: unknown) => {
      const { code, limit } = asHubError(error);
      if (code === 'IotHubUnauthorized') connection.close('token-expired');
      else if (code === 'ThrottlingException') connection.fail('protocol-error', { code, limit });
      else connection.fail('storage-failed', { error });
    },
  );
}

/** @throws MalformedPacket for a filter that is not documented: closing is the clear signal (device reference 2.8). */
function grantsAfter(packet: SubscribePacket, before: Grants, key: IdentityKey): Grants {
  let grants = before;
  for (const { filter, qos } of packet.requests) {
    const granted = grant(grants, key, filter, qos);
    if (granted === undefined) throw new MalformedPacket('a filter that is none of the documented ones', filter);
    grants = granted;
  }
  if (grantCount(grants) > limits.mqttSubscriptionsMax) {
    throw new MalformedPacket(`over ${limits.mqttSubscriptionsMax} subscriptions (device reference 2.8)`);
  }
  return grants;
}

/** The QoS granted to each request: at most 1. */
function grantedQos(packet: SubscribePacket): readonly number[] {
  return packet.requests.map(({ qos }) => Math.min(qos, 1));
}

/** Filters that were not granted change nothing. */
function grantsWithout(packet: UnsubscribePacket, before: Grants, key: IdentityKey): Grants {
  return packet.filters.reduce((left, filter) => revoke(left, key, filter), before);
}
