import { limits } from '../../../base/limits.ts';
import type { LogFields } from '../../../base/log.ts';
import { HubError } from '../../../core/errors.ts';
import type { Hub } from '../../../core/hub.ts';
import { covers, identityName, pathOf } from '../../../core/identity/permissions.ts';
import type { DevicePrincipal, IdentityKey, PeerCertificate, PolicyPrincipal } from '../../../core/identity/types.ts';
import { clipped } from '../../../core/monitoring/concerned.ts';
import type { DisconnectReason } from '../../../core/presence/types.ts';
import type { Grants } from '../grants.ts';
import { type AmqpOrigin, AttachedDevice, refusalOf } from './attached-device.ts';

/** Devices that one line of the log names. */
const NAMED_MAX = 5;
/** Devices whose proof is renewed in one turn of the event loop, some 15 µs each. */
const RENEWED_PER_TURN = 32;

/** Why the hub has ended a device's last link. */
export interface Ending {
  readonly reason: DisconnectReason;
  /** For people: which rule was broken, and with what. */
  readonly detail: string;
}

interface Place {
  /** Links that have it, or wait for it. */
  users: number;
  readonly entering: Promise<AttachedDevice>;
  /** Set when it is entered. */
  device?: AttachedDevice;
}

export interface AttachedDevicesParts {
  readonly hub: Hub;
  readonly grants: Grants;
  readonly origin: AmqpOrigin;
  /** The client certificate of the TLS layer. */
  certificate(): PeerCertificate | undefined;
  /** A device has lost its place: its links are to end. */
  lost(device: AttachedDevice, refusal: HubError): void;
}

/** The devices and modules behind one connection, each with its own proof and its own place. */
export class AttachedDevices {
  readonly #parts: AttachedDevicesParts;
  readonly #places = new Map<string, Place>();
  #isClosed = false;
  /** Of the log, about devices that were cut off. */
  #lines = 0;

  constructor(parts: AttachedDevicesParts) {
    this.#parts = parts;
  }

  /**
   * The device of an identity, for one link more; `leave` must follow. The first link takes the identity's place.
   * @throws HubError IotHubUnauthorized; nothing must be left then.
   */
  async enter(key: IdentityKey): Promise<AttachedDevice> {
    const name = identityName(key);
    let place = this.#places.get(name);
    if (place === undefined) {
      place = { users: 0, entering: this.#take(key) };
      this.#places.set(name, place);
    }
    place.users++;
    try {
      const device = await place.entering;
      if (this.#isClosed || device.lost !== undefined) throw refusalOf(device.lost ?? 'connection-lost');
      place.device = device;
      return device;
    } catch (error) {
      this.#leave(name, place);
      throw error;
    }
  }

  /** One link of the device less. After the last one the identity's place is free. @param why the hub has ended the link */
  leave(device: AttachedDevice, why?: Ending): void {
    const place = this.#places.get(device.name);
    if (place?.device === device) this.#leave(device.name, place, why);
  }

  /** UTC milliseconds at which the first proof ends. */
  get nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { device } of this.#places.values())
      next = Math.min(next, device?.connection.principal.expiresAt ?? next);
    return next;
  }

  /** Ends those whose proof has ended. */
  expire(now: number): void {
    for (const { device } of [...this.#places.values()]) {
      if (device === undefined || device.connection.principal.expiresAt > now) continue;
      device.connection.release('token-expired');
      this.#lost(device, 'token-expired');
    }
  }

  /** A device has given a new proof. */
  renew(principal: DevicePrincipal): void {
    const connection = this.#places.get(identityName(principal.key))?.device?.connection;
    if (connection !== undefined && connection.generationId === principal.generationId) {
      connection.principal = principal;
    }
  }

  /**
   * A policy that speaks for devices has given a new token. Resolves when all that live by an older one are renewed, a share in
   * each turn of the event loop: each costs a signature, and there may be a thousand.
   */
  async renewByPolicy(token: string, { scope, expiresAt }: PolicyPrincipal): Promise<void> {
    let renewed = 0;
    for (const { device } of [...this.#places.values()]) {
      if (device === undefined) continue;
      const { key, principal, peer: address } = device.connection;
      const isOlder = principal.authScope === 'hub' && principal.expiresAt < expiresAt;
      if (!isOlder || !covers(scope, pathOf(key))) continue;
      const proved = this.#parts.hub.authentication.device(key, { kind: 'token', token }, address);
      this.renew(await proved.catch(() => device.connection.principal));
      if (++renewed % RENEWED_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Resolves when the twin requests of all devices that were taken are answered; undefined = they are. */
  idle(): Promise<unknown> | undefined {
    const waits = [...this.#places.values()].flatMap(({ device }) => device?.twin?.idle() ?? []);
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  get isEmpty(): boolean {
    return this.#places.size === 0;
  }

  /** The connection is gone, or is about to. Harmless when called again. @param detail see `PresenceTicket` */
  close(reason: DisconnectReason, detail?: string): void {
    this.#isClosed = true;
    const devices = [...this.#places.values()].flatMap(({ device }) => device ?? []);
    if (detail !== undefined && devices.length > 0) {
      const named = devices.slice(0, NAMED_MAX).map(({ name }) => name);
      this.#tell({ devices: named, count: devices.length, reason, detail });
    }
    for (const device of devices) device.connection.release(reason, detail && clipped(detail));
    this.#places.clear();
  }

  async #take(key: IdentityKey): Promise<AttachedDevice> {
    const { hub, origin } = this.#parts;
    const device = new AttachedDevice(hub, await this.#prove(key), origin, (lost, reason) => this.#lost(lost, reason));
    await device.enter();
    if (this.#isClosed) device.connection.release('connection-lost');
    return device;
  }

  /** By its own token, by a policy's, or by the certificate of the TLS layer. @throws HubError IotHubUnauthorized */
  async #prove(key: IdentityKey): Promise<DevicePrincipal> {
    const { grants, hub, origin } = this.#parts;
    const own = grants.device(key);
    if (own !== undefined) return own;
    for (const token of grants.deviceTokens()) {
      try {
        return await hub.authentication.device(key, { kind: 'token', token }, origin.peer);
      } catch (error) {
        if (!(error instanceof HubError) || error.code !== 'IotHubUnauthorized') throw error;
      }
    }
    const certificate = this.#parts.certificate();
    return hub.authentication.device(key, certificate && { kind: 'certificate', certificate }, origin.peer);
  }

  #leave(name: string, place: Place, why?: Ending): void {
    place.users--;
    if (place.users > 0 || this.#places.get(name) !== place) return;
    this.#places.delete(name);
    if (place.device === undefined) return;
    if (why === undefined) place.device.connection.release('by-client');
    else {
      const { reason, detail } = why;
      this.#tell({ devices: [name], count: 1, reason, detail });
      place.device.connection.release(reason, clipped(detail));
    }
  }

  #tell(fields: LogFields): void {
    // A device may attach and be refused again and again.
    if (++this.#lines > limits.amqpRefusalsLoggedMax) return;
    const { protocol, peer } = this.#parts.origin;
    this.#parts.hub.log.info({ protocol, peer, ...fields }, 'AMQP devices are cut off');
  }

  #lost(device: AttachedDevice, reason: DisconnectReason): void {
    const place = this.#places.get(device.name);
    if (place?.device === device) this.#places.delete(device.name);
    this.#parts.lost(device, refusalOf(reason));
  }
}
