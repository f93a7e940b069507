/** CONNECT: from the packet to a device that has proved who it is, or to the code of its refusal (device reference 2.1). */
import { limits } from '../../base/limits.ts';
import { ownText } from '../../base/text.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import type { EventSender } from '../../core/events/room.ts';
import type { Telemetry } from '../../core/events/types.ts';
import type { Hub } from '../../core/hub.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { Credential, DevicePrincipal, IdentityKey } from '../../core/identity/types.ts';
import type { Subscriptions } from '../../core/presence/calls.ts';
import { type ConnackCode, connackCodes } from '../../wire/mqtt/encode.ts';
import {
  type ConnectPacket,
  type ForeignConnectPacket,
  MalformedPacket,
  packetTypes,
  type Will,
} from '../../wire/mqtt/packets.ts';
import { credentialShown } from '../shared/credential.ts';
import { type Grants, grantsOf, NO_GRANTS, publishTarget } from './addresses.ts';
import type { Origin } from './link.ts';
import { willOf } from './mapping.ts';
import { connackCode } from './refusals.ts';
import { parseUserName } from './user-name.ts';

/** A device that has proved who it is, and what its CONNECT says beside that. */
export interface Admitted {
  readonly kind: 'admitted';
  readonly principal: DevicePrincipal;
  readonly traits: ConnectTraits;
}

/** What a CONNECT says beside who it is. */
export interface ConnectTraits {
  readonly modelId: string | undefined;
  /** Its SDK cannot read properties without a value. */
  readonly omitEmptyProperties: boolean;
  readonly will: Telemetry | undefined;
  /** Of the will, when the device is proved. */
  readonly willSender?: EventSender;
}

/** Of most devices: one object for all of them. */
export const PLAIN_TRAITS: ConnectTraits = { modelId: undefined, omitEmptyProperties: false, will: undefined };

export interface Refused {
  readonly kind: 'refused';
  readonly code: ConnackCode;
  /** For the log only: the peer learns nothing but the code. */
  readonly check: string;
  /** The identity that the peer claims to be. */
  readonly identity: string | undefined;
  /** The client speaks MQTT 5 and reads the answer as such. */
  readonly speaksVersion5?: true;
}

/** A device that has its identity's place and its session. */
export interface Entered {
  readonly grants: Grants;
  /** The previous session is continued. */
  readonly sessionPresent: boolean;
}

/** The Java SDK throws on a property without a value, and never acknowledges the message (device reference 2.4). */
const OMITS_EMPTY_PROPERTIES = 'com.microsoft.azure.sdk.iot';

/**
 * Anything but a CONNECT is refused by its first byte [MQTT-3.1.0-1].
 * @throws MalformedPacket
 */
export function requireConnect(firstByte: number | undefined): void {
  if (firstByte !== undefined && firstByte !== packetTypes.connect << 4) {
    throw new MalformedPacket('the first packet is not a CONNECT [MQTT-3.1.0-1]');
  }
}

