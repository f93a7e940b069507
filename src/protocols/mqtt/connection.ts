/**
 * One MQTT connection, from its first byte to its end, without sockets: bytes come in by `receive`, effects leave by a
 * `Link`, time passes by `pulse`. It answers or closes, whatever comes; it never throws.
 *
 * Packets are handled one after another. What must be waited for (authentication, a durable subscription, room in the
 * event log, a peer that does not read) is a hold (`gate.ts`); while one is set, no packet is taken from the reader and
 * the link is paused, so memory per connection is bounded by the reader's bytes and `mqttInflightMax`.
 */
import { assert } from '../../base/assert.ts';
import { limits } from '../../base/limits.ts';
import type { Log, LogFields } from '../../base/log.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import type { Slowing, TelemetryDoor } from '../../core/devices/types.ts';
import type { Hub } from '../../core/hub.ts';
import type { Call, DisconnectReason, Note } from '../../core/presence/types.ts';
import { DESIRED, type DesiredTold } from '../../core/twins/types.ts';
import { decodePacket } from '../../wire/mqtt/decode.ts';
import { connack, connackCodes, pingresp } from '../../wire/mqtt/encode.ts';
import type { PacketReader } from '../../wire/mqtt/packet-reader.ts';
import { type ClientPacket, type ConnectPacket, MalformedPacket, topicForRefusal } from '../../wire/mqtt/packets.ts';
import { type Grants, grantedQosOf, isGranted, NO_GRANTS } from './addresses.ts';
import { type CommandReceiver, CommandWire } from './command-wire.ts';
import { takeConnect } from './connecting.ts';
import { Gated, holds } from './gate.ts';
import type { HandledConnection } from './handled-connection.ts';
import { type ConnectTraits, type Entered, PLAIN_TRAITS, requireConnect, silenceMsMax } from './handshake.ts';
import type { Link, Origin } from './link.ts';
import { takePublish } from './publishing.ts';
import { closingOf, detailOf } from './refusals.ts';
import { giveBackReader, takeReader } from './spare-reader.ts';
import { takeSubscribe, takeUnsubscribe } from './subscribing.ts';
import { type TwinConnection, TwinWire } from './twin-wire.ts';
import { Uplink } from './uplink.ts';
import { leavesWill } from './will.ts';

/** Bytes of a packet off the fast path, of its topic above all, that take as long as a small packet does. */
const BYTES_PER_PACKET = 256;

/** It has few objects of its own, because there is one for each idle device. */
export class MqttConnection extends Gated implements HandledConnection, TelemetryDoor, CommandReceiver, TwinConnection {
  readonly hub: Hub;
  /** Until the device has proved who it is. */
  #origin: Origin | undefined;
  /** From then on. */
  #device: DeviceConnection | undefined;
  #traits: ConnectTraits = PLAIN_TRAITS;
  /** Whether the CONNECT has been accepted, and what becomes of the subscriptions at the end. */
  #accepted: 'no' | 'clean' | 'persistent' = 'no';
  /** Undefined while no byte waits. */
  #reader: PacketReader | undefined;
  #reading = false;
  /** Packets taken since the others have last had their turn. */
  #taken = 0;
  /** PINGREQs that are not answered yet. */
  #pings = 0;
  #grants: Grants = NO_GRANTS;
  #uplink: Uplink | undefined;
  /** Set while commands are held, or may wait. */
  #commands: CommandWire | undefined;
  /** Set once twin or methods are used. */
  #twin: TwinWire | undefined;
  /** The longest silence that is allowed, and the monotonic time at which it ends the connection. */
  #silenceMsMax: number = limits.handshakeMs;
  #silentAt: number;

  constructor(hub: Hub, link: Link, origin: Origin) {
    super(link);
    this.hub = hub;
    this.#origin = origin;
    this.#silentAt = hub.clock.monotonic() + this.#silenceMsMax;
  }

  get closed(): boolean {
    return this.has(holds.closed);
  }

