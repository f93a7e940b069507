import { HubError } from '../../core/errors.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { DevicePrincipal, IdentityKey } from '../../core/identity/types.ts';
import type { Presence, PresenceTicket } from '../../core/presence/ports.ts';
import type { ConnectionClaim, DisconnectReason } from '../../core/presence/types.ts';
import type { AnyLink } from './link.ts';

/** Where a connection comes from. */
export interface DeviceOrigin {
  readonly protocol: 'amqp' | 'amqp-ws';
  /** Peer address without its port. */
  readonly peer: string;
}

/**
 * One device or module behind an AMQP connection, which may carry many. It has its identity's place from its first link to
 * its last, and all its links end when it loses that place.
 */
export class DevicePeer implements ConnectionClaim {
  /** Renewed with each token. */
  principal: DevicePrincipal;
  readonly key: IdentityKey;
  readonly generationId: string;
  readonly protocol: DeviceOrigin['protocol'];
  readonly credential: DevicePrincipal['authType'];
  readonly authority: string | undefined;
  readonly peer: string;
  /** Why it has lost its place; undefined while it has it. */
  lost: DisconnectReason | undefined;
  readonly #links = new Set<AnyLink>();
  readonly #listeners = new Set<() => void>();
  readonly #onLost: (peer: DevicePeer, reason: DisconnectReason) => void;
  #ticket: PresenceTicket | undefined;

  constructor(
    principal: DevicePrincipal,
    origin: DeviceOrigin,
    onLost: (peer: DevicePeer, reason: DisconnectReason) => void,
  ) {
    this.principal = principal;
    this.key = principal.key;
    this.generationId = principal.generationId;
    this.protocol = origin.protocol;
    this.credential = principal.authType;
    this.authority = principal.authority;
    this.peer = origin.peer;
    this.#onLost = onLost;
  }

  get name(): string {
    return identityName(this.key);
  }

  get credentials(): string | undefined {
    return this.principal.credentials;
  }

  get links(): Iterable<AnyLink> {
    return this.#links;
  }

  /** Takes the identity's place. @throws HubError if the identity has none any more. */
  async enter(presence: Presence): Promise<void> {
    const ticket = await presence.claim(this);
    this.#ticket = ticket;
    if (this.lost !== undefined) throw refusalOf(this.lost);
  }

  addLink(link: AnyLink): void {
    this.#links.add(link);
  }

  removeLink(link: AnyLink): void {
    this.#links.delete(link);
  }

  /** The device said something. */
  touch(): void {
    this.#ticket?.touch();
  }

  /** Calls `listener` when something may wait for the device. The returned function ends it. */
  onWake(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  wake(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Presence: the place is somebody else's now, or nobody's. */
  drop(reason: DisconnectReason): void {
    this.lost ??= reason;
    this.#onLost(this, reason);
  }

  /** Gives the place back. */
  leave(reason: DisconnectReason): void {
    this.lost ??= reason;
    this.#ticket?.release(reason);
  }
}

/** Why links end that are told so. */
export function refusalOf(reason: DisconnectReason): HubError {
  switch (reason) {
    case 'taken-over':
      return new HubError('LinkCreationConflict', 'A newer connection of this identity has taken its place.');
    case 'token-expired':
      return new HubError('IotHubUnauthorized', 'The token has expired.', { reason: 'expired-token' });
    case 'deleted':
      return new HubError('DeviceNotFound', undefined, { reason });
    case 'disabled':
    case 'authority-removed':
    case 'credentials-changed':
      return new HubError('IotHubUnauthorized', undefined, { reason });
    default:
      return new HubError('ServiceUnavailable', undefined, { reason });
  }
}
