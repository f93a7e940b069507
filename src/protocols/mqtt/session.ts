/**
 * One MQTT connection, from its first byte to its end, without sockets: bytes come in by `receive`, effects leave by a
 * `Link`, time passes by `pulse`. Whatever comes, a session answers or closes; it never throws.
 *
 * Packets are handled one after another. What must be waited for (authentication, a durable subscription, room in the
 * event log, a peer that does not read) is a bit in `#holds`; while one is set, no packet is taken from the reader and the
 * link is paused, so memory per connection is bounded by the reader's bytes and `mqttInflightMax`.
 */
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { LogFields } from '../../base/log.ts';
import { uuid } from '../../base/random.ts';
import { asHubError } from '../../core/errors.ts';
import type { DurabilityWaiter } from '../../core/events/ports.ts';
import type { Telemetry } from '../../core/events/types.ts';
import type { Hub } from '../../core/hub.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { DevicePrincipal } from '../../core/identity/types.ts';
import type { PresenceTicket } from '../../core/presence/ports.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import { decodePacket } from '../../wire/mqtt/decode.ts';
import {
  connack,
  connackCodes,
  pingresp,
  puback,
  publishAtMostOnce,
  suback,
  unsuback,
} from '../../wire/mqtt/encode.ts';
import { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import {
  type ClientPacket,
  type ConnectPacket,
  type ForeignConnectPacket,
  MalformedPacket,
  type PublishPacket,
  packetTypes,
  type SubscribePacket,
  type UnsubscribePacket,
} from '../../wire/mqtt/packets.ts';
import { type Grants, isGranted, NO_GRANTS, publishTarget, subscriptionsOf, twinResponseTopic } from './addresses.ts';
import { type Admission, admit, restoreGrants } from './handshake.ts';
import type { Link, Origin } from './link.ts';
import { telemetryOf } from './mapping.ts';
import { TWIN_STATUS_NOT_OFFERED, twinErrorBody } from './refusals.ts';
import { grantedQos, grantsAfter, grantsWithout } from './subscribing.ts';
import { Uplink } from './uplink.ts';

const HOLD_HANDSHAKE = 1;
const HOLD_SAVING = 2;
const HOLD_INFLIGHT = 4;
const HOLD_CONGESTION = 8;
const HOLD_OUTPUT = 16;
const HOLD_DRAIN = 32;
const HOLD_CLOSED = 64;

/** Closing for these reasons leaves no will: the identity may not send any more. */
const SILENT_REASONS: ReadonlySet<DisconnectReason> = new Set(['by-client', 'disabled', 'deleted']);

export class Session implements DurabilityWaiter {
  readonly #hub: Hub;
  readonly #link: Link;
  readonly #origin: Origin;
  readonly #reader = new PacketReader();
  #holds = 0;
  #reading = false;
  /** Set when the CONNECT has been accepted. */
  #principal: DevicePrincipal | undefined;
  #ticket: PresenceTicket | undefined;
  #persistent = false;
  #grants: Grants = NO_GRANTS;
  #modelId: string | undefined;
  #will: Telemetry | undefined;
  #uplink: Uplink | undefined;
  /** The longest silence that is allowed, and the monotonic time at which it ends the connection. */
  #silenceMsMax: number = limits.handshakeMs;
  #silentAt: number;

  constructor(hub: Hub, link: Link, origin: Origin) {
    this.#hub = hub;
    this.#link = link;
    this.#origin = origin;
    this.#silentAt = hub.clock.monotonic() + this.#silenceMsMax;
  }

  get closed(): boolean {
    return (this.#holds & HOLD_CLOSED) !== 0;
  }

  /** Bytes from the peer. */
  receive(chunk: Buffer): void {
    if (this.closed) return;
    // Before the CONNECT is accepted, bytes buy no time: the whole handshake has one deadline.
    if (this.#principal !== undefined) {
      this.#silentAt = this.#hub.clock.monotonic() + this.#silenceMsMax;
      this.#ticket?.touch();
    }
    this.#reader.push(chunk);
    this.#read();
  }

  /** The peer closed its side, or the connection broke. */
  ended(): void {
    this.#close('connection-lost');
  }

  /** The peer has taken what was written. */
  drained(): void {
    this.#release(HOLD_OUTPUT);
  }

  /**
   * Time passes: called for every session in turn, so that none needs a timer of its own.
   * @param now milliseconds of the monotonic clock; @param wall UTC milliseconds.
   */
  pulse(now: number, wall: number): void {
    if (this.closed) return;
    if (this.#principal === undefined) {
      if (now >= this.#silentAt) this.#fail('protocol-error', { rule: 'handshake timeout' });
      return;
    }
    if (wall >= this.#principal.expiresAt) {
      this.#close('token-expired');
      return;
    }
    // While we ourselves do not read, silence proves nothing; a peer that does not read us is on its own time.
    if ((this.#holds & ~HOLD_OUTPUT) !== 0) this.#silentAt = now + this.#silenceMsMax;
    else if (now >= this.#silentAt) this.#close('keep-alive');
  }

  /** The hub stops: takes no more packets, acknowledges what becomes durable, then ends the connection. */
  drain(): void {
    if (this.closed) return;
    this.#hold(HOLD_DRAIN);
    if ((this.#uplink?.unacknowledged ?? 0) === 0) this.#close('hub-stopping', 'end');
  }

  batchDurable(batch: number): void {
    const uplink = this.#uplink;
    if (this.closed || uplink === undefined) return;
    const bytes = uplink.settle(batch);
    if (bytes !== undefined) this.#write(bytes);
    if ((this.#holds & HOLD_DRAIN) !== 0 && uplink.unacknowledged === 0) this.#close('hub-stopping', 'end');
    else if (uplink.unacknowledged <= limits.mqttInflightMax / 2) this.#release(HOLD_INFLIGHT);
  }

  batchFailed(_batch: number, error: Error): void {
    this.#fail('storage-failed', { error: error.message });
  }

  /** Takes packets from the reader until there is none or a hold is set. */
  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    const reader = this.#reader;
    try {
      while (this.#holds === 0) {
        this.#requireConnectFirst();
        if (!reader.next(this.#principal === undefined ? limits.mqttConnectBytesMax : limits.mqttPacketBytesMax)) break;
        if (this.#uplink?.enqueueFast(reader) === true) {
          this.#heedBounds(this.#uplink);
          continue;
        }
        this.#handle(decodePacket(reader.bytes, reader.start, reader.body, reader.end));
      }
    } catch (error) {
      this.#failWith(error);
    }
    if (!this.closed) reader.settle();
    this.#reading = false;
  }

  /** The first packet is a CONNECT [MQTT-3.1.0-1]: anything else is refused by its first byte. */
  #requireConnectFirst(): void {
    const first = this.#reader.firstByte;
    if (this.#principal === undefined && first !== undefined && first !== packetTypes.connect << 4) {
      throw new MalformedPacket('the first packet is not a CONNECT [MQTT-3.1.0-1]');
    }
  }

  #handle(packet: ClientPacket): void {
    switch (packet.kind) {
      case 'publish':
        this.#publish(packet);
        return;
      case 'pingreq':
        this.#write(pingresp);
        return;
      case 'subscribe':
        this.#subscribe(packet);
        return;
      case 'unsubscribe':
        this.#unsubscribe(packet);
        return;
      case 'disconnect':
        this.#close('by-client', 'end');
        return;
      case 'connect':
      case 'foreignConnect':
        if (this.#principal !== undefined) throw new MalformedPacket('a second CONNECT [MQTT-3.1.0-2]');
        this.#hold(HOLD_HANDSHAKE);
        this.#connect(packet).catch((error: unknown) => this.#failWith(error));
        return;
      case 'puback':
        // Nothing that the hub sends is at QoS 1 yet; an acknowledgement of something unknown changes nothing.
        return;
      case 'pubrec':
      case 'pubrel':
      case 'pubcomp':
        throw new MalformedPacket(`${packet.kind}: QoS 2 is not offered (device reference 2.9)`);
    }
  }

  async #connect(packet: ConnectPacket | ForeignConnectPacket): Promise<void> {
    const admission = await admit(this.#hub, packet, this.#origin.certificate);
    if (this.closed) return;
    if (packet.kind === 'foreignConnect' || admission.kind === 'refused') {
      assert(admission.kind === 'refused', 'no foreign protocol is admitted');
      this.#refuse(admission);
      return;
    }
    const { principal } = admission;
    try {
      const ticket = await this.#claim(principal);
      if (ticket === undefined) return;
      this.#ticket = ticket;
      const { grants, present } = await restoreGrants(this.#hub.subscriptions, principal, packet.cleanSession);
      if (this.closed) return;
      this.#grants = grants;
      this.#begin(admission, packet, present);
    } catch (error) {
      this.#hub.log.error({ ...this.#facts(principal), error }, 'the hub could not serve a connection');
      if (this.closed) return;
      this.#link.write(connack(connackCodes.serverUnavailable));
      this.#close('storage-failed', 'end');
    }
  }

  /** Takes the identity's place; undefined when the connection ended meanwhile. */
  async #claim(principal: DevicePrincipal): Promise<PresenceTicket | undefined> {
    const ticket = await this.#hub.presence.claim({
      key: principal.key,
      generationId: principal.generationId,
      protocol: this.#origin.protocol,
      credential: principal.authType,
      peer: this.#origin.peer,
      drop: (reason) => this.#close(reason),
    });
    if (!this.closed) return ticket;
    ticket.release('connection-lost');
    return undefined;
  }

  #begin(admission: Admission & { kind: 'admitted' }, packet: ConnectPacket, sessionPresent: boolean): void {
    this.#principal = admission.principal;
    this.#modelId = admission.modelId;
    this.#will = admission.will;
    this.#persistent = !packet.cleanSession;
    // Section 3.1.2.10 allows one and a half times the keep alive; the hub's own limit holds also for those who ask for none.
    const allowedMs = packet.keepAliveSeconds === 0 ? Number.POSITIVE_INFINITY : packet.keepAliveSeconds * 1500;
    this.#silenceMsMax = Math.min(allowedMs, limits.mqttKeepAliveMsMax);
    this.#silentAt = this.#hub.clock.monotonic() + this.#silenceMsMax;
    this.#write(connack(connackCodes.accepted, sessionPresent));
    this.#hub.log.debug(this.#facts(admission.principal), 'MQTT connection accepted');
    this.#release(HOLD_HANDSHAKE);
  }

  #refuse(refusal: Admission & { kind: 'refused' }): void {
    this.#link.write(connack(refusal.code));
    this.#hub.log.info(
      { identity: refusal.identity, check: refusal.check, code: refusal.code, peer: this.#origin.peer },
      'MQTT connection refused',
    );
    this.#close('protocol-error', 'end');
  }

  #publish(packet: PublishPacket): void {
    const principal = this.#admitted();
    if (packet.qos === 2) throw new MalformedPacket('QoS 2 is not offered (device reference 2.2)');
    const target = publishTarget(packet.topic, principal.key);
    if (target === undefined) throw new MalformedPacket('a topic that the device may not publish to');
    if (target.kind === 'telemetry') {
      const telemetry = telemetryOf(target.propertyBag, packet.payload, packet.retain);
      const uplink = this.#uplinkOf(principal);
      uplink.enqueue(telemetry, packet.packetId);
      this.#heedBounds(uplink);
      if (!packet.retain) uplink.learn(this.#reader, telemetry);
      return;
    }
    if (packet.qos === 1 && this.#uplink?.awaitTurn(packet.packetId) !== true) {
      this.#write(puback(packet.packetId));
    }
    if (this.#uplink !== undefined) this.#heedBounds(this.#uplink);
    // Methods are not called yet, so every response is to an unknown request: ignored (device reference 2.6).
    if (target.kind === 'twinGet' || target.kind === 'twinPatch') this.#refuseTwin(target.requestId);
  }

  #uplinkOf(principal: DevicePrincipal): Uplink {
    this.#uplink ??= new Uplink(this.#hub, { principal, modelId: this.#modelId }, this);
    return this.#uplink;
  }

  /** Reads no more while too much waits for the disk, of this connection or of all. */
  #heedBounds({ unacknowledged, writer }: Uplink): void {
    if (unacknowledged >= limits.mqttInflightMax) this.#hold(HOLD_INFLIGHT);
    if (!writer.congested || (this.#holds & HOLD_CONGESTION) !== 0) return;
    this.#hold(HOLD_CONGESTION);
    writer.whenRelieved(() => this.#release(HOLD_CONGESTION));
  }

  /** Twins are not offered yet: an error answer, because an application without any would reconnect for ever. */
  #refuseTwin(requestId: string): void {
    if (!isGranted(this.#grants, 'twinResponses')) return;
    const { random, clock } = this.#hub;
    const body = twinErrorBody('OperationNotAvailable', uuid(random), clock.now());
    this.#write(publishAtMostOnce(twinResponseTopic(TWIN_STATUS_NOT_OFFERED, requestId), body));
  }

  #subscribe(packet: SubscribePacket): void {
    const grants = grantsAfter(packet, this.#grants, this.#admitted().key);
    this.#keepGrants(grants, suback(packet.packetId, grantedQos(packet)));
  }

  #unsubscribe(packet: UnsubscribePacket): void {
    const grants = grantsWithout(packet, this.#grants, this.#admitted().key);
    this.#keepGrants(grants, unsuback(packet.packetId));
  }

  /** Makes the session's subscriptions durable, then answers: they are in force exactly when the device is told so. */
  #keepGrants(grants: Grants, answer: Buffer): void {
    const { key, generationId } = this.#admitted();
    if (!this.#persistent || grants === this.#grants) {
      this.#grants = grants;
      this.#write(answer);
      return;
    }
    this.#hold(HOLD_SAVING);
    this.#hub.subscriptions.save(key, generationId, subscriptionsOf(grants, key)).then(
      () => {
        if (this.closed) return;
        this.#grants = grants;
        this.#write(answer);
        this.#release(HOLD_SAVING);
      },
      (error: unknown) => this.#fail('storage-failed', { error }),
    );
  }

  #admitted(): DevicePrincipal {
    assert(this.#principal !== undefined, 'packets behind the CONNECT are handled after its acceptance');
    return this.#principal;
  }

  #write(bytes: Buffer): void {
    if (!this.#link.write(bytes)) this.#hold(HOLD_OUTPUT);
  }

  #hold(hold: number): void {
    if (this.#holds === 0) this.#link.pause();
    this.#holds |= hold;
  }

  #release(hold: number): void {
    if ((this.#holds & hold) === 0) return;
    this.#holds &= ~hold;
    if (this.#holds === 0) this.#read();
    if (this.#holds === 0) this.#link.resume();
  }

  #failWith(error: unknown): void {
    if (error instanceof MalformedPacket) {
      this.#fail('protocol-error', { rule: error.message });
      return;
    }
    const refusal = asHubError(error);
    if (refusal.code === 'ServerError') {
      this.#hub.log.error({ ...this.#facts(this.#principal), error }, 'a packet could not be handled');
      this.#close('storage-failed');
    } else {
      this.#fail(refusal.code === 'ServiceUnavailable' ? 'storage-failed' : 'protocol-error', {
        code: refusal.code,
        limit: refusal.limit,
      });
    }
  }

  /** Closes for something that the peer or the store did wrong, and says to the log what it was. */
  #fail(reason: DisconnectReason, fields: LogFields): void {
    if (this.closed) return;
    this.#hub.log.info({ ...this.#facts(this.#principal), reason, ...fields }, 'MQTT connection closed');
    this.#close(reason);
  }

  /** The one way out. @param how `end` lets what was written leave first. */
  #close(reason: DisconnectReason, how: 'end' | 'destroy' = 'destroy'): void {
    if (this.closed) return;
    this.#holds |= HOLD_CLOSED;
    this.#leaveWill(reason);
    this.#ticket?.release(reason);
    if (this.#principal !== undefined) {
      this.#hub.log.debug({ ...this.#facts(this.#principal), reason }, 'MQTT connection ended');
    }
    if (how === 'end') this.#link.end();
    else this.#link.destroy();
  }

  /** The will becomes an event unless the device said good-bye [MQTT-3.1.2-8]. */
  #leaveWill(reason: DisconnectReason): void {
    if (this.#will === undefined || SILENT_REASONS.has(reason)) return;
    try {
      this.#uplinkOf(this.#admitted()).enqueue(this.#will, 0);
    } catch (error) {
      this.#hub.log.warn({ ...this.#facts(this.#principal), error }, 'the will of a connection was not stored');
    }
  }

  #facts(principal: DevicePrincipal | undefined): LogFields {
    const identity = principal === undefined ? undefined : identityName(principal.key);
    return { protocol: this.#origin.protocol, peer: this.#origin.peer, identity };
  }
}