  get device(): DeviceConnection {
    assert(this.#device !== undefined, 'asked for behind the CONNECT only');
    return this.#device;
  }

  get isPersistent(): boolean {
    return this.#accepted === 'persistent';
  }

  get grants(): Grants {
    return this.#grants;
  }

  get uplink(): Uplink | undefined {
    return this.#uplink;
  }

  get log(): Log {
    return this.hub.log;
  }

  get commandQos(): 0 | 1 | undefined {
    return grantedQosOf(this.#grants, 'commands');
  }

  get omitEmptyProperties(): boolean {
    return this.#traits.omitEmptyProperties;
  }

  /** Bytes from the peer. */
  receive(chunk: Buffer): void {
    if (this.closed) return;
    // Before the CONNECT is accepted, bytes buy no time: the whole handshake has one deadline.
    if (this.#accepted !== 'no') {
      this.#silentAt = this.hub.clock.monotonic() + this.#silenceMsMax;
      this.#device?.touch();
    }
    this.#reader ??= takeReader();
    this.#reader.push(chunk);
    this.read();
  }

  /** The peer closed its side, or the connection broke. */
  ended(): void {
    this.close('connection-lost');
  }

  /** The peer has taken what was written. */
  drained(): void {
    this.release(holds.output);
    this.#commands?.drained();
    this.#twin?.proceed();
  }

  /** The device has lost its place. */
  drop(reason: DisconnectReason): void {
    this.close(reason);
  }

  commandsWait(): void {
    if (this.#accepted === 'no' || this.has(holds.drain | holds.closed)) return;
    if (this.commandQos === undefined) return;
    this.#commands ??= new CommandWire(this.device, this);
    this.#commands.wake();
  }

  notify({ kind, value }: Note): void {
    if (kind === DESIRED) this.#twin?.desiredChanged(value as DesiredTold);
  }

  async invoke(call: Call, signal: AbortSignal, begins: () => void): Promise<unknown> {
    return this.twin.methods.invoke(call, signal, begins);
  }

  isSubscribed(kind: 'twinResponses' | 'twinDesired' | 'methods'): boolean {
    return this.#accepted !== 'no' && isGranted(this.#grants, kind);
  }

  get twin(): TwinWire {
    this.#twin ??= new TwinWire(this);
    return this.#twin;
  }

  get twinIfAny(): TwinWire | undefined {
    return this.#twin;
  }

  holdRequests(isFull: boolean): void {
    if (isFull) this.hold(holds.twin);
    else {
      this.release(holds.twin);
      this.#endIfDrained();
    }
  }

  twinFailed(error: unknown): void {
    this.hub.log.warn({ ...this.facts(), error }, 'a device cannot be told of its desired properties');
    this.close('storage-failed');
  }

  preparing(grants: Grants): Promise<void> | undefined {
    const isNew = isGranted(grants, 'twinDesired') && !isGranted(this.#grants, 'twinDesired');
    return isNew ? this.twin.subscribe() : undefined;
  }

  /** What has been granted or not decides who is told of what. */
  #subscribed(): void {
    if (!isGranted(this.#grants, 'twinDesired')) this.#twin?.unsubscribe();
    this.#twin?.proceed();
  }

  commandsIdle(): void {
    this.#commands = undefined;
  }

  slow(by: Slowing): void {
    this.hold(by === 'rate' ? holds.throttle : holds.congestion);
  }

  goOn(by: Slowing): void {
    this.release(by === 'rate' ? holds.throttle : holds.congestion);
  }

  /**
   * Time passes: called for every connection in turn, so that none needs a timer of its own.
   * @param now milliseconds of the monotonic clock; @param wall UTC milliseconds.
   */
  pulse(now: number, wall: number): void {
    if (this.closed) return;
    if (this.#accepted === 'no') {
      if (now >= this.#silentAt) this.fail('protocol-error', { rule: 'handshake timeout' });
      return;
    }
    if (wall >= this.device.principal.expiresAt) {
      this.close('token-expired');
      return;
    }
    // While we ourselves do not read, silence proves nothing; a peer that does not read us is on its own time.
    if (this.has(~holds.output)) this.#silentAt = now + this.#silenceMsMax;
    else if (now >= this.#silentAt) this.close('keep-alive');
  }

  /**
   * The hub stops: takes no more packets, acknowledges what becomes durable and answers about the twin (some SDKs wait for ever for an
   * answer that went down with its connection), then ends the connection.
   */
  drain(): void {
    if (this.closed) return;
    this.hold(holds.drain);
    this.#endIfDrained();
  }

  #endIfDrained(): void {
    if (this.closed || !this.has(holds.drain)) return;
    const left = (this.#uplink?.unacknowledged ?? 0) + (this.#twin?.requests ?? 0);
    if (left === 0) this.close('hub-stopping', 'end');
  }

  batchDurable(batch: number): void {
    const uplink = this.#uplink;
    if (this.closed || uplink === undefined) return;
    const bytes = uplink.settle(batch);
    if (bytes !== undefined) this.write(bytes);
    this.#endIfDrained();
    if (!this.closed) uplink.relieve();
  }

  batchFailed(_batch: number, error: Error): void {
    this.fail('storage-failed', { error: error.message });
  }

  /** Takes packets from the reader until there is none or a hold is set. */
  protected override read(): void {
    const reader = this.#reader;
    if (reader === undefined || this.#reading) return;
    this.#reading = true;
    let isFound = false;
    try {
      while (this.isOpen) {
        const isFirst = this.#accepted === 'no';
        if (isFirst) requireConnect(reader.firstByte);
        isFound = false;
        if (!reader.next(isFirst ? limits.mqttConnectBytesMax : limits.mqttPacketBytesMax)) break;
        isFound = true;
        if (++this.#taken >= limits.mqttPacketsPerTurn) this.#endTurn();
        if (this.#uplink?.enqueueFast(reader) === true) continue;
        this.#taken += Math.floor((reader.end - reader.start) / BYTES_PER_PACKET);
        this.#handle(decodePacket(reader.bytes, reader.start, reader.body, reader.end), reader);
      }
      this.#answerPings();
    } catch (error) {
      const { bytes, start, body, end } = reader;
      this.#failWith(error, isFound ? topicForRefusal(bytes, start, body, end) : undefined);
    }
    this.#reading = false;
    if (this.closed) return;
    reader.settle();
    if (reader.waiting > 0) return;
    this.#reader = undefined;
    giveBackReader(reader);
  }

  worked(packets: number): void {
    this.#taken += packets;
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
    if (!this.closed) this.write(count === 1 ? pingresp : Buffer.alloc(count * pingresp.length, pingresp));
  }

  #handle(packet: ClientPacket, reader: PacketReader): void {
    if (packet.kind !== 'pingreq') this.#answerPings();
    switch (packet.kind) {
      case 'publish':
        takePublish(this, packet, reader);
        return;
      case 'pingreq':
        this.#pings++;
        return;
      case 'subscribe':
        takeSubscribe(this, packet);
        return;
      case 'unsubscribe':
        takeUnsubscribe(this, packet);
        return;
      case 'disconnect':
        this.close('by-client', 'end');
        return;
      case 'connect':
      case 'foreignConnect': {
        const origin = this.#origin;
        if (origin === undefined) throw new MalformedPacket('a second CONNECT [MQTT-3.1.0-2]');
        this.hold(holds.handshake);
        takeConnect(this, packet, origin).catch((error: unknown) => this.#failWith(error));
        return;
      }
      case 'puback':
        this.#commands?.acknowledged(packet.packetId);
        return;
      case 'pubrec':
      case 'pubrel':
      case 'pubcomp':
        throw new MalformedPacket(`${packet.kind}: QoS 2 is not offered (device reference 2.9)`);
    }
  }

  proved(device: DeviceConnection, traits: ConnectTraits): void {
    this.#device = device;
    this.#traits = traits.will === undefined ? traits : { ...traits, willSender: device.openWill(traits.modelId) };
    this.#origin = undefined;
  }

  accept({ grants, sessionPresent }: Entered, packet: ConnectPacket): void {
    this.#accepted = packet.cleanSession ? 'clean' : 'persistent';
    this.#grants = grants;
    this.#silenceMsMax = silenceMsMax(packet);
    this.#silentAt = this.hub.clock.monotonic() + this.#silenceMsMax;
    this.write(connack(connackCodes.accepted, sessionPresent));
    this.hub.log.debug(this.facts(), 'MQTT connection accepted');
    this.#nameModel();
    this.commandsWait();
    this.#subscribed();
    this.release(holds.handshake);
  }

  #nameModel(): void {
    const { modelId } = this.#traits;
    if (modelId === undefined || modelId === '') return;
    const { principal, key } = this.device;
    this.hub.twins.nameModel(principal, key, modelId).catch((error: unknown) => {
      this.hub.log.warn({ ...this.facts(), error }, 'the model of a device is not kept');
    });
  }

  openUplink(): Uplink {
    this.#uplink ??= new Uplink(this.device.openTelemetry(this, this.#traits.modelId), this);
    return this.#uplink;
  }

  grant(grants: Grants, answer: Buffer): void {
    this.#grants = grants;
    this.write(answer);
    this.commandsWait();
    this.#subscribed();
  }

  write(bytes: Buffer): void {
    if (!this.link.write(bytes)) this.hold(holds.output);
  }

  facts(): LogFields {
    const { protocol, peer } = this.#device ?? this.#origin ?? {};
    return { protocol, peer, identity: this.#device?.name };
  }

  #failWith(error: unknown, topic?: string): void {
    const { reason, fields } = closingOf(error, topic);
    if (reason === 'storage-failed') this.hub.log.error({ ...this.facts(), error }, 'a packet could not be handled');
    this.fail(reason, fields);
  }

  fail(reason: DisconnectReason, fields: LogFields): void {
    if (this.closed) return;
    this.hub.log.info({ ...this.facts(), reason, ...fields }, 'MQTT connection closed');
    this.close(reason, 'destroy', detailOf(fields));
  }

  close(reason: DisconnectReason, how: 'end' | 'destroy' = 'destroy', detail?: string): void {
    if (this.closed) return;
    this.hold(holds.closed);
    this.#uplink?.close();
    this.#leaveWill(reason);
    this.#device?.release(reason, detail);
    this.#commands?.close();
    this.#twin?.close();
    if (this.#device !== undefined) this.hub.log.debug({ ...this.facts(), reason }, 'MQTT connection ended');
    if (how === 'end') this.link.end();
    else this.link.destroy();
  }

  /** The will becomes an event. */
  #leaveWill(reason: DisconnectReason): void {
    const { will, willSender } = this.#traits;
    if (will === undefined || willSender === undefined || this.#accepted === 'no' || !leavesWill(reason)) return;
    try {
      this.hub.events.enqueue(willSender, will, this);
    } catch (error) {
      this.hub.log.warn({ ...this.facts(), error }, 'the will of a connection was not stored');
    }
  }
}
