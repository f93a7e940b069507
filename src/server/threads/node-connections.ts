/** Connections of one node as another reaches them, over the link between the two; each node routes to its own threads. */
import type { IdentityKey } from '../../core/identity/types.ts';
import type { Connections, PlaceRef } from '../../core/presence/places.ts';
import type { Call, DisconnectReason, Note } from '../../core/presence/types.ts';
import type { ThreadLink } from './calls.ts';

/** What is answered; a wake and a note are not. */
interface NodeCalls {
  drop(place: PlaceRef, reason: DisconnectReason): Promise<void>;
  end(key: IdentityKey, reason: DisconnectReason): Promise<void>;
  invoke(place: PlaceRef, call: Call, signal: AbortSignal): Promise<unknown>;
}

/** Lets the other node reach `connections`, which are this node's. */
export function serveConnections(link: ThreadLink, connections: Connections): void {
  link.serve('node', {
    drop: (place, reason) => connections.drop(place, reason),
    end: (key, reason) => connections.end(key, reason),
    invoke: (place, call, signal) => connections.invoke(place, call, signal),
  } satisfies NodeCalls);
  link.on('node wakes', (place: PlaceRef) => connections.wake(place));
  link.on('node notifies', ([place, note]: [PlaceRef, Note]) => connections.notify(place, note));
}

/** The other node's connections. @throws HubError ServiceUnavailable by `drop`, `end` and `invoke`, when the link has closed */
export function connectionsOver(link: ThreadLink): Connections {
  const remote = link.remote<NodeCalls>('node', { drop: 'uncounted', end: 'uncounted', invoke: true });
  // A holder is more than crosses.
  const plain = ({ key, connection }: PlaceRef): PlaceRef => ({ key, connection });
  return {
    drop: (place, reason) => remote.drop(plain(place), reason),
    end: (key, reason) => remote.end(key, reason),
    wake: (place) => link.tell('node wakes', plain(place)),
    notify: (place, note) => link.tell('node notifies', [plain(place), note]),
    invoke: (place, call, signal) => remote.invoke(plain(place), call, signal),
  };
}
