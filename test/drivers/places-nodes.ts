/** Nodes in one process, as far as places, links and leases go: over PostgreSQL, without doors. */
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import type { Connections, Places } from '../../src/core/presence/places.ts';
import { createPresence, type PresenceRoom } from '../../src/core/presence/presence.ts';
import type { ConnectionClaim } from '../../src/core/presence/types.ts';
import { Nodes, type OwnRooms } from '../../src/server/nodes/nodes.ts';
import { exampleIdentity } from '../../src/stores/contract/identities.ts';
import type { OpenedPostgres } from '../../src/stores/contract/postgres.ts';

export interface PlacesNodeParts {
  /** Where the others are told to find it. */
  readonly address?: string;
  readonly places?: Places;
  readonly words?: number;
  readonly recover?: OwnRooms['recover'];
  readonly logs?: readonly EventLog[];
  /** Its connections as others reach them. */
  readonly reached?: (own: Connections) => Connections;
}

export interface PlacesNode {
  readonly nodes: Nodes;
  readonly presence: PresenceRoom;
  /** What it has heard. */
  readonly told: string[];
}

/** A node that has joined; closed by the caller. */
export async function openPlacesNode(
  { tables }: Pick<OpenedPostgres, 'tables'>,
  name: string,
  parts: PlacesNodeParts = {},
): Promise<PlacesNode> {
  const { address = '127.0.0.1', places = tables.places, logs = [], words, recover = async () => {} } = parts;
  const told: string[] = [];
  const nodes = new Nodes({
    node: { name, folder: name, address, version: '1' },
    ...{ duties: [], stores: tables, places, logs, hubName: 'hub', ...(words !== undefined && { words }) },
    ...{ clock: systemClock, random: systemRandom, log: silentLog },
  });
  const presence = createPresence({ places: nodes.places, nodes: nodes.presence, clock: systemClock });
  const rooms: OwnRooms = {
    presence: { ...presence, connections: parts.reached?.(presence.connections) ?? presence.connections },
    forgetAll: () => void told.push('forgets'),
    recover,
    heard: { 'changed identities': (change: string) => void told.push(change) },
  };
  await nodes.join(rooms, { port: 0, addresses: ['127.0.0.1'] });
  told.length = 0;
  return { nodes, presence, told };
}

/** Devices that connections of `claimOf` are of. */
export async function makeDevices({ tables }: Pick<OpenedPostgres, 'tables'>, keys: readonly IdentityKey[]) {
  await tables.identities.write(
    keys.map((key) => ({
      ...{ kind: 'create' as const, countMax: 1000 },
      identity: exampleIdentity(key, { generationId: 'g1' }),
    })),
  );
}

/** @param dropped Gets the reasons for which it is told to go */
export const claimOf = (dropped: string[], key: IdentityKey = { deviceId: 'd1' }): ConnectionClaim => ({
  ...{ key, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
  drop: (reason) => void dropped.push(reason),
});
