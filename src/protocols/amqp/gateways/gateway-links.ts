import type { DeviceOrigin } from '../../../core/devices/connection.ts';
import { HubError } from '../../../core/errors.ts';
import type { PolicyPrincipal } from '../../../core/identity/types.ts';
import type { GatewayEndpoint } from '../addresses.ts';
import type { AnyLink } from '../engine/any-link.ts';
import { IncomingLink } from '../engine/incoming-link.ts';
import { OutgoingLink } from '../engine/outgoing-link.ts';
import type { Grants } from '../grants.ts';
import type { LinkHost } from '../link-host.ts';
import { RequestNode } from '../request-node.ts';
import { BatchIntake } from './batch-intake.ts';
import { answerGateway } from './gateway-node.ts';

/** The devices of a hub, for which a gateway's policy speaks. */
const DEVICES = { path: ['devices'] };

/** Opens the links of a gateway: one policy speaks for all devices behind it. Links of single devices are opened by `devices`. */
export class GatewayLinks {
  readonly #host: LinkHost;
  readonly #grants: Grants;
  readonly #origin: DeviceOrigin;
  readonly #node: RequestNode;
  readonly #open = new Map<AnyLink, () => PolicyPrincipal>();

  constructor(host: LinkHost, grants: Grants, origin: DeviceOrigin) {
    this.#host = host;
    this.#grants = grants;
    this.#origin = origin;
    this.#node = new RequestNode((request) => answerGateway(request, host.hub, () => this.#demand(true)));
  }

  /** @throws HubError; the link is still to be refused then. */
  open(link: AnyLink, endpoint: GatewayEndpoint): void {
    const principal = this.#admit(link);
    if (endpoint === 'node') {
      if (link instanceof OutgoingLink) this.#node.openAnswers(link);
      else this.#node.openRequests(link);
    } else if (link instanceof IncomingLink) new BatchIntake(link, this.#host, principal, this.#origin);
    else throw new HubError('IotHubUnauthorizedAccess', 'A gateway sends batches, it does not receive them.');
  }

  /** Ends the links that nothing allows any more. */
  expire(ended: HubError): void {
    for (const [link, principal] of [...this.#open]) {
      try {
        principal();
      } catch {
        link.detach(this.#host.error(ended));
      }
    }
  }

  /** @returns the principal by whom the link lives, as of now. @throws HubError */
  #admit(link: AnyLink): () => PolicyPrincipal {
    let allowing = this.#demand(true);
    const principal = (): PolicyPrincipal => {
      if (allowing.expiresAt <= this.#host.hub.clock.now()) allowing = this.#demand(false);
      return allowing;
    };
    this.#open.set(link, principal);
    link.whenClosed(() => this.#open.delete(link));
    return principal;
  }

  /** @throws HubError */
  #demand(isTold: boolean): PolicyPrincipal {
    const principal = this.#grants.demand(this.#host.hub.guard, 'devices.speakFor', DEVICES, isTold);
    if (principal.kind === 'policy') return principal;
    throw new HubError('IotHubUnauthorizedAccess', 'A gateway proves a policy, not a device.');
  }
}
