import { HubError } from '../errors.ts';
import type { Presence, PresenceTicket } from '../presence/ports.ts';
import type { Call, ConnectionClaim, DisconnectReason, Note } from '../presence/types.ts';

/** Hears of every connection once when it has its place and once when it has lost it, in this order. */
export interface ConnectionWatcher {
  connected(claim: ConnectionClaim, connectionId: string): void;
  disconnected(claim: ConnectionClaim, connectionId: string, reason: DisconnectReason, detail?: string): void;
  /** Something came from the device or went to it. Called for each chunk of bytes: no more than setting a flag. */
  touched?(claim: ConnectionClaim): void;
}

/** Who is told of the connections of one presence, and under which ids. */
interface Told {
  idOf(connection: number): string;
  readonly watchers: readonly ConnectionWatcher[];
  readonly touching: readonly ConnectionWatcher[];
}

/**
 * The same presence, whose connections are told to `watchers`. A connection that is taken over is told as ended before
 * the one that took its place is told as connected; one that is dropped while its claim is still being answered is told
 * as connected first.
 */
export function watchedPresence(
  presence: Presence,
  watchers: readonly ConnectionWatcher[],
  idOf: (connection: number) => string,
): Presence {
  const told: Told = { watchers, touching: watchers.filter((watcher) => watcher.touched !== undefined), idOf };
  let connections = 0;
  return {
    ...presence,
    async claim(claim): Promise<PresenceTicket> {
      const watched = new WatchedConnection(claim, ++connections, told);
      watched.place(await presence.claim(watched));
      return watched;
    },
  };
}

/** A connection towards presence and towards its own side: one object of few fields, because there are so many of them. */
class WatchedConnection implements ConnectionClaim, PresenceTicket {
  readonly #claim: ConnectionClaim;
  readonly #number: number;
  readonly #told: Told;
  #state: 'claiming' | 'connected' | 'ended' = 'claiming';
  /** Set when the claim has been answered. */
  #ticket: PresenceTicket | undefined;

  constructor(claim: ConnectionClaim, number: number, told: Told) {
    this.#claim = claim;
    this.#number = number;
    this.#told = told;
  }

  get key(): ConnectionClaim['key'] {
    return this.#claim.key;
  }

  get generationId(): string {
    return this.#claim.generationId;
  }

  get protocol(): ConnectionClaim['protocol'] {
    return this.#claim.protocol;
  }

  get credential(): ConnectionClaim['credential'] {
    return this.#claim.credential;
  }

  get authority(): string | undefined {
    return this.#claim.authority;
  }

  get credentials(): string | undefined {
    return this.#claim.credentials;
  }

  get peer(): string {
    return this.#claim.peer;
  }

  place(ticket: PresenceTicket): void {
    this.#ticket = ticket;
    this.#begin();
  }

  get member(): string | undefined {
    return this.#claim.member;
  }

  drop(reason: DisconnectReason): Promise<void> | void {
    this.#end(reason);
    return this.#claim.drop(reason);
  }

  wake(): void {
    this.#claim.wake?.();
  }

  notify(note: Note): void {
    this.#claim.notify?.(note);
  }

  invoke(call: Call, signal: AbortSignal): Promise<unknown> {
    if (this.#claim.invoke === undefined) return Promise.reject(new HubError('OperationNotAvailable'));
    return this.#claim.invoke(call, signal);
  }

  release(reason: DisconnectReason, detail?: string): void {
    this.#ticket?.release(reason, detail);
    this.#end(reason, detail);
  }

  touch(): void {
    this.#ticket?.touch();
    for (const watcher of this.#told.touching) watcher.touched?.(this.#claim);
  }

  #begin(): void {
    if (this.#state !== 'claiming') return;
    this.#state = 'connected';
    const id = this.#told.idOf(this.#number);
    for (const watcher of this.#told.watchers) watcher.connected(this.#claim, id);
  }

  #end(reason: DisconnectReason, detail?: string): void {
    this.#begin();
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    const id = this.#told.idOf(this.#number);
    for (const watcher of this.#told.watchers) watcher.disconnected(this.#claim, id, reason, detail);
  }
}
