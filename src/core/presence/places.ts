/**
 * Ports of presence: *places* say which connection holds an identity's place, for a whole hub; *connections* are those of
 * one member, which holds their sockets: the hub's own loop, a listener thread, a node.
 */
import type { IdentityKey } from '../identity/types.ts';
import type { Call, ConnectionClaim, DisconnectReason, Note } from './types.ts';

/** A connection that has, or claims, its identity's place. */
export interface Holder extends PlaceRef, Pick<ConnectionClaim, 'generationId' | 'authority' | 'credentials'> {
  /** The node whose connection it is. */
  readonly node: string;
  /** Since when it has the place, UTC milliseconds. */
  readonly since: number;
}

/** One connection of a member. */
export interface PlaceRef {
  readonly key: IdentityKey;
  /** Names it among the connections of its member; not used again while the member lives. */
  readonly connection: number;
}

export type PlaceOutcome =
  /** The claimant has the place; `displaced` has had it, and must be told by the claimant's node. */
  | { readonly kind: 'held'; readonly displaced: Holder | undefined }
  /** The identity is not, or not any more, what the claimant has proved itself against; nothing has changed. */
  | { readonly kind: 'refused'; readonly reason: DisconnectReason }
  /** Whether the store has taken the claim is not known, because its answer was lost: the claimant gives it back. */
  | { readonly kind: 'unknown'; readonly error: unknown }
  /** The store has not been asked, or has answered that it takes none of this node: there is nothing to give back. */
  | { readonly kind: 'none'; readonly error: unknown };

/**
 * Who holds an identity's place, at which node and since when. One contract suite (`stores/contract/places.ts`) runs over
 * every implementation.
 */
export interface Places {
  /**
   * Gives the places to the claimants, in the order given: the newest of an identity has it. A claim holds only for an
   * identity of its generation that is enabled, by an authority that is trusted, as the store knows them in that step; a
   * store that does not know them leaves it to its caller. Never rejects: each claim has its outcome.
   */
  claim(claims: readonly Holder[]): Promise<readonly PlaceOutcome[]>;
  /** Frees the places that these still have; one that has lost its place, or never had it, changes nothing. */
  release(holders: readonly Holder[]): Promise<void>;
  find(key: IdentityKey): Promise<Holder | undefined>;
  /** What a node holds. May read every place of the hub: not for often. */
  of(node: string): Promise<readonly Holder[]>;
  /** Devices (not modules) that have a connection. */
  connectedDevices(): Promise<number>;
  /** A node has gone: frees every place of it, and tells which. */
  leave(node: string): Promise<readonly Holder[]>;
}

/** The connections of one member, as others reach them. One that is not there any more is nothing to them. */
export interface Connections {
  /**
   * Ends the connection. Resolves when everything that it, and those before it, had handed over is durable or has failed.
   * @throws HubError ServiceUnavailable (whether that is so is not known)
   */
  drop(place: PlaceRef, reason: DisconnectReason): Promise<void>;
  /** Ends what the identity has at that member, whichever connection it is. Resolves as `drop` does, for what was there. */
  end(key: IdentityKey, reason: DisconnectReason): Promise<void>;
  wake(place: PlaceRef): void;
  notify(place: PlaceRef, note: Note): void;
  /** @throws HubError as `Presence.invoke` */
  invoke(place: PlaceRef, call: Call, signal: AbortSignal): Promise<unknown>;
}

/** The other nodes that share the places, as presence of one needs them. */
export interface Neighbours {
  /** The name of this one; another one after a time without a lease, in which it had no connections. */
  readonly own: string;
  /** The connections of another; undefined = it has gone, and everything of it is settled. */
  of(node: string): Connections | undefined;
  /** Resolves when what connections of this node's own loop have handed over is durable or has failed. */
  settled(): Promise<void>;
  /**
   * Where it is not known from whom a place was taken: ends what the identity has at every other node that lives. Asks again where one
   * fails. Resolves when what was there is settled, or when this node has gone under its name, whose places others free then.
   */
  endElsewhere(key: IdentityKey): Promise<void>;
}
