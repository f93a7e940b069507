import { uuid } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { EventSender, SenderOptions } from '../events/room.ts';
import { identityName } from '../identity/permissions.ts';
import type { DevicePrincipal, IdentityKey, Proof } from '../identity/types.ts';
import type { PresenceTicket } from '../presence/ports.ts';
import type { Call, ConnectionClaim, DisconnectReason, Note } from '../presence/types.ts';
import { CommandDelivery } from './command-delivery.ts';
import { OpenCalls } from './open-calls.ts';
import { TelemetrySender } from './telemetry-sender.ts';
import type { CommandWire, DeviceHub, DeviceReceiver, TelemetryDoor } from './types.ts';

const ENDLESS: Proof = { expiresAt: Number.POSITIVE_INFINITY };

/** Where a device connects from. */
export interface DeviceOrigin {
  readonly protocol: ConnectionClaim['protocol'];
  /** Peer address without its port. */
  readonly peer: string;
  /** As `ConnectionClaim.address`. */
  readonly address?: string;
}

/**
 * A device or module that has proved who it is, over whatever protocol: it claims its identity's place, and sends and
 * receives while it has it. Doors make one per proved identity and keep nothing but their wire.
 *
 * There is one for each idle connection, so it has few fields and no closures; what work needs is made by `open…`.
 */
export class DeviceConnection implements ConnectionClaim {
  /** Renewed with each token. */
  principal: DevicePrincipal;
  readonly protocol: ConnectionClaim['protocol'];
  readonly peer: string;
  readonly address: string | undefined;
  /** Why it has lost its place, or will not get it; undefined while nothing ends it. */
  ended: DisconnectReason | undefined;
  readonly #hub: DeviceHub;
  readonly #receiver: DeviceReceiver;
  /** Set when the claim has been answered. */
  #ticket: PresenceTicket | undefined;
  /** The name under which a command delivery that was let go of has taken commands. */
  #holder: string | undefined;
  /** Until then commands that are locked for the device are locked for older connections, which have gone. */
  hasTakenCommands = false;
  /** Set once the device has been asked something. */
  #calls: OpenCalls | undefined;

  constructor(
    hub: DeviceHub,
    principal: DevicePrincipal,
    { protocol, peer, address }: DeviceOrigin,
    receiver: DeviceReceiver,
  ) {
    this.#hub = hub;
    this.principal = principal;
    this.protocol = protocol;
    this.peer = peer;
    this.address = address;
    this.#receiver = receiver;
  }

  get key(): IdentityKey {
    return this.principal.key;
  }

  get generationId(): string {
    return this.principal.generationId;
  }

  get credential(): DevicePrincipal['authType'] {
    return this.principal.authType;
  }

  get authority(): string | undefined {
    return this.principal.authority;
  }

  get credentials(): string | undefined {
    return this.principal.credentials;
  }

  /** UTC milliseconds at which what it has proved last ends. */
  get expiresAt(): number {
    return this.principal.expiresAt;
  }

  get name(): string {
    return identityName(this.principal.key);
  }

  /**
   * Takes the identity's place; an older connection of it has been ended then, and its messages are settled. `ended` is
   * set if this one has been ended meanwhile: it holds nothing then. @throws HubError ThrottlingException
   */
  async enter(): Promise<void> {
    const { admission, events } = this.#hub;
    // Before the claim: once it is answered, messages may come.
    const waiting = events.ready(this.key);
    if (waiting !== undefined) await waiting;
    const ticket = await admission.claim(this.principal, this);
    this.#ticket = ticket;
    if (this.ended !== undefined) ticket.release(this.ended);
  }

  /** Gives the place back, or the claim to it. Harmless when it is lost already. @param detail see `PresenceTicket` */
  release(reason: DisconnectReason, detail?: string): void {
    this.ended ??= reason;
    this.#calls?.end();
    this.#ticket?.release(reason, detail);
  }

  /** The device said or received something. Cheap: called for each chunk of bytes. */
  touch(): void {
    this.#ticket?.touch();
  }

  /** Telemetry of the device. A door makes it with the first message. @throws HubError IotHubUnauthorizedAccess */
  openTelemetry(door: TelemetryDoor, modelId: string | undefined): TelemetrySender {
    const { events, clock } = this.#hub;
    return new TelemetrySender(events, clock, this.#openSender(modelId, this), door);
  }

  /**
   * For the one message that the device leaves behind: it gives it with its proof, which may have ended when the time has come.
   * @throws HubError IotHubUnauthorizedAccess
   */
  openWill(modelId: string | undefined): EventSender {
    return this.#openSender(modelId, ENDLESS);
  }

  /** Commands to the device, over one wire of several that it may have. @throws HubError IotHubUnauthorizedAccess */
  openCommands(wire: CommandWire): CommandDelivery {
    const holder = this.#holder ?? `${this.protocol}-${uuid(this.#hub.random)}`;
    const delivery = new CommandDelivery(this.#hub, this, wire, holder);
    delivery.hasTaken = this.#holder !== undefined;
    this.#holder = undefined;
    return delivery;
  }

  /**
   * Drops a delivery that `holdsNothing`, without telling the store: an idle connection keeps none. The next one goes
   * on under its name, if that is known to the store.
   */
  letGo(delivery: CommandDelivery): void {
    delivery.discard();
    this.#holder = delivery.hasTaken ? delivery.holder : undefined;
  }

  #openSender(modelId: string | undefined, proof: Proof): EventSender {
    const { protocol, peer, address } = this;
    const via = { protocol, peer, ...(address !== undefined && { address }) };
    const options: SenderOptions = { via, proof, ...(modelId !== undefined && { modelId }) };
    return this.#hub.events.openSender(this.principal, this.key, options);
  }

  /** Presence: the place is another connection's now, or none's. */
  drop(reason: DisconnectReason): void {
    this.ended ??= reason;
    this.#calls?.end();
    this.#receiver.drop(reason);
  }

  /** Presence: something may wait for the device. */
  wake(): void {
    if (this.ended === undefined) this.#receiver.commandsWait();
  }

  /** Presence: the device is to be told something. */
  notify(note: Note): void {
    if (this.ended === undefined) this.#receiver.notify?.(note);
  }

  /** Presence: the device is asked something. @throws HubError as `Presence.invoke` */
  async invoke(call: Call, signal: AbortSignal): Promise<unknown> {
    if (this.ended !== undefined) throw new HubError('DeviceNotOnline');
    const answer = this.#receiver.invoke?.bind(this.#receiver, call);
    if (answer === undefined) throw new HubError('OperationNotAvailable');
    this.#calls ??= new OpenCalls();
    return this.#calls.run(answer, signal);
  }
}
