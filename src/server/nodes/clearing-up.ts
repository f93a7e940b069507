/** What a node that has gone leaves behind is cleared up by one of those that live: its places, and who was connected at it. */
import type { Log } from '../../base/log.ts';
import type { NodeStore } from '../../core/nodes/ports.ts';
import type { NodeFacts } from '../../core/nodes/types.ts';
import type { Places } from '../../core/presence/places.ts';
import type { PresenceRoom } from '../../core/presence/presence.ts';
import type { PresenceStateStore } from '../../core/presence/states.ts';
import type { Membership } from './membership.ts';
import type { Peer } from './peer.ts';

export interface ClearingUpParts {
  readonly membership: Membership;
  readonly places: Places;
  readonly stores: { readonly nodes: NodeStore; presenceOf(node: string): PresenceStateStore };
  /** Absent before this node has joined. */
  readonly rooms: () =>
    | { readonly presence: PresenceRoom; recover(states: PresenceStateStore): Promise<void> }
    | undefined;
  readonly peers: () => readonly Peer[];
  readonly log: Log;
}

export class ClearingUp {
  readonly #parts: ClearingUpParts;
  /** Nodes that have gone, by id, that this one clears up after. */
  readonly #clearing = new Set<string>();

  constructor(parts: ClearingUpParts) {
    this.#parts = parts;
  }

  async after(gone: readonly NodeFacts[]): Promise<void> {
    for (const { id, name } of gone) {
      // It is told again until it is done.
      if (this.#clearing.has(id)) continue;
      this.#clearing.add(id);
      try {
        // It may have taken places from connections of those that live, and have told nobody: who takes one that is free waits for none.
        await Promise.all([
          this.#parts.rooms()?.presence.compare(),
          ...this.#parts.peers().map((peer) => peer.compare()),
        ]);
        const places = await this.#parts.places.leave(id);
        await this.#recover(name);
        // Last: until then another node does it again if this one dies at it.
        await this.#parts.stores.nodes.cleared(id);
        this.#parts.log.info({ node: name, id, places: places.length }, 'the places of a node that has gone are free');
      } catch (error) {
        this.#parts.membership.buryAgain();
        this.#parts.log.error({ node: name, id, error }, 'the places of a node that has gone could not be freed');
      } finally {
        this.#clearing.delete(id);
      }
    }
  }

  /** A node that has come back under its name does that itself. */
  async #recover(name: string): Promise<void> {
    const { membership } = this.#parts;
    const isBack = (): boolean => name === membership.name || membership.others().some((other) => other.name === name);
    if (isBack()) return;
    const states = this.#parts.stores.presenceOf(name);
    await this.#parts.rooms()?.recover({
      ...states,
      // It may come back meanwhile: whoever is connected from then on is.
      recover: async (count) => (isBack() ? [] : states.recover(count)),
      end: async () => {
        if (!isBack()) await states.end();
      },
    });
  }
}
