/**
 * One MQTT connection, from its first byte to its end, without sockets: bytes come in by `receive`, effects leave by a
 * `Link`, time passes by `pulse`. Whatever comes, a session answers or closes; it never throws.
 *
 * Packets are handled one after another. What must be waited for (authentication, a durable subscription, room in the
 * event log, a peer that does not read) is a hold (`gate.ts`); while one is set, no packet is taken from the reader and
 * the link is paused, so memory per connection is bounded by the reader's bytes and `mqttInflightMax`.
 */
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { LogFields } from '../../base/log.ts';
import { uuid } from '../../base/random.ts';
import { asHubError } from '../../core/errors.ts';
import type { DurabilityWaiter } from '../../core/events/ports.ts';
import type { Hub } from '../../core/hub.ts';
import type { PresenceTicket } from '../../core/presence/ports.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';
import { decodePacket } from '../../wire/mqtt/decode.ts';
import { connack, connackCodes, pingresp, puback, suback, unsuback } from '../../wire/mqtt/encode.ts';
import type { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import {
  type ClientPacket,
  type ConnectPacket,
  type ForeignConnectPacket,
  MalformedPacket,
  type PublishPacket,
} from '../../wire/mqtt/packets.ts';
import { type Grants, grantedQosOf, isGranted, NO_GRANTS, publishTarget, subscriptionsOf } from './addresses.ts';
import { Backpressure } from './backpressure.ts';
import { Claimant } from './claimant.ts';
import { Deliveries, type Receiver } from './deliveries.ts';
import { holds } from './gate.ts';
import { admit, type Entered, enter, type Refused, requireConnect, silenceMsMax } from './handshake.ts';
import type { Link, Origin } from './link.ts';
import { telemetryOf } from './mapping.ts';
import { closingOf, twinRefusal } from './refusals.ts';
import { giveBackReader, takeReader } from './spare-reader.ts';
import { grantedQos, grantsAfter, grantsWithout } from './subscribing.ts';
import { Uplink } from './uplink.ts';
import { leavesWill } from './will.ts';

/** It has few objects of its own: there is a session for each idle connection. */
export class Session extends Claimant implements DurabilityWaiter, Receiver {
  readonly #hub: Hub;
  /** Until the CONNECT has been judged. */
  #origin: Origin | undefined;
  /** Undefined while no byte waits. */
  #reader: PacketReader | undefined;
  #reading = false;
  /** Packets taken since the others have last had their turn. */
  #taken = 0;
  /** PINGREQs that are not answered yet. */
  #pings = 0;
  /** Set when the CONNECT has been accepted. */
  #ticket: PresenceTicket | undefined;
  #persistent = false;
  #grants: Grants = NO_GRANTS;
  #uplink: Uplink | undefined;
  /** Set while commands are held, or may wait. */
  #deliveries: Deliveries | undefined;
  /** Names this connection to the command queue; made when commands are looked for, and kept once it has got any. */
  #holder: string | undefined;
  /** Set once telemetry has been sent. */
  #backpressure: Backpressure | undefined;
  /** The longest silence that is allowed, and the monotonic time at which it ends the connection. */
  #silenceMsMax: number = limits.handshakeMs;
  #silentAt: number;

  constructor(hub: Hub, link: Link, origin: Origin) {
    super(link, origin);
    this.#hub = hub;
    this.#origin = origin;
    this.#silentAt = hub.clock.monotonic() + this.#silenceMsMax;
  }

  get closed(): boolean {
    return this.has(holds.closed);
  }

  get commandQos(): 0 | 1 | undefined {
    return grantedQosOf(this.#grants, 'commands');
  }

  /** Bytes from the peer. */
  receive(chunk: Buffer): void {
    if (this.closed) return;
    // Before the CONNECT is accepted, bytes buy no time: the whole handshake has one deadline.
    if (this.#ticket !== undefined) {
      this.#silentAt = this.#hub.clock.monotonic() + this.#silenceMsMax;
      this.#ticket.touch();
    }
    this.#reader ??= takeReader();
    this.#reader.push(chunk);
    this.read();
  }

  /** The peer closed its side, or the connection broke. */
  ended(): void {
    this.#close('connection-lost');
  }

  /** The peer has taken what was written. */
  drained(): void {
    this.release(holds.output);
    this.#deliveries?.drained();
  }

  /** Presence: the identity's place is somebody else's now, or nobody's. */
  drop(reason: DisconnectReason): void {
    this.#close(reason);
  }

  /** Presence: something may wait for the device. */
  wake(): void {
    if (this.#ticket === undefined || this.has(holds.drain | holds.closed)) return;
    if (this.commandQos === undefined) return;
    this.#holder ??= `${this.protocol}-${uuid(this.#hub.random)}`;
    this.#deliveries ??= new Deliveries(this.#hub, this.device, this.#holder, this);
    this.#deliveries.wake();
  }

  deliveriesIdle(haveTaken: boolean): void {
    this.#deliveries = undefined;
    if (!haveTaken) this.#holder = undefined;
  }

  /**
   * Time passes: called for every session in turn, so that none needs a timer of its own.
   * @param now milliseconds of the monotonic clock; @param wall UTC milliseconds.
   */
  pulse(now: number, wall: number): void {
    if (this.closed) return;
    if (this.#ticket === undefined) {
      if (now >= this.#silentAt) this.#fail('protocol-error', { rule: 'handshake timeout' });
      return;
    }
    if (wall >= this.device.expiresAt) {
      this.#close('token-expired');
      return;
    }
    // While we ourselves do not read, silence proves nothing; a peer that does not read us is on its own time.
    if (this.has(~holds.output)) this.#silentAt = now + this.#silenceMsMax;
    else if (now >= this.#silentAt) this.#close('keep-alive');
    this.#deliveries?.pulse(now);
  }

  /** The hub stops: takes no more packets, acknowledges what becomes durable, then ends the connection. */
  drain(): void {
    if (this.closed) return;
    this.hold(holds.drain);
    if ((this.#uplink?.unacknowledged ?? 0) === 0) this.#close('hub-stopping', 'end');
  }

  batchDurable(batch: number): void {
    const uplink = this.#uplink;
    if (this.closed || uplink === undefined) return;
    const bytes = uplink.settle(batch);
    if (bytes !== undefined) this.#write(bytes);
    if (this.has(holds.drain) && uplink.unacknowledged === 0) this.#close('hub-stopping', 'end');
    else this.#backpressure?.relieve();
  }

  batchFailed(_batch: number, error: Error): void {
    this.#fail('storage-failed', { error: error.message });
  }

  /** Takes packets from the reader until there is none or a hold is set. */
  protected override read(): void {
    const reader = this.#reader;
    if (reader === undefined || this.#reading) return;
    this.#reading = true;
    try {
      while (this.isOpen) {
        if (this.#ticket === undefined) requireConnect(reader.firstByte);
        if (!reader.next(this.#ticket === undefined ? limits.mqttConnectBytesMax : limits.mqttPacketBytesMax)) break;
        if (++this.#taken >= limits.mqttPacketsPerTurn) this.#endTurn();
        if (this.#uplink?.enqueueFast(reader) === true) {
          this.#heedBounds(this.#uplink);
          continue;
        }
        this.#handle(decodePacket(reader.bytes, reader.start, reader.body, reader.end), reader);
      }
      this.#answerPings();
    } catch (error) {
      this.#failWith(error);
    }
    this.#reading = false;
    if (this.closed) return;
    reader.settle();
    if (reader.waiting > 0) return;
    this.#reader = undefined;
    giveBackReader(reader);
  }

  /** This packet is the last one before the others have had their turn. */
  #endTurn(): void {
    this.#taken = 0;
    this.hold(holds.turn);
    this.link.nextTurn(() => this.release(holds.turn));
  }

  /** One write for all that came in a row: a chunk holds thousands, and each write costs the other connections time. */
  #answerPings(): void {
    const count = this.#pings;
    if (count === 0) return;
    this.#pings = 0;
    if (!this.closed) this.#write(count === 1 ? pingresp : Buffer.alloc(count * pingresp.length, pingresp));
  }

  #handle(packet: ClientPacket, reader: PacketReader): void {
    if (packet.kind !== 'pingreq') this.#answerPings();
    switch (packet.kind) {
      case 'publish':
        this.#publish(packet, reader);
        return;
      case 'pingreq':
        this.#pings++;
        return;
      case 'subscribe':
        this.#keepGrants(grantsAfter(packet, this.#grants, this.key), suback(packet.packetId, grantedQos(packet)));
        return;
      case 'unsubscribe':
        this.#keepGrants(grantsWithout(packet, this.#grants, this.key), unsuback(packet.packetId));
        return;
      case 'disconnect':
        this.#close('by-client', 'end');
        return;
      case 'connect':
      case 'foreignConnect':
        if (this.#ticket !== undefined) throw new MalformedPacket('a second CONNECT [MQTT-3.1.0-2]');
        this.hold(holds.handshake);
        this.#connect(packet).catch((error: unknown) => this.#failWith(error));
        return;
      case 'puback':
        this.#deliveries?.acknowledged(packet.packetId);
        return;
      case 'pubrec':
      case 'pubrel':
      case 'pubcomp':
        throw new MalformedPacket(`${packet.kind}: QoS 2 is not offered (device reference 2.9)`);
    }
  }

  async #connect(packet: ConnectPacket | ForeignConnectPacket): Promise<void> {
    const origin = this.#origin;
    assert(origin !== undefined, 'there is one CONNECT');
    const admission = await admit(this.#hub, packet, origin);
    this.#origin = undefined;
    if (this.closed) return;
    if (packet.kind === 'foreignConnect' || admission.kind === 'refused') {
      assert(admission.kind === 'refused', 'no foreign protocol is admitted');
      this.#refuse(admission);
      return;
    }
    this.principal = admission.principal;
    this.traits = admission.traits;
    origin.proved?.();
    try {
      const entered = await enter(this.#hub, this, { clean: packet.cleanSession, hasEnded: () => this.closed });
      if (entered !== undefined) this.#begin(entered, packet);
    } catch (error) {
      const { code, limit } = asHubError(error);
      if (code === 'ThrottlingException') this.#hub.log.info({ ...this.facts(), limit }, 'MQTT connection put off');
      else this.#hub.log.error({ ...this.facts(), error }, 'the hub could not serve a connection');
      if (this.closed) return;
      this.link.write(connack(connackCodes.serverUnavailable));
      this.#close('storage-failed', 'end');
    }
  }

  #begin({ ticket, grants, sessionPresent }: Entered, packet: ConnectPacket): void {
    this.#ticket = ticket;
    this.#grants = grants;
    this.#persistent = !packet.cleanSession;
    this.#silenceMsMax = silenceMsMax(packet);
    this.#silentAt = this.#hub.clock.monotonic() + this.#silenceMsMax;
    this.#write(connack(connackCodes.accepted, sessionPresent));
    this.#hub.log.debug(this.facts(), 'MQTT connection accepted');
    this.wake();
    this.release(holds.handshake);
  }

  #refuse(refusal: Refused): void {
    this.link.write(connack(refusal.code));
    this.#hub.log.info(
      { identity: refusal.identity, check: refusal.check, code: refusal.code, peer: this.peer },
      'MQTT connection refused',
    );
    this.#close('protocol-error', 'end');
  }

  #publish(packet: PublishPacket, reader: PacketReader): void {
    if (packet.qos === 2) throw new MalformedPacket('QoS 2 is not offered (device reference 2.2)');
    const target = publishTarget(packet.topic, this.key);
    if (target === undefined) throw new MalformedPacket('a topic that the device may not publish to');
    if (target.kind === 'telemetry') {
      const telemetry = telemetryOf(target.propertyBag, packet.payload, packet.retain);
      const uplink = this.#openUplink();
      uplink.enqueue(telemetry, packet.packetId);
      this.#heedBounds(uplink);
      if (!packet.retain) uplink.learn(reader, telemetry);
      return;
    }
    if (packet.qos === 1 && this.#uplink?.awaitTurn(packet.packetId) !== true) {
      this.#write(puback(packet.packetId));
    }
    if (this.#uplink !== undefined) this.#heedBounds(this.#uplink);
    // Methods are not called yet, so every response is to an unknown request: ignored (device reference 2.6).
    if (target.kind === 'methodResponse' || !isGranted(this.#grants, 'twinResponses')) return;
    // Twins are not offered yet: an error answer, because an application without any would reconnect for ever.
    this.#write(twinRefusal('OperationNotAvailable', target.requestId, this.#hub));
  }

  #openUplink(): Uplink {
    if (this.#uplink === undefined) {
      const { protocol, peer } = this;
      const sender = { principal: this.device, modelId: this.traits.modelId, via: { protocol, peer } };
      this.#uplink = new Uplink(this.#hub, sender, this);
    }
    return this.#uplink;
  }

  /** Reads no more while too much waits for the disk, of this connection or of all, or the device is over its limit. */
  #heedBounds(uplink: Uplink): void {
    this.#backpressure ??= new Backpressure(uplink, this, this.#hub.clock);
    this.#backpressure.heed();
  }

  /** Makes the session's subscriptions durable, then answers: they are in force exactly when the device is told so. */
  #keepGrants(grants: Grants, answer: Buffer): void {
    if (!this.#persistent || grants === this.#grants) {
      this.#answerGrants(grants, answer);
      return;
    }
    this.hold(holds.saving);
    const { key, generationId } = this;
    this.#hub.subscriptions.save(key, generationId, subscriptionsOf(grants, key)).then(
      () => {
        if (this.closed) return;
        this.#answerGrants(grants, answer);
        this.release(holds.saving);
      },
      (error: unknown) => this.#fail('storage-failed', { error }),
    );
  }

  /** The answer goes first: SDKs resolve a subscription by it (device reference 2.8). */
  #answerGrants(grants: Grants, answer: Buffer): void {
    this.#grants = grants;
    this.#write(answer);
    this.wake();
  }

  #write(bytes: Buffer): void {
    if (!this.link.write(bytes)) this.hold(holds.output);
  }

  #failWith(error: unknown): void {
    const { reason, fields } = closingOf(error);
    if (reason === 'storage-failed') this.#hub.log.error({ ...this.facts(), error }, 'a packet could not be handled');
    this.#fail(reason, fields);
  }

  /** Closes for something that the peer or the store did wrong, and says to the log what it was. */
  #fail(reason: DisconnectReason, fields: LogFields): void {
    if (this.closed) return;
    this.#hub.log.info({ ...this.facts(), reason, ...fields }, 'MQTT connection closed');
    this.#close(reason);
  }

  /** The one way out. @param how `end` lets what was written leave first. */
  #close(reason: DisconnectReason, how: 'end' | 'destroy' = 'destroy'): void {
    if (this.closed) return;
    this.hold(holds.closed);
    this.#leaveWill(reason);
    this.#backpressure?.close();
    this.#ticket?.release(reason);
    this.#deliveries?.close();
    if (this.principal !== undefined) this.#hub.log.debug({ ...this.facts(), reason }, 'MQTT connection ended');
    if (how === 'end') this.link.end();
    else this.link.destroy();
  }

  /** The will becomes an event. */
  #leaveWill(reason: DisconnectReason): void {
    const { will } = this.traits;
    if (will === undefined || this.#ticket === undefined || !leavesWill(reason)) return;
    try {
      this.#openUplink().enqueue(will, 0);
    } catch (error) {
      this.#hub.log.warn({ ...this.facts(), error }, 'the will of a connection was not stored');
    }
  }
}
