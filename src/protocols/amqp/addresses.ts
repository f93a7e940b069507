/** What an address of a link means. Names are as the peer wrote them. */
export type Address =
  | { readonly kind: 'cbs' }
  | { readonly kind: 'management' }
  | {
      readonly kind: 'partition';
      readonly eventHub: string;
      readonly consumerGroup: string;
      readonly partition: string;
    }
  /** Where senders of an event hub would go: `{eh}` or `{eh}/Partitions/{n}`. */
  | { readonly kind: 'eventHub'; readonly eventHub: string }
  /** An address of the hub that stands for an event hub: the peer is sent there (service reference 6). */
  | { readonly kind: 'redirect'; readonly stream: 'telemetry' | 'monitoring'; readonly rest: string }
  | { readonly kind: 'unknown' };

/**
 * Reads an address in any form that SDKs write: a path with or without a leading slash, or a full `amqps:` or `sb:` URL.
 * Fixed words are compared without regard to case.
 */
export function readAddress(address: string): Address {
  const path = address.replace(/^[a-z]+:\/\/[^/]*\/?/i, '').replace(/^\//, '');
  const segments = path.split('/');
  const words = segments.map((segment) => segment.toLowerCase());
  if (path.toLowerCase() === '$cbs') return { kind: 'cbs' };
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
