import { isOtherProcess } from '../../core/nodes/processes.ts';
import type { CursorHold, CursorPlace, CursorStore, RouteStore } from '../../core/routes/ports.ts';
import { changesOf } from '../../core/routes/rules.ts';
import { noRoutes } from '../../core/routes/types.ts';

interface Kept {
  readonly place: CursorPlace;
  sequence: number;
  node: string;
  fence: number;
  heldUntil: number;
  readonly rows: Map<string, string>;
}

/** Routes and cursors in memory. */
export function createMemoryRoutes(): { readonly routes: RouteStore; readonly cursors: CursorStore } {
  let current = noRoutes;
  const cursors = new Map<string, Kept>();
  const keyOf = (endpoint: string, partition: number): string => `${partition} ${endpoint.toLowerCase()}`;
  const inOrder = (): readonly Kept[] =>
    [...cursors.values()].sort(({ place: a }, { place: b }) => {
      const [first, second] = [a.endpoint.toLowerCase(), b.endpoint.toLowerCase()];
      return first === second ? a.partition - b.partition : first < second ? -1 : 1;
    });
  const find = ({ endpoint, since, partition }: CursorPlace): Kept | undefined => {
    const found = cursors.get(keyOf(endpoint, partition));
    return found?.place.since === since ? found : undefined;
  };
  const held = (hold: CursorHold): Kept | undefined => {
    const found = find(hold);
    return found?.node === hold.node && found.fence === hold.fence ? found : undefined;
  };
  const routes: RouteStore = {
    load: async () => current,
    number: async () => current.number,
    async replace(set, begins) {
      if (set.number !== current.number + 1) return false;
      const { come, go } = changesOf(current, set);
      for (const { endpoint } of go) for (const at of begins.keys()) cursors.delete(keyOf(endpoint.name, at));
      for (const { endpoint, since } of come) {
        for (const [partition, sequence] of begins.entries()) {
          const place = { endpoint: endpoint.name, since, partition };
          cursors.set(keyOf(endpoint.name, partition), {
            ...{ place, sequence, node: '', fence: 0, heldUntil: 0, rows: new Map() },
          });
        }
      }
      current = set;
      return true;
    },
  };
  const store: CursorStore = {
    async claim({ endpoint, since }, { node, now, leaseMs, countMax }) {
      const own = inOrder().filter(
        ({ place }) => place.endpoint.toLowerCase() === endpoint.toLowerCase() && place.since === since,
      );
      const free = own.filter(
        (one) => one.node !== node && (one.node === '' || isOtherProcess(node, one.node) || one.heldUntil <= now),
      );
      const mine = own.filter((one) => one.node === node);
      const taken = [...mine, ...free.slice(0, Math.max(0, countMax - mine.length))];
      for (const one of taken) {
        if (one.node !== node) one.fence++;
        [one.node, one.heldUntil] = [node, now + leaseMs];
      }
      return taken
        .sort((a, b) => a.place.partition - b.place.partition)
        .map(({ place, fence, sequence }) => ({ hold: { ...place, node, fence }, sequence }));
    },
    async save(hold, { sequence, put = [], remove = [] }) {
      const found = held(hold);
      if (found === undefined) return false;
      found.sequence = sequence;
      for (const key of remove) found.rows.delete(key);
      for (const { key, value } of put) found.rows.set(key, value);
      return true;
    },
    async release(hold) {
      const found = held(hold);
      if (found !== undefined) [found.node, found.heldUntil] = ['', 0];
    },
    async rows(place, after, limit) {
      const rows = [...(find(place)?.rows ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
      const behind = rows.filter(([key]) => after === undefined || key > after);
      return behind.slice(0, limit).map(([key, value]) => ({ key, value }));
    },
    list: async () =>
      inOrder().map(({ place, sequence, node }) => ({
        ...place,
        endpoint: place.endpoint.toLowerCase(),
        sequence,
        node,
      })),
  };
  return { routes, cursors: store };
}
