import type { Duplex } from 'node:stream';
import type { Cancel } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { uuid } from '../../base/random.ts';
import type { Shares } from '../../base/shares.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { deviceShare, shareName } from '../../core/identity/share-name.ts';
import type { PeerCertificate, PolicyPrincipal, Principal } from '../../core/identity/types.ts';
import { clipped } from '../../core/monitoring/concerned.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import type { AmqpError } from '../../wire/amqp/performatives.ts';
import { type Address, pathOf, readAddress } from './addresses.ts';
import type { DeliveryTurns } from './back-ends/delivery-turns.ts';
import { readEntity } from './back-ends/management.ts';
import { ServiceLinks } from './back-ends/service-links.ts';
import { putToken } from './cbs.ts';
import type { AmqpOrigin } from './devices/attached-device.ts';
import { AttachedDevices } from './devices/attached-devices.ts';
import { DeviceLinks } from './devices/device-links.ts';
import type { AnyLink } from './engine/any-link.ts';
import { AmqpConnection, type SaslDecision } from './engine/connection.ts';
import type { UnprovedBytes } from './engine/kept-bytes.ts';
import { OutgoingLink } from './engine/outgoing-link.ts';
import type { Pulse } from './engine/pulse.ts';
import { readPlainUser, type SaslInit } from './engine/sasl.ts';
import { GatewayLinks } from './gateways/gateway-links.ts';
import { Grants } from './grants.ts';
import type { LinkHost } from './link-host.ts';
import { amqpError } from './refusals.ts';
import { RequestNode, refusedAnswer } from './request-node.ts';

export interface PeerOptions {
  readonly origin: AmqpOrigin;
  /** The client certificate of the TLS layer. */
  certificate(): PeerCertificate | undefined;
  /** A client has proved who it is. @param by whose share the connection uses */
  proved(by: string): void;
  /** Port of the AMQP door with TLS, where old clients are sent (service reference 6). */
  readonly redirectPort: number;
  readonly log: Log;
  readonly pulse: Pulse;
  readonly turns: DeliveryTurns;
  /** As `LinkHost.takes`, of the whole door. */
  readonly takes: Shares;
  /** As `LinkHost.commandBytes`, of the whole door. */
  readonly commandBytes: Shares;
  /** Of all connections of this thread. */
  readonly unproved: UnprovedBytes;
  /** The connection is gone. */
  closed(): void;
}

/** One AMQP peer of the hub: what it has proved to be, and what its links are for. */
export class AmqpPeer {
  readonly #hub: Hub;
  readonly #options: PeerOptions;
  readonly #connection: AmqpConnection;
  readonly #grants = new Grants();
  readonly #cbs: RequestNode;
  readonly #devices: AttachedDevices;
  readonly #deviceLinks: DeviceLinks;
  readonly #serviceLinks: ServiceLinks;
  readonly #gatewayLinks: GatewayLinks;
  /** Tokens of policies by which devices are yet to be renewed, by the name for which they were put. */
  readonly #renewals = new Map<string, { readonly token: string; readonly principal: PolicyPrincipal }>();
  #isRenewing = false;
  #refusalsLogged = 0;
  #hasToldRefusedLink = false;
  #cancelExpiry: Cancel = () => {};
  /** When the first proof ends, or one that has been renewed since; UTC milliseconds. */
  #expiryAt = Number.POSITIVE_INFINITY;

