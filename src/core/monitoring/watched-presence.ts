import type { Presence, PresenceTicket } from '../presence/ports.ts';
import type { ConnectionClaim, DisconnectReason } from '../presence/types.ts';

/** Hears of every connection once when it has its place and once when it has lost it, in this order. */
export interface ConnectionWatcher {
  connected(claim: ConnectionClaim, connectionId: string): void;
  disconnected(claim: ConnectionClaim, connectionId: string, reason: DisconnectReason): void;
  /** Something came from the device or went to it. Called for each chunk of bytes: no more than setting a flag. */
  touched?(claim: ConnectionClaim): void;
}

/**
 * The same presence, whose connections are told to `watchers`. A connection that is taken over is told as ended before
 * the one that took its place is told as connected; one that is dropped while its claim is still being answered is told
 * as connected first.
 */
export function watchedPresence(
  presence: Presence,
  watchers: readonly ConnectionWatcher[],
  newId: () => string,
): Presence {
  const touching = watchers.filter((watcher) => watcher.touched !== undefined);
  return {
    ...presence,
    async claim(claim): Promise<PresenceTicket> {
      const watched = new WatchedConnection(claim, newId(), watchers, touching);
      watched.place(await presence.claim(watched));
      return watched;
    },
  };
}

/** A connection towards presence and towards its own side: one object of few fields, because there are so many of them. */
class WatchedConnection implements ConnectionClaim, PresenceTicket {
  // What presence reads of a claim, as fields of its own: some copy them.
  readonly key: ConnectionClaim['key'];
  readonly generationId: string;
  readonly protocol: ConnectionClaim['protocol'];
  readonly credential: ConnectionClaim['credential'];
  readonly authority?: string;
  readonly peer: string;
  readonly #claim: ConnectionClaim;
  readonly #id: string;
  readonly #watchers: readonly ConnectionWatcher[];
  readonly #touching: readonly ConnectionWatcher[];
  #state: 'claiming' | 'connected' | 'ended' = 'claiming';
  /** Set when the claim has been answered. */
  #ticket: PresenceTicket | undefined;

  constructor(
    claim: ConnectionClaim,
    id: string,
    watchers: readonly ConnectionWatcher[],
    touching: readonly ConnectionWatcher[],
  ) {
    this.key = claim.key;
    this.generationId = claim.generationId;
    this.protocol = claim.protocol;
    this.credential = claim.credential;
    if (claim.authority !== undefined) this.authority = claim.authority;
    this.peer = claim.peer;
    this.#claim = claim;
    this.#id = id;
    this.#watchers = watchers;
    this.#touching = touching;
  }

  place(ticket: PresenceTicket): void {
    this.#ticket = ticket;
    this.#begin();
  }

  drop(reason: DisconnectReason): void {
    this.#end(reason);
    this.#claim.drop(reason);
  }

  wake(): void {
    this.#claim.wake?.();
  }

  release(reason: DisconnectReason): void {
    this.#ticket?.release(reason);
    this.#end(reason);
  }

  touch(): void {
    this.#ticket?.touch();
    for (const watcher of this.#touching) watcher.touched?.(this.#claim);
  }

  #begin(): void {
    if (this.#state !== 'claiming') return;
    this.#state = 'connected';
    for (const watcher of this.#watchers) watcher.connected(this.#claim, this.#id);
  }

  #end(reason: DisconnectReason): void {
    this.#begin();
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    for (const watcher of this.#watchers) watcher.disconnected(this.#claim, this.#id, reason);
  }
}
