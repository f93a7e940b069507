import type { Clock } from '../../base/clock.ts';
import { identityName } from '../identity/permissions.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Holder } from './places.ts';
import type { PresenceTicket } from './ports.ts';
import type { ConnectionClaim, DisconnectReason } from './types.ts';

/** What all sessions of one presence share. */
export interface SessionRoom {
  readonly node: string;
  readonly clock: Clock;
  release(session: Session, reason: DisconnectReason, detail: string | undefined): void;
}

/** A connection that has its place. */
export interface HeldSession extends Pick<Holder, 'key' | 'generationId'> {
  /** The version of desired properties up to which it was looked whether the device is told (`server/nodes/desired-look.ts`). */
  desiredVersion: number;
}

/** A connection, its claim to a place, and its ticket: one object of few fields, because there are so many of them. */
export class Session implements PresenceTicket, Holder, HeldSession {
  readonly claim: ConnectionClaim;
  readonly connection: number;
  readonly since: number;
  lastActivity: number;
  state: 'claiming' | 'held' | 'connected' | 'ended' = 'claiming';
  /** Since `heardOf` has last looked. */
  isHeardOf = false;
  desiredVersion = 0;
  readonly #room: SessionRoom;

  constructor(claim: ConnectionClaim, connection: number, room: SessionRoom) {
    this.claim = claim;
    this.connection = connection;
    this.since = room.clock.now();
    this.lastActivity = this.since;
    this.#room = room;
  }

  get key(): IdentityKey {
    return this.claim.key;
  }

  get generationId(): string {
    return this.claim.generationId;
  }

  get authority(): string | undefined {
    return this.claim.authority;
  }

  get credentials(): string | undefined {
    return this.claim.credentials;
  }

  get node(): string {
    return this.#room.node;
  }

  release(reason: DisconnectReason, detail?: string): void {
    this.#room.release(this, reason, detail);
  }

  touch(): void {
    this.lastActivity = this.#room.clock.now();
    this.isHeardOf = true;
  }
}

/** Sessions of which an identity may have several. */
export class SessionsByIdentity {
  readonly #byName = new Map<string, Set<Session>>();

  add(session: Session): void {
    const name = identityName(session.key);
    this.#byName.set(name, (this.#byName.get(name) ?? new Set()).add(session));
  }

  delete(session: Session): void {
    const name = identityName(session.key);
    const all = this.#byName.get(name);
    if (all?.delete(session) === true && all.size === 0) this.#byName.delete(name);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  of(name: string): readonly Session[] {
    return [...(this.#byName.get(name) ?? [])];
  }

  *[Symbol.iterator](): Iterator<Session> {
    for (const sessions of this.#byName.values()) yield* sessions;
  }
}
