/** What this hub takes part in where it is one node of several: it hears what the others change, and its devices can go to them. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { OwnHubState } from '../core/hub-state.ts';
import type { PresenceRoom } from '../core/presence/presence.ts';
import type { PresenceStateStore } from '../core/presence/states.ts';
import type { TwinStore } from '../core/twins/ports.ts';
import type { TwinEventPublisher } from '../core/twins/publishing.ts';
import type { OpenDoors } from './doors.ts';
import type { Shutdown } from './lifecycle.ts';
import type { Nodes, OwnRooms } from './nodes/nodes.ts';
import { rowsOf } from './nodes/rows.ts';

export interface JoinParts {
  readonly nodes: Nodes;
  readonly state: Pick<OwnHubState, 'cache' | 'trust' | 'rowsMissed' | 'rowTeller'>;
  readonly monitored: { readonly presence: PresenceRoom; recover(states: PresenceStateStore): Promise<void> };
  readonly keptPresence: { settle(): Promise<void> };
  readonly publisher: Pick<TwinEventPublisher, 'look' | 'takeOver'>;
  readonly twins: Pick<TwinStore, 'watchEvents'>;
  readonly routes: { look(): void };
  readonly reloadTls: () => Promise<void>;
  /** Of what the feed of changes tells, by note. */
  readonly heard: OwnRooms['heard'];
  readonly log: Log;
}

/** Resolves when this node has a lease and knows the others. @throws Error whose message says what to do */
export async function joinNodes(parts: JoinParts, at: Parameters<Nodes['join']>[1]): Promise<void> {
  const { nodes, state, monitored, publisher, log } = parts;
  const rooms: OwnRooms = {
    presence: monitored.presence,
    forgetAll: () => {
      state.cache.forgetAll();
      state.trust.forgetAll();
    },
    recover: async (states) => {
      await monitored.recover(states);
      // Devices of that node are told by nobody else to be gone.
      state.rowsMissed();
    },
    rows: rowsOf(state.rowTeller, () => parts.keptPresence.settle()),
    heard: {
      ...parts.heard,
      'events of twins': () => publisher.look(),
      // The database may have carried out what that node can say nothing of: what is known by heart here is read again.
      'lost answers': () => state.rowsMissed(),
      routes: () => parts.routes.look(),
      certificates: () => {
        parts
          .reloadTls()
          .catch((error: unknown) => log.error({ error }, 'the certificates of the hub could not be taken'));
      },
    },
  };
  parts.twins.watchEvents(() => {
    if (!nodes.membership.has('events of twins')) nodes.hint('events of twins');
  });
  nodes.membership.watch({
    gained: (duty) => duty === 'events of twins' && publisher.takeOver(),
    // What a node has kept that died before it could tell of it.
    renewed: () => publisher.look(),
  });
  await nodes.join(rooms, at);
}

export interface SharedDevicesParts {
  readonly nodes: Nodes;
  readonly presence: PresenceRoom;
  readonly doors: Pick<OpenDoors, 'stopAccepting' | 'drain'>;
  readonly twins: Pick<TwinStore, 'desiredNewer'>;
  readonly drainSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly shutdown: Shutdown;
}

/** From here on devices go to other nodes when this one is drained or stops, and hear what a node that died has changed of their twins. */
export async function shareDevices(parts: SharedDevicesParts): Promise<void> {
  const { presence, doors, twins, clock, log, shutdown } = parts;
  const { membership } = parts.nodes;
  const { Draining } = await import('./nodes/draining.ts');
  const draining = new Draining({ membership, presence, doors, withinMs: parts.drainSeconds * 1000, clock, log });
  membership.watch({ drains: () => void draining.drain() });
  if (membership.isDraining) void draining.drain();
  shutdown.add('devices go to other nodes', () => draining.drain());
  const { lookAtDesired } = await import('./nodes/desired-look.ts');
  shutdown.add('looks at twins', lookAtDesired({ presence, twins, clock, log }));
}
