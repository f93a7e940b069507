import type { SeenIdentity } from './service-door.ts';
import type { World } from './world.ts';

/** What lets a device in; it belongs to one generation of its identity. */
export interface DeviceCredential {
  readonly generationId: string;
  readonly key: string;
  /** Milliseconds of the simulation's time: it was surely not there before this, and surely there at that. */
  readonly madeBehind: number;
  readonly knownAt: number;
  /** A policy has spoken for the device: for the generation that there was. */
  readonly isAny?: boolean;
}

interface Entry {
  credentials: DeviceCredential[];
  /** Writes that have not been answered. */
  readonly writing: Set<Write>;
  /** Since when the identity is surely disabled or deleted. */
  shutSince: number | undefined;
  /** When the last deletion that may have happened was answered, or not. */
  deletedUntil: number;
}

/** A write on its way. */
export interface Write {
  /** No other was on its way at the same time: the last to be answered need not be the last to be done. */
  isAlone: boolean;
}

/** What back ends know of the identities, and what follows from it for sure. */
export class Directory {
  readonly ids: readonly string[];
  readonly #world: World;
  readonly #entries = new Map<string, Entry>();

  constructor(world: World) {
    this.#world = world;
    const count = world.plan.devices + world.plan.amqpDevices;
    this.ids = Array.from({ length: count }, (_, nth) => `d${nth}`);
    for (const id of this.ids) {
      this.#entries.set(id, { credentials: [], writing: new Set(), shutSince: undefined, deletedUntil: -1 });
    }
  }

  writeBegins(id: string): Write {
    const entry = this.#of(id);
    const write = { isAlone: entry.writing.size === 0 };
    for (const other of entry.writing) other.isAlone = false;
    entry.writing.add(write);
    entry.shutSince = undefined;
    return write;
  }

  /** @param shut what the write did, if it is known to have done it */
  writeEnds(id: string, write: Write, shut: boolean | undefined): void {
    const entry = this.#of(id);
    entry.writing.delete(write);
    if (shut === true && write.isAlone) entry.shutSince = this.#world.scheduler.monotonic();
  }

  deletionMayHaveHappened(id: string): void {
    this.#of(id).deletedUntil = this.#world.scheduler.monotonic();
  }

  /** An answer of the hub says that the identity is so. @param created by this very request, which began at `askedAt` */
  saw(id: string, view: SeenIdentity, askedAt: number, created: boolean): void {
    const { credentials } = this.#of(id);
    const { generationId, key, tag } = view;
    if (key === undefined) return;
    const known = credentials.findIndex((credential) => credential.generationId === generationId);
    // An answer that was on its way while another told of a newer generation proves nothing.
    const isNewest = askedAt >= (credentials.at(-1)?.knownAt ?? 0);
    if (known >= 0) {
      // No back end of the simulation names keys: those of a generation stay.
      const hasItsKey = credentials[known].key === key;
      this.#world.check(
        hasItsKey,
        () => `${id} has lost the key of its generation ${generationId}: ${tag} has another`,
      );
      if (isNewest) credentials.push(...credentials.splice(known, 1));
      return;
    }
    const knownAt = this.#world.scheduler.monotonic();
    credentials.splice(isNewest ? credentials.length : credentials.length - 1, 0, {
      ...{ generationId, key, knownAt },
      madeBehind: created ? askedAt : 0,
    });
  }

  credentials(id: string): readonly DeviceCredential[] {
    return this.#of(id).credentials;
  }

  shutSince(id: string): number | undefined {
    return this.#of(id).shutSince;
  }

  /** Whether a deletion may have taken with it what was there at the time. */
  mayBeDeletedSince(id: string, time: number): boolean {
    const { deletedUntil, writing } = this.#of(id);
    return deletedUntil >= time || writing.size > 0;
  }

  #of(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Error(`${id} is no device of the simulation`);
    return entry;
  }
}