  constructor(hub: Hub, stream: Duplex, options: PeerOptions) {
    this.#hub = hub;
    this.#options = options;
    this.#cbs = new RequestNode((request) =>
      putToken(
        request,
        { authentication: hub.authentication, peer: options.origin.peer },
        (name, principal, token) => this.#grant(name, principal, token),
        (error) => this.#logRefusal(error),
      ),
    );
    this.#connection = new AmqpConnection(
      stream,
      {
        authenticate: (init) => this.#authenticate(init),
        linkAttached: (link) => this.#linkAttached(link),
        closing: (reason, detail) => this.#devices.close(reason, detail),
        closed: () => this.#closed(),
      },
      { containerId: `mooring-${hub.name}`, clock: hub.clock, log: options.log, unproved: options.unproved },
    );
    const host: LinkHost = {
      hub,
      log: options.log,
      pulse: options.pulse,
      turns: options.turns,
      takes: options.takes,
      commandBytes: options.commandBytes,
      socket: this.#connection,
      unsentBytes: () => this.#connection.unsentBytes,
      hold: () => this.#connection.hold(),
      error: (refusal) => this.#error(refusal),
    };
    this.#devices = new AttachedDevices({
      hub,
      grants: this.#grants,
      origin: options.origin,
      certificate: () => options.certificate(),
      lost: (device, refusal) => device.detach(() => this.#error(refusal), this.#devices.isEmpty),
    });
    this.#deviceLinks = new DeviceLinks(this.#devices, host);
    this.#gatewayLinks = new GatewayLinks(host, this.#grants, options.origin);
    this.#serviceLinks = new ServiceLinks({
      host,
      grants: this.#grants,
      management: this.#managementNode(),
      redirectTo: () => ({
        port: options.redirectPort,
        dialled: this.#connection.peerHost,
        trackingId: uuid(hub.random),
      }),
    });
  }

  /** Says good-bye and ends the connection. */
  close(error: AmqpError, reason: DisconnectReason): void {
    this.#connection.close(error, reason);
  }

  /**
   * The hub stops: reads nothing more, answers the twin requests that were taken (some SDKs wait for ever for an answer that went down
   * with its connection), then does as `close`.
   */
  drain(error: AmqpError, reason: DisconnectReason): void {
    const idle = this.#devices.idle();
    if (idle === undefined) {
      this.close(error, reason);
      return;
    }
    const release = this.#connection.hold();
    idle.then(() => {
      this.close(error, reason);
      release();
    });
  }

  #managementNode(): RequestNode {
    const { events } = this.#hub;
    return new RequestNode(async (request) => {
      try {
        return await readEntity(request, async (eventHub, token) =>
          events.inspect(await this.#managementPrincipal(eventHub, token), eventHub),
        );
      } catch (error) {
        return refusedAnswer(this.#explained(error, { kind: 'management' }, ''));
      }
    });
  }

  /**
   * Who may read what an event hub is. Java and .NET attach without a token and put one into each request; so it counts
   * where nothing that was proved before is enough, and is kept as if it had been put for this node.
   */
  async #managementPrincipal(eventHub: string, token: string | undefined): Promise<Principal> {
    const { authentication, guard, hostNames } = this.#hub;
    const path = [eventHub, '$management'];
    const demand = (isTold: boolean): Principal => this.#grants.demand(guard, 'events.read', { path }, isTold);
    if (token === undefined) return demand(true);
    try {
      return demand(false);
    } catch {
      const audience = `sb://${hostNames.all[0]}/${path.join('/')}`;
      const principal = await authentication.token(token, audience, this.#options.origin.peer);
      this.#grant(audience, principal, token);
      return demand(true);
    }
  }

  async #authenticate(init: SaslInit): Promise<SaslDecision> {
    if (init.kind === 'anonymous') return 'accepted';
    try {
      this.#grant('', await this.#plainPrincipal(init.user, init.password), init.password);
      return 'accepted';
    } catch (error) {
      const refusal = asHubError(error);
      this.#logRefusal(refusal);
      return refusal.code === 'ThrottlingException' ? 'later' : 'refused';
    }
  }

  async #plainPrincipal(user: string, password: string): Promise<Principal> {
    const { authentication, hostNames } = this.#hub;
    const { peer } = this.#options.origin;
    const named = readPlainUser(user, hostNames);
    // A user of another hub is looked up like a policy that does not exist: it takes as long and says as little.
    if (named === undefined) return authentication.policyKey(user, password, peer);
    if (named.kind === 'policyKey') return authentication.policyKey(named.policyName, password, peer);
    if (named.kind === 'deviceToken') {
      return authentication.device(named.key, { kind: 'token', token: password }, peer);
    }
    const principal = await authentication.token(password, undefined, peer);
    if (principal.kind !== 'policy' || principal.policyName !== named.policyName) {
      throw new HubError('IotHubUnauthorized', undefined, { reason: 'wrong-resource' });
    }
    return principal;
  }

  #grant(name: string, principal: Principal, token: string): void {
    this.#grants.add(name, principal, token);
    this.#proved(shareName(principal));
    if (principal.kind === 'device') this.#devices.renew(principal);
    else if (principal.permissions.has('DeviceConnect')) {
      this.#renewals.set(name, { token, principal });
      void this.#renewByPolicies();
    }
    this.#watchExpiry(principal.expiresAt);
  }

  #proved(by: string): void {
    this.#connection.authenticated();
    this.#options.proved(by);
  }

  /** One token after the other; of those put for one name while another is at work, the newest. Never rejects. */
  async #renewByPolicies(): Promise<void> {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    for (const [name, { token, principal }] of this.#renewals) {
      this.#renewals.delete(name);
      try {
        await this.#devices.renewByPolicy(token, principal);
      } catch (error) {
        this.#options.log.error({ error }, 'devices of an AMQP connection could not be renewed');
      }
    }
    this.#isRenewing = false;
  }

  /**
   * Tokens and certificates end what they allowed when they end (device reference 3.2). All of them are looked through only
   * when the first has ended, not for each that comes.
   * @param at when a new one ends, UTC milliseconds
   */
  #watchExpiry(at: number): void {
    if (at >= this.#expiryAt) return;
    this.#expiryAt = at;
    this.#cancelExpiry();
    const { clock } = this.#hub;
    this.#cancelExpiry = clock.after(Math.max(1, at - clock.now()), () => this.#expire());
  }

  #expire(): void {
    const now = this.#hub.clock.now();
    const ended = new HubError('IotHubUnauthorized', 'The token has expired.', { reason: 'expired-token' });
    this.#grants.expire(now);
    this.#devices.expire(now);
    this.#serviceLinks.expire(ended);
    this.#gatewayLinks.expire(ended);
    if (this.#grants.isEmpty && this.#devices.isEmpty) this.#connection.close(this.#error(ended), 'token-expired');
    else {
      this.#expiryAt = Number.POSITIVE_INFINITY;
      this.#watchExpiry(Math.min(this.#grants.nextExpiry, this.#devices.nextExpiry));
    }
  }

  #linkAttached(link: AnyLink): void {
    const { attach } = link;
    const text = (attach.peerReceives ? attach.sourceAddress : attach.targetAddress) ?? '';
    const address = readAddress(text);
    this.#open(link, address).catch((error) => {
      const refusal = this.#explained(error, address, text);
      this.#tellRefusedLink(refusal, text);
      link.detach(this.#error(refusal));
    });
  }

  async #open(link: AnyLink, address: Address): Promise<void> {
    if (address.kind === 'cbs') {
      if (link instanceof OutgoingLink) this.#cbs.openAnswers(link);
      else this.#cbs.openRequests(link);
    } else if (address.kind === 'device') {
      const { expiresAt } = await this.#deviceLinks.open(link, address);
      // A certificate proves its device without a token: here is where it has done so.
      this.#proved(deviceShare(address.key));
      this.#watchExpiry(expiresAt);
    } else if (address.kind === 'gateway') this.#gatewayLinks.open(link, address.endpoint);
    else await this.#serviceLinks.open(link, address);
  }

  /** The texts that SDKs look for, in place of the core's own (service reference 5.2). */
  #explained(error: unknown, _address: Address, text: string): HubError {
    const refusal = asHubError(error);
    if (refusal.code === 'ServerError') this.#options.log.error({ error }, 'an AMQP request failed inside the hub');
    if (refusal.code === 'IotHubUnauthorized') this.#logRefusal(refusal);
    const isMissing = refusal.code === 'AmqpAddressNotFound' || refusal.code === 'ConsumerGroupNotFound';
    if (isMissing) {
      const entity = `sb://${this.#connection.peerHost || this.#hub.hostNames.all[0]}/${pathOf(text)}`;
      return new HubError(refusal.code, `The messaging entity '${entity}' could not be found.`);
    }
    return refusal;
  }

  /** A mistyped address is to be found in the log. Once for each connection: attaching costs the peer little. */
  #tellRefusedLink({ code }: HubError, address: string): void {
    if (code === 'IotHubUnauthorized') return;
    const fields = { peer: this.#options.origin.peer, code, address: JSON.stringify(clipped(address)) };
    if (this.#hasToldRefusedLink) this.#options.log.debug(fields, 'AMQP link refused');
    else this.#options.log.info(fields, 'AMQP link refused');
    this.#hasToldRefusedLink = true;
  }

  #error(error: unknown): AmqpError {
    return amqpError(error, uuid(this.#hub.random));
  }

  #logRefusal({ code, reason }: HubError): void {
    if (this.#refusalsLogged >= limits.amqpRefusalsLoggedMax) return;
    const isLast = ++this.#refusalsLogged === limits.amqpRefusalsLoggedMax;
    const more = isLast && { more: 'the next refusals of this connection are not logged' };
    this.#options.log.info({ peer: this.#options.origin.peer, code, reason, ...more }, 'AMQP peer refused');
  }

  #closed(): void {
    this.#cancelExpiry();
    this.#devices.close('connection-lost');
    this.#options.closed();
  }
}