/** Decides on a CONNECT. Never rejects. */
export async function admit(
  hub: Hub,
  packet: ConnectPacket | ForeignConnectPacket,
  origin: Origin,
): Promise<Admitted | Refused> {
  if (packet.kind === 'foreignConnect') {
    const check = `protocol ${packet.protocolName} level ${packet.level}`;
    const refused = refuse(connackCodes.unacceptableProtocolVersion, check);
    return packet.protocolName === 'MQTT' && packet.level === 5 ? { ...refused, speaksVersion5: true } : refused;
  }
  const userName = packet.userName === undefined ? undefined : parseUserName(packet.userName, hub.hostNames);
  if (userName === undefined) return refuse(connackCodes.notAuthorized, 'malformed-user-name', packet.clientId);
  const name = identityName(userName.key);
  if (packet.clientId !== name) return refuse(connackCodes.identifierRejected, 'client-id-differs', name);
  const { key } = userName;
  if (Math.max(key.deviceId.length, key.moduleId?.length ?? 0) > limits.identityIdCharsMax) {
    return refuse(connackCodes.identifierRejected, 'client-id-too-long');
  }
  // The packet's bytes are its reader's: what is needed behind an `await` is copied before it.
  const will = packet.will === undefined ? undefined : { ...packet.will, payload: Buffer.from(packet.will.payload) };
  try {
    const principal = await hub.authentication.device(key, credentialOf(packet, origin), origin.peer);
    // It outlives the CONNECT.
    const modelId = userName.modelId && ownText(userName.modelId);
    const omitEmptyProperties = userName.clientType?.startsWith(OMITS_EMPTY_PROPERTIES) === true;
    const isPlain = modelId === undefined && !omitEmptyProperties && will === undefined;
    const traits = isPlain
      ? PLAIN_TRAITS
      : { modelId, omitEmptyProperties, will: will && willTelemetry(will, principal.key) };
    return { kind: 'admitted', principal, traits };
  } catch (error) {
    const refusal = asHubError(error);
    if (refusal.code === 'ServerError') hub.log.error({ identity: name, error }, 'authentication failed unexpectedly');
    return refuse(connackCode(refusal), refusal.reason ?? refusal.code, name);
  }
}

/**
 * Takes the identity's place and its session. Undefined = the connection ended meanwhile, and holds nothing.
 * @param clean CleanSession: the previous session ends, and none is left behind.
 */
export async function enter(
  subscriptions: Subscriptions,
  device: DeviceConnection,
  clean: boolean,
): Promise<Entered | undefined> {
  await device.enter();
  if (device.ended !== undefined) return undefined;
  try {
    const entered = await restoreGrants(subscriptions, device, clean);
    return device.ended === undefined ? entered : undefined;
  } catch (error) {
    device.release('storage-failed');
    throw error;
  }
}

/**
 * The longest silence of the device. Section 3.1.2.10 allows one and a half times the keep alive; the hub's own limit holds
 * also for those who ask for none.
 */
export function silenceMsMax({ keepAliveSeconds }: ConnectPacket): number {
  const allowedMs = keepAliveSeconds === 0 ? Number.POSITIVE_INFINITY : keepAliveSeconds * 1500;
  return Math.min(allowedMs, limits.mqttKeepAliveMsMax);
}

/**
 * Continues the previous session, or begins a new one; `sessionPresent` tells which [MQTT-3.2.2-2]. A connection that has ended
 * meanwhile touches nothing any more: the session may be the one of its successor, which was told that it is kept.
 */
async function restoreGrants(subscriptions: Subscriptions, device: DeviceConnection, clean: boolean): Promise<Entered> {
  const { key, principal } = device;
  const stored = await subscriptions.load(principal);
  if (device.ended !== undefined) return { grants: NO_GRANTS, sessionPresent: false };
  if (clean) {
    if (stored !== undefined) await subscriptions.remove(principal);
    return { grants: NO_GRANTS, sessionPresent: false };
  }
  if (stored === undefined) await subscriptions.save(principal, []);
  return { grants: grantsOf(stored ?? [], key), sessionPresent: stored !== undefined };
}

function refuse(code: ConnackCode, check: string, identity?: string): Refused {
  return { kind: 'refused', code, check, identity: identity?.slice(0, 2 * limits.identityIdCharsMax + 1) };
}

/** A password that means to be a token counts; with any other one, or none, the certificate of the TLS layer does. */
function credentialOf({ password }: ConnectPacket, origin: Origin): Credential | undefined {
  return credentialShown(password?.toString('utf8'), () => origin.certificate?.());
}

/** @throws HubError when the will is not for the device's own telemetry topic (device reference 2.9). */
function willTelemetry(will: Will, key: IdentityKey): Telemetry {
  const target = publishTarget(will.topic, key);
  if (target?.kind !== 'telemetry') {
    throw new HubError('IotHubUnauthorizedAccess', undefined, { reason: 'will-topic' });
  }
  return willOf(target.propertyBag, will.payload, will.retain);
}
