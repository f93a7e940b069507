import { HubError } from '../../../core/errors.ts';
import type { Operation } from '../../../core/identity/operations.ts';
import type { HubPlace } from '../../../core/identity/permissions.ts';
import type { Principal } from '../../../core/identity/types.ts';
import type { Address, RedirectAddress } from '../addresses.ts';
import type { AnyLink } from '../engine/any-link.ts';
import { IncomingLink } from '../engine/incoming-link.ts';
import { OutgoingLink } from '../engine/outgoing-link.ts';
import type { Grants } from '../grants.ts';
import type { LinkHost } from '../link-host.ts';
import type { RequestNode } from '../request-node.ts';
import { openCommandIntake } from './command-intake.ts';
import { openEventReader, redirection, streamName } from './event-reader.ts';
import { LockedDelivery } from './locked-delivery.ts';
import { fileNotifications, receipts } from './locked-sources.ts';

type ServiceAddress = Exclude<Address, { readonly kind: 'cbs' | 'device' | 'gateway' }>;

export interface ServiceLinksParts {
  readonly host: LinkHost;
  readonly grants: Grants;
  readonly management: RequestNode;
  /** Sends an old client to another address: port, and the host that it has dialled. */
  redirectTo(): { readonly port: number; readonly dialled: string; readonly trackingId: string };
}

/** Opens the links of back ends, and ends them when nothing allows them any more. */
export class ServiceLinks {
  readonly #parts: ServiceLinksParts;
  /** What allows each link; throws when nothing does. */
  readonly #open = new Map<AnyLink, () => Principal>();

  constructor(parts: ServiceLinksParts) {
    this.#parts = parts;
  }

  /** @throws HubError; the link is still to be refused then. */
  async open(link: AnyLink, address: ServiceAddress): Promise<void> {
    const { host, management } = this.#parts;
    if (address.kind === 'management') {
      // Each request is judged by itself, and may bring its own token.
      if (link instanceof OutgoingLink) management.openAnswers(link);
      else management.openRequests(link);
    } else if (address.kind === 'partition' && link instanceof OutgoingLink) {
      const { eventHub, consumerGroup, partition } = address;
      const path = [eventHub, 'ConsumerGroups', consumerGroup, 'Partitions', partition];
      await openEventReader(link, address, host, this.#admit(link, 'events.read', { path })());
    } else if (address.kind === 'redirect') {
      this.#demandRedirect(address);
      link.detach(redirection(address, { hub: host.hub, ...this.#parts.redirectTo() }), {
        withoutTermini: true,
      });
    } else if (address.kind === 'commands' && link instanceof IncomingLink) {
      openCommandIntake(link, host, this.#admit(link, 'commands.send'));
    } else if (address.kind === 'receipts' && link instanceof OutgoingLink) {
      new LockedDelivery(link, host, receipts(host, this.#admit(link, 'feedback.receive')));
    } else if (address.kind === 'fileNotifications' && link instanceof OutgoingLink) {
      new LockedDelivery(link, host, fileNotifications(host, this.#admit(link, 'fileNotifications.receive')));
    } else this.#refuse(link, address);
  }

  /** A token for the address that was asked for will do, or one for what it stands for. @throws HubError */
  #demandRedirect({ stream, rest }: RedirectAddress): void {
    const { grants, host } = this.#parts;
    const { guard, name } = host.hub;
    const asked = stream === 'telemetry' ? 'events' : 'operationsMonitoringEvents';
    const places = [
      [streamName(stream, name), '$management'],
      ['messages', asked, ...rest.split('/').filter(Boolean)],
    ];
    try {
      grants.demand(guard, 'events.read', { path: places[0] }, false);
    } catch {
      grants.demand(guard, 'events.read', { path: places[1] });
    }
  }

  /** Ends the links that nothing allows any more. */
  expire(ended: HubError): void {
    for (const [link, principal] of [...this.#open]) {
      try {
        principal();
      } catch {
        link.detach(this.#parts.host.error(ended));
      }
    }
  }

  /** @returns the principal by whom the link lives, as of now. @throws HubError */
  #admit(link: AnyLink, operation: Operation, place?: HubPlace): () => Principal {
    const { grants, host } = this.#parts;
    const { guard } = host.hub;
    let allowing = grants.demand(guard, operation, place);
    // Asked for every message: what allowed the last one allows this one too, until it ends.
    const principal = (): Principal => {
      if (allowing.expiresAt <= host.hub.clock.now()) allowing = grants.demand(guard, operation, place, false);
      return allowing;
    };
    this.#open.set(link, principal);
    link.whenClosed(() => this.#open.delete(link));
    return principal;
  }

  /** Says the truth only to those who may do something here. @throws HubError always */
  #refuse(link: AnyLink, address: Address): never {
    const { grants, host } = this.#parts;
    const place = 'eventHub' in address ? { path: [address.eventHub, '$management'] } : undefined;
    const principal = grants.demand(host.hub.guard, 'events.read', place);
    if (address.kind === 'eventHub' && link instanceof IncomingLink) {
      host.hub.events.inspect(principal, address.eventHub);
      throw new HubError('IotHubUnauthorizedAccess', 'Events are sent by devices, not to the event hub.');
    }
    throw new HubError('AmqpAddressNotFound');
  }
}
