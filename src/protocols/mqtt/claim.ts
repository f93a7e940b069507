import type { DevicePrincipal, IdentityKey } from '../../core/identity/types.ts';
import type { ConnectionClaim, DisconnectReason } from '../../core/presence/types.ts';
import type { Origin } from './link.ts';

/** A session's claim to its identity's place. One object and no closures, because there is one for each idle connection. */
export class SessionClaim implements ConnectionClaim {
  readonly key: IdentityKey;
  readonly generationId: string;
  readonly protocol: Origin['protocol'];
  readonly credential: DevicePrincipal['authType'];
  readonly authority: string | undefined;
  readonly peer: string;
  readonly #session: { drop(reason: DisconnectReason): void; wake(): void };

  constructor(
    { key, generationId, authType, authority }: DevicePrincipal,
    { protocol, peer }: Origin,
    session: { drop(reason: DisconnectReason): void; wake(): void },
  ) {
    this.key = key;
    this.generationId = generationId;
    this.protocol = protocol;
    this.credential = authType;
    this.authority = authority;
    this.peer = peer;
    this.#session = session;
  }

  drop(reason: DisconnectReason): void {
    this.#session.drop(reason);
  }

  wake(): void {
    this.#session.wake();
  }
}
