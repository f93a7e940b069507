/**
 * The change feed of rows: which row this node has changed, and in which of its parts. It says that something is new and not what: who hears
 * of a change reads the row, so that changes may meet, come twice, and come from another node just as well (`rows-elsewhere.ts`).
 */
import type { IdentityStore } from '../identity/ports.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { WatchedPresence } from '../presence/ports.ts';
import type { TwinPart, TwinStore } from '../twins/ports.ts';
import { everyPart, rowParts } from './parts.ts';
import type { FleetPlace } from './ports.ts';

export interface RowChange {
  readonly place: FleetPlace;
  /** `rowParts`, one or several. */
  readonly parts: number;
}

type Listener = (change: RowChange) => void;

export interface RowChangeSources {
  readonly identities: Pick<IdentityStore, 'watchOwnWrites'>;
  readonly twins: Pick<TwinStore, 'watchChanges'>;
  readonly presence: Pick<WatchedPresence, 'watch'>;
}

export class RowChanges {
  readonly #sources: RowChangeSources;
  readonly #listeners = new Set<Listener>();
  #ends: readonly (() => void)[] = [];

  constructor(sources: RowChangeSources) {
    this.#sources = sources;
    const connection = ({ key }: { readonly key: IdentityKey }): void => this.#tell(placeOf(key), rowParts.presence);
    const storedLate = (key: IdentityKey): void => connection({ key });
    sources.presence.watch({ connected: connection, disconnected: connection, storedLate });
  }

  /** Calls with each change once it is durable, before its writer is answered. The returned function ends it. */
  watch(listener: Listener): () => void {
    const own: Listener = (change) => listener(change);
    if (this.#listeners.size === 0) this.#begin();
    this.#listeners.add(own);
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size > 0) return;
      for (const end of this.#ends) end();
      this.#ends = [];
    };
  }

  #tell(place: FleetPlace, parts: number): void {
    if (this.#listeners.size === 0) return;
    const change = { place, parts };
    for (const listener of this.#listeners) listener(change);
  }

  #begin(): void {
    const { identities, twins } = this.#sources;
    this.#ends = [
      identities.watchOwnWrites(({ kind, identity, isElsewhere }) => {
        // The node that has changed it tells of it with its other changes.
        if (isElsewhere !== true) this.#tell(placeOf(identity), kind === 'replaced' ? rowParts.identity : everyPart);
      }),
      twins.watchChanges((key, part: TwinPart) => this.#tell(placeOf(key), rowParts[part])),
    ];
  }
}

const placeOf = ({ deviceId, moduleId = '' }: IdentityKey): FleetPlace => ({ deviceId, moduleId });
