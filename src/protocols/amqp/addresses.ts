import type { IdentityKey } from '../../core/identity/types.ts';

/** What an address of a link means. Names are as the peer wrote them. */
export type Address =
  | { readonly kind: 'cbs' }
  /** A gateway sends batches of telemetry to the first, and asks the second about devices. */
  | { readonly kind: 'gateway'; readonly endpoint: GatewayEndpoint }
  | { readonly kind: 'management' }
  | PartitionAddress
  /** Where senders of an event hub would go: `{eh}` or `{eh}/Partitions/{n}`. */
  | { readonly kind: 'eventHub'; readonly eventHub: string }
  /** An address of the hub that stands for an event hub: the peer is sent there (service reference 6). */
  | RedirectAddress
  /** Back ends send commands here, and receive what became of them. */
  | { readonly kind: 'commands' | 'receipts' | 'fileNotifications' }
  | DeviceAddress
  | { readonly kind: 'unknown' };

export interface PartitionAddress {
  readonly kind: 'partition';
  readonly eventHub: string;
  readonly consumerGroup: string;
  readonly partition: string;
}

export interface RedirectAddress {
  readonly kind: 'redirect';
  readonly stream: 'telemetry' | 'monitoring';
  readonly rest: string;
}

/** A device's or module's own address (device reference 3.3); ids are decoded. */
export interface DeviceAddress {
  readonly kind: 'device';
  readonly key: IdentityKey;
  readonly endpoint: DeviceEndpoint;
}

export type GatewayEndpoint = 'events' | 'node';

export type DeviceEndpoint = 'events' | 'commands' | 'twin' | 'methods';

const serviceAddresses: ReadonlyMap<string, 'commands' | 'receipts' | 'fileNotifications'> = new Map([
  ['messages/devicebound', 'commands'],
  ['messages/servicebound/feedback', 'receipts'],
  ['messages/servicebound/filenotifications', 'fileNotifications'],
]);

const deviceEndpoints: ReadonlyMap<string, DeviceEndpoint> = new Map([
  ['messages/events', 'events'],
  ['messages/devicebound', 'commands'],
  ['twin', 'twin'],
  ['methods/devicebound', 'methods'],
]);

/**
 * Reads an address in any form that SDKs write: a path with or without a leading slash, or a full `amqps:` or `sb:` URL.
 * Fixed words are compared without regard to case.
 */
export function readAddress(address: string): Address {
  const path = pathOf(address);
  const segments = path.split('/');
  const words = segments.map((segment) => segment.toLowerCase());
  if (path.toLowerCase() === '$cbs') return { kind: 'cbs' };
  if (words.join('/') === 'gateway/messages/events') return { kind: 'gateway', endpoint: 'events' };
  if (words.join('/') === '$gateway') return { kind: 'gateway', endpoint: 'node' };
  const service = serviceAddresses.get(words.join('/'));
  if (service !== undefined) return { kind: service };
  if (words[0] === 'devices' && segments.length > 2) return readDeviceAddress(segments, words);
  if (words[0] === 'messages' && (words[1] === 'events' || words[1] === 'operationsmonitoringevents')) {
    const rest = segments.slice(2).join('/');
    return { kind: 'redirect', stream: words[1] === 'events' ? 'telemetry' : 'monitoring', rest: `/${rest}` };
  }
  if (words[0] === '$management' && words.length === 1) return { kind: 'management' };
  if (words[1] === '$management' && words.length === 2) return { kind: 'management' };
  const isPartition = segments.length === 5 && words[1] === 'consumergroups' && words[3] === 'partitions';
  if (isPartition) {
    return { kind: 'partition', eventHub: segments[0], consumerGroup: segments[2], partition: segments[4] };
  }
  const isEventHub = segments.length === 1 || (segments.length === 3 && words[1] === 'partitions');
  if (isEventHub && segments[0] !== '') return { kind: 'eventHub', eventHub: segments[0] };
  return { kind: 'unknown' };
}

/** An address without what stands before its path. */
export function pathOf(address: string): string {
  return address.replace(/^[a-z]+:\/\/[^/]*\/?/i, '').replace(/^\//, '');
}

function readDeviceAddress(segments: readonly string[], words: readonly string[]): Address {
  const isModule = words[2] === 'modules' && segments.length > 4;
  const endpoint = deviceEndpoints.get(words.slice(isModule ? 4 : 2).join('/'));
  if (endpoint === undefined) return { kind: 'unknown' };
  const device = { deviceId: decoded(segments[1]) };
  const key = isModule ? { ...device, moduleId: decoded(segments[3]) } : device;
  return { kind: 'device', key, endpoint };
}

/** An id may hold `%` itself, so a text that is not encoded counts as it stands. */
function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
