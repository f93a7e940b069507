import type { Duplex } from 'node:stream';
import type { Cancel } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { uuid } from '../../base/random.ts';
import { asHubError, HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { HubPlace } from '../../core/identity/permissions.ts';
import type { Principal } from '../../core/identity/types.ts';
import type { AmqpError } from '../../wire/amqp/performatives.ts';
import { int, string } from '../../wire/amqp/performatives.ts';
import { type Address, readAddress } from './addresses.ts';
import { putToken } from './cbs.ts';
import { AmqpConnection } from './connection.ts';
import { EventDelivery } from './delivery.ts';
import { Grants } from './grants.ts';
import { type AnyLink, IncomingLink, OutgoingLink } from './links.ts';
import { partitionNumber, readEntity } from './management.ts';
import { readPosition } from './positions.ts';
import { amqpError } from './refusals.ts';
import { RequestNode, refusedAnswer } from './request-node.ts';
import { readPlainUser, type SaslInit } from './sasl.ts';

export interface PeerOptions {
  /** Address of the other side, for the log. */
  readonly peer: string;
  /** Port of the AMQP door with TLS, where old clients are sent (service reference 6). */
  readonly redirectPort: number;
  readonly log: Log;
  /** The connection is gone. */
  closed(): void;
}

const METRICS = 'com.microsoft:enable-receiver-runtime-metric';
const EPOCH = 'com.microsoft:epoch';
const RECEIVER_NAME = 'com.microsoft:receiver-name';

/** One AMQP peer of the hub: what it has proved to be, and what its links are for. */
export class AmqpPeer {
  readonly #hub: Hub;
  readonly #options: PeerOptions;
  readonly #connection: AmqpConnection;
  readonly #grants = new Grants();
  readonly #readers = new Set<AnyLink>();
  readonly #cbs: RequestNode;
  readonly #management: RequestNode;
  #cancelExpiry: Cancel = () => {};

  constructor(hub: Hub, stream: Duplex, options: PeerOptions) {
    this.#hub = hub;
    this.#options = options;
    this.#cbs = new RequestNode((request) =>
      putToken(
        request,
        hub.authentication,
        (name, principal) => this.#grant(name, principal),
        (error) => this.#logRefusal(error),
      ),
    );
    this.#management = new RequestNode(async (request) => {
      try {
        return readEntity(request, (eventHub) => {
          const place = hub.events.eventHub(eventHub) && { path: [eventHub, '$management'] };
          return hub.events.inspect(this.#grants.demand('events.read', hub.clock.now(), place), eventHub);
        });
      } catch (error) {
        return refusedAnswer(this.#explained(error, { kind: 'management' }, ''));
      }
    });
    this.#connection = new AmqpConnection(
      stream,
      {
        authenticate: (init) => this.#authenticate(init),
        linkAttached: (link) => this.#linkAttached(link),
        closed: () => this.#closed(),
      },
      { containerId: `mooring-${hub.name}`, clock: hub.clock, log: options.log },
    );
  }

  /** Says good-bye and ends the connection. */
  close(error: AmqpError): void {
    this.#connection.close(error);
  }

  async #authenticate(init: SaslInit): Promise<boolean> {
    if (init.kind === 'anonymous') return true;
    try {
      this.#grant('', await this.#plainPrincipal(init.user, init.password));
      return true;
    } catch (error) {
      this.#logRefusal(asHubError(error));
      return false;
    }
  }

  async #plainPrincipal(user: string, password: string): Promise<Principal> {
    const { authentication, hostNames } = this.#hub;
    const named = readPlainUser(user, hostNames);
    // A user of another hub is looked up like a policy that does not exist: it takes as long and says as little.
    if (named === undefined) return authentication.policyKey(user, password);
    if (named.kind === 'policyKey') return authentication.policyKey(named.policyName, password);
    if (named.kind === 'deviceToken') return authentication.device(named.key, { kind: 'token', token: password });
    const principal = await authentication.token(password);
    if (principal.kind !== 'policy' || principal.policyName !== named.policyName) {
      throw new HubError('IotHubUnauthorized', undefined, { reason: 'wrong-resource' });
    }
    return principal;
  }

  #grant(name: string, principal: Principal): void {
    this.#grants.add(name, principal);
    this.#connection.authenticated();
    this.#watchExpiry();
  }

  /** Tokens end what they allowed when they end (device reference 3.2). */
  #watchExpiry(): void {
    this.#cancelExpiry();
    const { clock } = this.#hub;
    const next = this.#grants.nextExpiry;
    if (next === Number.POSITIVE_INFINITY) return;
    this.#cancelExpiry = clock.after(Math.max(1, next - clock.now()), () => this.#expire());
  }

  #expire(): void {
    const now = this.#hub.clock.now();
    this.#grants.expire(now);
    const ended = new HubError('IotHubUnauthorized', 'The token has expired.', { reason: 'expired-token' });
    for (const link of this.#readers) {
      try {
        this.#grants.demand('events.read', now);
      } catch {
        link.detach(this.#error(ended));
      }
    }
    if (this.#grants.isEmpty) this.#connection.close(this.#error(ended));
    else this.#watchExpiry();
  }

  #linkAttached(link: AnyLink): void {
    const { attach } = link;
    const text = (attach.peerReceives ? attach.sourceAddress : attach.targetAddress) ?? '';
    const address = readAddress(text);
    this.#open(link, address).catch((error) => {
      const refusal = this.#explained(error, address, text);
      link.detach(this.#error(refusal));
    });
  }

  async #open(link: AnyLink, address: Address): Promise<void> {
    if (address.kind === 'cbs') {
      this.#openRequests(this.#cbs, link);
      return;
    }
    const principal = this.#grants.demand('events.read', this.#hub.clock.now(), this.#placeOf(address));
    if (address.kind === 'management') this.#openRequests(this.#management, link);
    else if (address.kind === 'partition' && link instanceof OutgoingLink)
      await this.#openReader(link, address, principal);
    else if (address.kind === 'redirect') this.#redirect(link, address, principal);
    else if (address.kind === 'eventHub' && link instanceof IncomingLink) {
      this.#hub.events.inspect(principal, address.eventHub);
      throw new HubError('IotHubUnauthorizedAccess', 'Events are sent by devices, not to the event hub.');
    } else throw new HubError('AmqpAddressNotFound');
  }

  /** What a token must cover to open a link there; a node for requests asks again for each of them. */
  #placeOf(address: Address): HubPlace | undefined {
    if (address.kind !== 'partition' || this.#hub.events.eventHub(address.eventHub) === undefined) return undefined;
    return { path: [address.eventHub, 'ConsumerGroups', address.consumerGroup, 'Partitions', address.partition] };
  }

  #openRequests(node: RequestNode, link: AnyLink): void {
    if (link instanceof OutgoingLink) node.openAnswers(link);
    else node.openRequests(link);
  }

  async #openReader(
    link: OutgoingLink,
    place: { readonly eventHub: string; readonly consumerGroup: string; readonly partition: string },
    principal: Principal,
  ): Promise<void> {
    const { events, clock } = this.#hub;
    const position = readPosition(link.attach.filter);
    const { log, partition, consumerGroup } = await events.openReader(principal, place);
    const from = await log.seek(partition, position);
    const { lastSequence } = log.partition(partition);
    if (position.kind === 'sequence' && from > lastSequence + 1) {
      throw new HubError(
        'ArgumentInvalid',
        `The supplied sequence number '${position.sequence}' is invalid. The last sequence number in the system is '${lastSequence}'`,
      );
    }
    if (link.state !== 'opening') return;
    const epoch = link.attach.properties.get(EPOCH);
    const name = link.attach.properties.get(RECEIVER_NAME);
    const leave = await events.enterReceiver(log.name, consumerGroup, partition, {
      name: typeof name === 'string' ? name : link.attach.name,
      epoch: typeof epoch === 'number' ? epoch : undefined,
      displaced: (reason) => link.detach(this.#error(reason)),
    });
    if (link.state !== 'opening') {
      leave();
      return;
    }
    const withMetrics = link.attach.desiredCapabilities.includes(METRICS);
    const delivery = new EventDelivery({
      link,
      log,
      partition,
      from,
      withMetrics,
      now: () => clock.now(),
      unsentBytes: () => this.#connection.unsentBytes,
      failed: (error) => {
        this.#options.log.error({ eventHub: log.name, partition, error }, 'events could not be read');
        link.detach(this.#error(error));
      },
    });
    link.onClosed = () => {
      delivery.stop();
      leave();
      this.#readers.delete(link);
    };
    link.onSendable = () => delivery.pump();
    this.#readers.add(link);
    link.open({ sendsSettled: true, offeredCapabilities: withMetrics ? [METRICS] : undefined });
  }

  /** Sends an old client from the hub's address to the event hub's (service reference 6). */
  #redirect(
    link: AnyLink,
    { stream, rest }: { readonly stream: 'telemetry' | 'monitoring'; readonly rest: string },
    principal: Principal,
  ): void {
    const { name, hostNames, events } = this.#hub;
    const log = events.inspect(principal, stream === 'telemetry' ? name : `${name}-monitoring`);
    const dialled = this.#connection.peerHost.replace(/:\d+$/, '');
    const host = dialled !== '' && hostNames.accepts(dialled) ? dialled : hostNames.all[0];
    const port = this.#options.redirectPort;
    const error: AmqpError = {
      condition: 'amqp:link:redirect',
      info: [
        ['hostname', string(host)],
        ['network-host', string(host)],
        ['port', int(port)],
        ['address', string(`amqps://${host}:${port}/${log.name}${rest}`)],
        ['com.microsoft:tracking-id', string(uuid(this.#hub.random))],
      ],
    };
    link.detach(error, { withoutTermini: true });
  }

  /** The texts that SDKs look for, in place of the core's own (service reference 5.2). */
  #explained(error: unknown, address: Address, text: string): HubError {
    const refusal = asHubError(error);
    if (refusal.code === 'ServerError') this.#options.log.error({ error }, 'an AMQP request failed inside the hub');
    if (refusal.code === 'IotHubUnauthorized') this.#logRefusal(refusal);
    const isMissing = refusal.code === 'AmqpAddressNotFound' || refusal.code === 'ConsumerGroupNotFound';
    if (isMissing) {
      const path = text.replace(/^[a-z]+:\/\/[^/]*\/?/i, '').replace(/^\//, '');
      const entity = `sb://${this.#connection.peerHost || this.#hub.hostNames.all[0]}/${path}`;
      return new HubError(refusal.code, `The messaging entity '${entity}' could not be found.`);
    }
    if (refusal.code === 'PartitionNotFound' && address.kind === 'partition') {
      const log = this.#hub.events.eventHub(address.eventHub);
      if (log !== undefined) {
        try {
          partitionNumber(address.partition, log);
        } catch (explained) {
          return asHubError(explained);
        }
      }
    }
    return refusal;
  }

  #error(error: unknown): AmqpError {
    return amqpError(error, uuid(this.#hub.random));
  }

  #logRefusal(error: HubError): void {
    this.#options.log.info({ peer: this.#options.peer, code: error.code, reason: error.reason }, 'AMQP peer refused');
  }

  #closed(): void {
    this.#cancelExpiry();
    this.#options.closed();
  }
}
