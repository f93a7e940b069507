/** Topics and filters of the device protocol <-> what they mean for one identity (device reference 2.2 to 2.8). */
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { Subscription } from '../../core/presence/ports.ts';
import { versionNamed } from '../../core/twins/rules.ts';

/** What a device may publish to. `requestId` is empty where the device has not named its request: it is not answered then. */
export type PublishTarget =
  | { readonly kind: 'telemetry'; readonly propertyBag: string }
  | { readonly kind: 'twinGet'; readonly requestId: string }
  | { readonly kind: 'twinPatch'; readonly requestId: string; readonly version: number | undefined }
  /** `id` is undefined where it can be none of ours. */
  | { readonly kind: 'methodResponse'; readonly status: number; readonly id: number | undefined };

/** `devices/{d}/messages/events` or the module's: what every telemetry topic of the identity starts with. */
export function telemetryTopic(key: IdentityKey): string {
  return `${deviceTopic(key)}/messages/events`;
}

/** Undefined = not an address that this identity may publish to. */
export function publishTarget(topic: string, key: IdentityKey): PublishTarget | undefined {
  const telemetry = telemetryTopic(key);
  if (topic.startsWith(telemetry)) return telemetryTarget(topic.slice(telemetry.length));
  if (topic.startsWith('$iothub/twin/GET/?')) return twinTarget('twinGet', topic.slice(18));
  if (topic.startsWith('$iothub/twin/PATCH/properties/reported/?')) return twinTarget('twinPatch', topic.slice(40));
  const response = /^\$iothub\/methods\/res\/(-?\d{1,10})\/\?\$rid=([^&]+)/.exec(topic);
  return response === null
    ? undefined
    : { kind: 'methodResponse', status: Number(response[1]), id: methodId(response[2]) };
}

/** `[/][{bag}[/]]`. A slash inside the bag is a value that the device did not encode. */
function telemetryTarget(rest: string): PublishTarget | undefined {
  if (rest === '') return { kind: 'telemetry', propertyBag: '' };
  if (!rest.startsWith('/')) return undefined;
  return { kind: 'telemetry', propertyBag: rest.slice(1, rest.length > 1 && rest.endsWith('/') ? -1 : undefined) };
}

function twinTarget(kind: 'twinGet' | 'twinPatch', query: string): PublishTarget | undefined {
  const items = query.split('&');
  const requestId = items.find((part) => part.startsWith('$rid='))?.slice(5) ?? '';
  if (requestId.length > limits.mqttRequestIdCharsMax) return undefined;
  if (kind === 'twinGet') return { kind, requestId };
  const version = items.find((part) => part.startsWith('$version='))?.slice(9);
  return { kind, requestId, version: versionNamed(version) };
}

/** Where a device is told of a change of its desired properties. */
export function desiredTopic(version: number): string {
  return `$iothub/twin/PATCH/properties/desired/?$version=${version}`;
}

/** Where a method goes: nothing may stand behind the request id (device reference 2.6). */
export function methodTopic(name: string, id: number): string {
  return `$iothub/methods/POST/${name}/?$rid=${id.toString(16)}`;
}

function methodId(text: string): number | undefined {
  return /^[0-9a-f]{1,13}$/.test(text) ? Number.parseInt(text, 16) : undefined;
}

/** Where the answer to a twin request goes; the request id is echoed as it came (device reference 2.5). */
export function twinResponseTopic(status: number, requestId: string): string {
  return `$iothub/twin/res/${status}/?$rid=${requestId}`;
}

/**
 * The documented filters, as written by an identity. Their places in this list are the places of their bits in a
 * `Grants` value; the list is never stored, the filters' texts are.
 */
const filters = [
  { kind: 'commands', filter: (key: IdentityKey) => `${deviceTopic(key)}/messages/devicebound/#` },
  // Embedded C; it means the own device only.
  { kind: 'commands', filter: (key: IdentityKey) => (key.moduleId ? undefined : 'devices/+/messages/devicebound/#') },
  { kind: 'twinResponses', filter: () => '$iothub/twin/res/#' },
  { kind: 'twinDesired', filter: () => '$iothub/twin/PATCH/properties/desired/#' },
  { kind: 'methods', filter: () => '$iothub/methods/POST/#' },
  { kind: 'inputs', filter: (key: IdentityKey) => (key.moduleId ? `${deviceTopic(key)}/inputs/#` : undefined) },
  { kind: 'inputs', filter: (key: IdentityKey) => (key.moduleId ? `${deviceTopic(key)}/#` : undefined) },
] as const;

export type FilterKind = (typeof filters)[number]['kind'];

/**
 * The subscriptions of a connection in one number, two bits per documented filter: granted, and at QoS 1. An idle
 * connection then costs no strings and no list for them.
 */
export type Grants = number;

export const NO_GRANTS: Grants = 0;

/** `grants` with `filter` at `qos` (granted as at most 1), or undefined when it is none of the documented filters. */
export function grant(grants: Grants, key: IdentityKey, filter: string, qos: number): Grants | undefined {
  const place = placeOf(key, filter);
  if (place === -1) return undefined;
  return revokePlace(grants, place) | ((qos > 0 ? 3 : 1) << (2 * place));
}

/** `grants` without `filter`; a filter that was not granted changes nothing. */
export function revoke(grants: Grants, key: IdentityKey, filter: string): Grants {
  const place = placeOf(key, filter);
  return place === -1 ? grants : revokePlace(grants, place);
}

/** The bits of the filters of each kind: asked for with every packet that is sent to a device. */
const bitsOf = Object.fromEntries(
  filters.map(({ kind }) => [
    kind,
    filters.reduce((bits, each, at) => bits | (each.kind === kind ? 1 << (2 * at) : 0), 0),
  ]),
) as Readonly<Record<FilterKind, number>>;

export function isGranted(grants: Grants, kind: FilterKind): boolean {
  return (grants & bitsOf[kind]) !== 0;
}

/** The highest QoS among the granted filters of the kind; undefined = none is granted. */
export function grantedQosOf(grants: Grants, kind: FilterKind): 0 | 1 | undefined {
  let qos: 0 | 1 | undefined;
  for (const [place, entry] of filters.entries()) {
    const bits = (grants >> (2 * place)) & 3;
    if (entry.kind === kind && bits !== 0) qos = bits === 3 ? 1 : (qos ?? 0);
  }
  return qos;
}

export function grantCount(grants: Grants): number {
  return filters.filter((_, place) => (grants >> (2 * place)) % 2 === 1).length;
}

/** For the store. */
export function subscriptionsOf(grants: Grants, key: IdentityKey): readonly Subscription[] {
  return filters.flatMap((entry, place) => {
    const bits = (grants >> (2 * place)) & 3;
    const filter = entry.filter(key);
    return bits === 0 || filter === undefined ? [] : [{ filter, qos: bits === 3 ? 1 : 0 } as const];
  });
}

/** From the store. Filters that are no longer documented are left out. */
export function grantsOf(subscriptions: readonly Subscription[], key: IdentityKey): Grants {
  return subscriptions.reduce((all, { filter, qos }) => grant(all, key, filter, qos) ?? all, NO_GRANTS);
}

function placeOf(key: IdentityKey, filter: string): number {
  return filters.findIndex((entry) => entry.filter(key) === filter);
}

function revokePlace(grants: Grants, place: number): Grants {
  return grants & ~(3 << (2 * place));
}

function deviceTopic(key: IdentityKey): string {
  return key.moduleId === undefined ? `devices/${key.deviceId}` : `devices/${key.deviceId}/modules/${key.moduleId}`;
}
