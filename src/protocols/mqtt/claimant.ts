import { assert } from '../../base/assert.ts';
import type { LogFields } from '../../base/log.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { DevicePrincipal, IdentityKey } from '../../core/identity/types.ts';
import type { ConnectionClaim, DisconnectReason } from '../../core/presence/types.ts';
import { Gated } from './gate.ts';
import { type ConnectTraits, PLAIN_TRAITS } from './handshake.ts';
import type { Link, Origin } from './link.ts';

/**
 * Who is at the other end of an MQTT connection: what it has proved, and said of itself in its CONNECT. It is the claim to
 * its identity's place itself. A session is one and does not have one: there is a session for each idle connection.
 */
export abstract class Claimant extends Gated implements ConnectionClaim {
  readonly protocol: Origin['protocol'];
  readonly peer: string;
  /** Set when the device has proved who it is. */
  protected principal: DevicePrincipal | undefined;
  protected traits: ConnectTraits = PLAIN_TRAITS;

  constructor(link: Link, { protocol, peer }: Origin) {
    super(link);
    this.protocol = protocol;
    this.peer = peer;
  }

  get key(): IdentityKey {
    return this.device.key;
  }

  get generationId(): string {
    return this.device.generationId;
  }

  get credential(): DevicePrincipal['authType'] {
    return this.device.authType;
  }

  get authority(): string | undefined {
    return this.device.authority;
  }

  get credentials(): string | undefined {
    return this.device.credentials;
  }

  get omitEmptyProperties(): boolean {
    return this.traits.omitEmptyProperties;
  }

  abstract drop(reason: DisconnectReason): void;

  abstract wake(): void;

  protected get device(): DevicePrincipal {
    assert(this.principal !== undefined, 'asked for behind the CONNECT only');
    return this.principal;
  }

  /** For the log. */
  protected facts(): LogFields {
    const identity = this.principal && identityName(this.principal.key);
    return { protocol: this.protocol, peer: this.peer, identity };
  }
}
