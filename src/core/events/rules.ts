import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { identityName } from '../identity/permissions.ts';
import type { DevicePrincipal, IdentityKey } from '../identity/types.ts';
import type { EventStamp, Telemetry } from './types.ts';

/**
 * The partition of a device's events, and of its modules' events: its id's UTF-8 bytes through FNV-1a (32 bits), stirred by
 * the last step of MurmurHash3, modulo the number of partitions. Never changes: order per device rests on it, across
 * restarts and versions.
 */
export function partitionOf(deviceId: string, partitionCount: number): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(deviceId)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitionCount;
}

/** Bytes that count against the limit: body, system values, application names and values (device reference 5.1). */
export function telemetryBytes(telemetry: Telemetry): number {
  let bytes = telemetry.body.length;
  for (const value of Object.values(telemetry.system)) {
    if (typeof value === 'string') bytes += Buffer.byteLength(value);
    else if (typeof value === 'number') bytes += 8;
  }
  for (const [name, value] of telemetry.properties) {
    bytes += Buffer.byteLength(name) + (value === null ? 0 : Buffer.byteLength(value));
  }
  return bytes;
}

const SENDER_PREFIX = 'iothub-connection-';
const LETTER_I = 0x69;

/**
 * Whether a property of a message claims who has sent it, which only the hub says (`telemetryStamp`). Devices' messages are
 * taken without such properties, by every protocol alike: a reader that looks for them finds the hub's.
 */
export function claimsSender(propertyName: string): boolean {
  // Most names begin otherwise, and are not copied for it.
  return (propertyName.charCodeAt(0) | 0x20) === LETTER_I && propertyName.toLowerCase().startsWith(SENDER_PREFIX);
}

/** @throws HubError MessageTooLarge, ArgumentInvalid */
export function checkTelemetry(telemetry: Telemetry, key: IdentityKey, telemetryBytesMax: number): void {
  checkTelemetryBytes(telemetryBytes(telemetry), key, telemetryBytesMax);
  const count = telemetry.properties.length;
  const max = limits.messagePropertiesMax;
  if (count > max) {
    throw new HubError('ArgumentInvalid', `The message has ${count} application properties, ${max} are allowed.`, {
      limit: { name: 'messagePropertiesMax', scope: scopeOf(key), current: count, max },
    });
  }
}

/** @param bytes as `telemetryBytes` counts them. @throws HubError MessageTooLarge */
export function checkTelemetryBytes(bytes: number, key: IdentityKey, telemetryBytesMax: number): void {
  if (bytes <= telemetryBytesMax) return;
  throw new HubError('MessageTooLarge', `The message has ${bytes} bytes, ${telemetryBytesMax} are allowed.`, {
    limit: { name: 'telemetryBytesMax', scope: scopeOf(key), current: bytes, max: telemetryBytesMax },
  });
}

function scopeOf(key: IdentityKey): string {
  return key.moduleId === undefined ? `device ${identityName(key)}` : `module ${identityName(key)}`;
}

/** What the hub itself says of a device's telemetry (device reference 5.1, service reference 5.6). */
export function telemetryStamp(principal: DevicePrincipal, key: IdentityKey, modelId?: string): EventStamp {
  const { deviceId, moduleId } = key;
  return {
    deviceId,
    ...(moduleId !== undefined && { moduleId }),
    generationId: principal.generationId,
    authMethod: authMethodText(principal),
    source: 'Telemetry',
    ...(modelId !== undefined && { modelId }),
  };
}

/** `iothub-connection-auth-method`: back ends compare the text, so the order of its members is fixed. */
function authMethodText({ authScope, authType }: DevicePrincipal): string {
  return JSON.stringify({ scope: authScope, type: authType, issuer: 'iothub', acceptingIpFilterRule: null });
}

/** The consumer group that every event hub has. */
export const DEFAULT_CONSUMER_GROUP = '$Default';

export function sameConsumerGroup(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** Letters, digits, `.`, `-`, `_`; a letter or digit at both ends. @throws HubError ArgumentInvalid */
export function checkConsumerGroupName(name: string): void {
  const isLong = name.length > limits.consumerGroupCharsMax;
  if (isLong || !/^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(name)) {
    throw new HubError(
      'ArgumentInvalid',
      `A consumer group's name has 1 to ${limits.consumerGroupCharsMax} letters, digits, '.', '-' or '_', and begins and ends with a letter or digit.`,
    );
  }
}

/** The partition that an address names, or undefined: `0` to one below the count, without leading zeros. */
export function parsePartition(text: string, partitionCount: number): number | undefined {
  const partition = /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : undefined;
  return partition !== undefined && partition < partitionCount ? partition : undefined;
}
