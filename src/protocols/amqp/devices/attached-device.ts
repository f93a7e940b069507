import { limits } from '../../../base/limits.ts';
import { DeviceConnection, type DeviceOrigin } from '../../../core/devices/connection.ts';
import type { DeviceHub, DeviceReceiver } from '../../../core/devices/types.ts';
import { HubError } from '../../../core/errors.ts';
import type { DevicePrincipal } from '../../../core/identity/types.ts';
import type { Call, DisconnectReason, Note } from '../../../core/presence/types.ts';
import { DESIRED, type DesiredTold } from '../../../core/twins/types.ts';
import type { AmqpError } from '../../../wire/amqp/performatives.ts';
import type { AnyLink } from '../engine/any-link.ts';
import { MethodLinks } from './method-links.ts';
import type { TwinLinks } from './twin-links.ts';

/** Where an AMQP connection comes from. */
export interface AmqpOrigin extends DeviceOrigin {
  readonly protocol: 'amqp' | 'amqp-ws';
}

/**
 * One device or module behind an AMQP connection, which may carry many. It has its identity's place from its first link to
 * its last, and all its links end when it loses that place.
 */
export class AttachedDevice implements DeviceReceiver {
  readonly connection: DeviceConnection;
  readonly #links = new Set<AnyLink>();
  readonly #listeners = new Set<() => void>();
  /** As its links have named it. */
  modelId: string | undefined;
  /** Set with the first link for it. */
  twin: TwinLinks | undefined;
  readonly #hub: DeviceHub;
  #methods: MethodLinks | undefined;
  readonly #onLost: (device: AttachedDevice, reason: DisconnectReason) => void;

  constructor(
    hub: DeviceHub,
    principal: DevicePrincipal,
    origin: AmqpOrigin,
    onLost: (device: AttachedDevice, reason: DisconnectReason) => void,
  ) {
    this.#hub = hub;
    this.connection = new DeviceConnection(hub, principal, origin, this);
    this.#onLost = onLost;
  }

  get name(): string {
    return this.connection.name;
  }

  /** A call may wait for the links that it needs. */
  get methods(): MethodLinks {
    this.#methods ??= new MethodLinks(this.#hub, this.connection);
    return this.#methods;
  }

  /** Why it has lost its place; undefined while it has it. */
  get lost(): DisconnectReason | undefined {
    return this.connection.ended;
  }

  /**
   * Ends all its links. One of several devices on a connection loses a session whole when nothing else is on it: Java's
   * multiplexing client ends a session whose links were detached, begins another at once, and breaks the connection of all when
   * the answer to its end comes only then.
   * @param isAlone it is the connection's only device
   */
  detach(error: () => AmqpError, isAlone: boolean): void {
    const links = new Set(this.#links);
    for (const link of links) {
      if (!isAlone && link.session.isAllOf(links)) link.session.end(error());
      else link.detach(error());
    }
  }

  /** Takes the identity's place. @throws HubError if the identity has none any more. */
  async enter(): Promise<void> {
    await this.connection.enter();
    if (this.lost !== undefined) throw refusalOf(this.lost);
  }

  /** @throws HubError IotHubQuotaExceeded */
  addLink(link: AnyLink): void {
    const max = limits.amqpLinksPerDeviceMax;
    if (this.#links.size >= max) {
      throw new HubError('IotHubQuotaExceeded', `A device may have ${max} links on one connection.`, {
        limit: { name: 'amqpLinksPerDeviceMax', scope: `device ${this.name}`, current: this.#links.size, max },
      });
    }
    this.#links.add(link);
  }

  removeLink(link: AnyLink): void {
    this.#links.delete(link);
  }

  /** Calls `listener` when commands may wait for the device. The returned function ends it. */
  onCommands(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  commandsWait(): void {
    for (const listener of this.#listeners) listener();
  }

  notify({ kind, value }: Note): void {
    if (kind === DESIRED) this.twin?.desiredChanged(value as DesiredTold);
  }

  async invoke(call: Call, signal: AbortSignal, begins: () => void): Promise<unknown> {
    return this.methods.receiver.invoke(call, signal, begins);
  }

  drop(reason: DisconnectReason): void {
    this.#onLost(this, reason);
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
