/**
 * One connection of a device or coordinator, from its first byte to its end. Packets are handled one after another; while something
 * must be waited for (the login, the hub, a peer that does not read), the socket is not read, so that its memory is bounded.
 */
import { limits } from '../../../base/limits.ts';
import type { Settlement, Connection as Socket } from '../../../gateway/index.ts';
import { pingresp } from '../../../wire/mqtt/encode.ts';
import type { PacketReader } from '../../../wire/mqtt/packet-reader.ts';
import { type ConnectPacket, MalformedPacket, packetTypes, type Will } from '../../../wire/mqtt/packets.ts';
import { type Dialogue, type Outcome, outcomes, type Packet, version4, version5 } from '../dialogue.ts';
import { Inbox, type InboxOwner } from '../inbox.ts';
import { Intake, type IntakeOwner } from '../intake.ts';
import { Lost } from '../route.ts';
import type { Outgoing } from '../rules.ts';
import { connect, type Doorkeeper } from './connecting.ts';
import { Deliveries } from './deliveries.ts';
import { KnownTopic } from './known-topic.ts';
import type { Speaker, SpeakerConnection } from './speakers.ts';
import { type Request, Subscriptions } from './subscriptions.ts';

/** What all connections of one listener share. */
export interface Shared extends Doorkeeper {
  /** By user and client id. */
  readonly clients: Map<string, ListenerConnection>;
}

/** Why a connection ends: said to an MQTT 5 client and to the log. */
interface Ending {
  readonly outcome: Outcome;
  readonly why: string;
  /** The client has said goodbye: its will is not published. */
  readonly quiet?: true;
}

/** From an accepted CONNECT on. */
interface Accepted {
  readonly speaker: Speaker;
  readonly inbox: Inbox;
  readonly known: KnownTopic;
  readonly deliveries: Deliveries;
  /** Of what is sent to it. */
  readonly packetBytesMax: number;
  readonly will: Will | undefined;
}

export class ListenerConnection implements SpeakerConnection, InboxOwner, IntakeOwner {
  readonly #shared: Shared;
  readonly #socket: Socket;
  readonly #intake: Intake;
  readonly #subscriptions = new Subscriptions();
  #dialogue: Dialogue = version4;
  #accepted: Accepted | undefined;
  #client = '';
  #packetBytesMax: number = limits.mqttConnectBytesMax;
  #silenceMs: number = limits.mqttTopicsConnectMs;
  #heardAt: number;
  #awaitsDrain = false;
  #ended = false;

  constructor(shared: Shared, socket: Socket) {
    this.#shared = shared;
    this.#socket = socket;
    this.#intake = new Intake(socket, this);
    this.#heardAt = shared.host.clock.monotonic();
  }

  /** Serves it; resolves when it has ended. */
  async run(): Promise<void> {
    const socket = this.#socket;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('end', () => this.end({ outcome: outcomes.unspecifiedError, why: 'the client closed its side' }));
    await closed;
    this.end({ outcome: outcomes.unspecifiedError, why: 'the connection broke' });
  }

  pulse(now: number): void {
    if (now - this.#heardAt > this.#silenceMs)
      this.end({ outcome: outcomes.keepAliveTimeout, why: 'silent for too long' });
  }

  dropped(): void {
    this.end({ outcome: outcomes.sessionTakenOver, why: 'the session of the device in the hub has ended' });
  }

  giveUp(): void {
    this.end({ outcome: outcomes.quotaExceeded, why: 'the hub takes no more for now' });
  }

  end({ outcome, why, quiet }: Ending): void {
    if (this.#ended) return;
    const { host, clients, speakers } = this.#shared;
    const accepted = this.#accepted;
    const last = accepted === undefined || quiet === true ? undefined : this.#dialogue.closing(outcome);
    if (last !== undefined && last.length > 0) this.write(last);
    this.#ended = true;
    host.log.debug('MQTT connection ended', { user: accepted?.speaker.name, peer: this.#socket.peer, why });
    if (clients.get(this.#client) === this) clients.delete(this.#client);
    if (accepted !== undefined) {
      const { speaker, will, inbox, deliveries } = accepted;
      if (will !== undefined && quiet !== true) inbox.take(will.topic, will.payload, will.retain, () => {});
      deliveries.close();
      if (speaker.remove(this)) void speakers.leave(speaker);
    }
    this.#socket.end();
    this.#socket.resume();
    host.clock.after(limits.mqttLingerMs, () => this.#socket.destroy());
  }

  grantedQos(topic: string): 0 | 1 | undefined {
    return this.#ended ? undefined : this.#subscriptions.qosFor(topic);
  }

  async deliver({ topic, body }: Outgoing, qos: 0 | 1, signal: AbortSignal): Promise<Settlement> {
    const { deliveries, packetBytesMax = 0, speaker } = this.#accepted ?? {};
    if (this.#ended || deliveries === undefined) throw new Lost('the connection of the device has ended');
    if (qos === 1 && deliveries.isFull) throw new Error('the client has too many unacknowledged messages');
    const waiting = qos === 1 ? deliveries.wait(signal) : undefined;
    const message = { topic, payload: body, retain: false, duplicate: false, packetId: waiting?.packetId ?? 0 };
    const bytes = this.#dialogue.publish(message);
    const { log, metrics } = this.#shared.host;
    if (bytes.length > packetBytesMax) {
      if (waiting !== undefined) deliveries.acknowledged(waiting.packetId);
      log.warn('A message is larger than its client takes, and is rejected', { user: speaker?.name, packetBytesMax });
      return 'reject';
    }
    this.write(bytes);
    metrics.count('delivered');
    return waiting === undefined ? 'complete' : settlementOf(await waiting.acknowledged);
  }

  hold(until: Promise<unknown>): void {
    this.#intake.hold(until);
  }

  resume(): void {
    this.#intake.resume();
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  get isFull(): boolean {
    return this.#accepted?.inbox.isFull === true;
  }

  takeNext(reader: PacketReader): boolean {
    if (!reader.next(this.#packetBytesMax)) return false;
    if (this.#accepted === undefined) this.#first(reader);
    else this.#next(this.#accepted, reader);
    return true;
  }

  broken(error: unknown): void {
    const why = (error as Error).message;
    if (!(error instanceof MalformedPacket))
      this.#shared.host.log.error('A packet could not be handled', { reason: why });
    this.end({ outcome: outcomes.malformedPacket, why });
  }

  write(bytes: Buffer): void {
    if (this.#ended || this.#socket.write(bytes)) return;
    if (this.#socket.writableLength > limits.mqttTopicsOutputCutBytes) {
      this.#socket.destroy();
      return;
    }
    if (this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    this.#socket.once('drain', () => {
      this.#awaitsDrain = false;
      this.resume();
    });
  }

  #receive(bytes: Buffer): void {
    if (this.#ended) return;
    // Before the CONNECT is accepted, bytes buy no time.
    if (this.#accepted !== undefined) this.#heardAt = this.#shared.host.clock.monotonic();
    this.#intake.receive(bytes);
  }

  #next(accepted: Accepted, { bytes, start, body, end }: PacketReader): void {
    const plain = accepted.known.read(bytes, start, body, end);
    if (plain !== undefined) accepted.inbox.publish(plain);
    else this.#packet(accepted, this.#dialogue.decode(bytes, start, body, end));
  }

  /** Only a CONNECT is read first [MQTT-3.1.0-1]. */
  #first({ bytes, start, body, end }: PacketReader): void {
    if (bytes[start] !== packetTypes.connect << 4)
      throw new MalformedPacket('the first packet is not a CONNECT [MQTT-3.1.0-1]');
    let packet = version4.decode(bytes, start, body, end);
    if (packet.kind === 'foreignConnect' && packet.protocolName === 'MQTT' && packet.level === 5) {
      this.#dialogue = version5;
      packet = version5.decode(bytes, start, body, end);
    }
    if (packet.kind === 'connect') this.hold(this.#enter(packet));
    else this.#refuse(outcomes.unsupportedProtocolVersion, 'neither MQTT 3.1.1 nor 5');
  }

  #refuse(outcome: Outcome, why: string): void {
    const { host } = this.#shared;
    host.metrics.count('refused_connects');
    host.log.info('MQTT client refused', { peer: this.#socket.peer, why });
    this.write(this.#dialogue.refused(outcome));
    this.end({ outcome, why });
  }

  async #enter(packet: ConnectPacket): Promise<void> {
    const { host, speakers, clients } = this.#shared;
    const connected = await connect(packet, this.#socket, this.#shared);
    if (connected.kind === 'refused') {
      this.#refuse(connected.outcome, connected.why);
      return;
    }
    const { speaker, client, will, silenceMs, receiveMax, packetBytesMax } = connected;
    const { assignedClientId, keepAliveSeconds, sessionExpirySeconds } = connected;
    speaker.add(this);
    if (this.#ended || this.#socket.destroyed) {
      if (speaker.remove(this)) await speakers.leave(speaker);
      return;
    }
    clients.get(client)?.end({ outcome: outcomes.sessionTakenOver, why: 'a newer connection of the same client' });
    clients.set(client, this);
    this.#client = client;
    this.#silenceMs = silenceMs;
    this.#heardAt = host.clock.monotonic();
    const inbox = new Inbox(host, speaker, this.#dialogue, this);
    this.#accepted = {
      speaker,
      inbox,
      known: new KnownTopic(this.#dialogue.version),
      deliveries: new Deliveries(receiveMax),
      packetBytesMax,
      will,
    };
    this.#packetBytesMax = speaker.isCoordinator ? limits.mqttTopicsListBytesMax : limits.mqttPacketBytesMax;
    this.write(
      this.#dialogue.accepted({
        sessionPresent: false,
        receiveMax: limits.mqttTopicsInflightMax,
        packetBytesMax: this.#packetBytesMax,
        ...(assignedClientId !== undefined && { assignedClientId }),
        ...(keepAliveSeconds !== undefined && { keepAliveSeconds }),
        ...(sessionExpirySeconds !== undefined && { sessionExpirySeconds }),
      }),
    );
  }

  #packet(accepted: Accepted, packet: Packet): void {
    const { inbox, deliveries, known } = accepted;
    switch (packet.kind) {
      case 'publish':
        inbox.publish(packet);
        known.remember(packet.topic);
        break;
      case 'puback':
        deliveries.acknowledged(packet.packetId, 'reason' in packet ? packet.reason : outcomes.success);
        break;
      case 'pubrel':
        inbox.release(packet.packetId);
        break;
      case 'subscribe':
        if ('properties' in packet && packet.properties.subscriptionIdentifier !== undefined) {
          throw new MalformedPacket('a subscription identifier, where none are offered [MQTT5-3.2.2.3.12]');
        }
        this.#subscribe(accepted, packet.packetId, packet.requests);
        break;
      case 'unsubscribe':
        this.#subscriptions.remove(packet.filters);
        this.write(this.#dialogue.unsubscribed(packet.packetId, packet.filters.length));
        break;
      case 'pingreq':
        this.write(pingresp);
        break;
      case 'disconnect': {
        const withWill = 'reason' in packet && packet.reason === outcomes.disconnectWithWill;
        this.end({ outcome: outcomes.success, why: 'DISCONNECT', ...(!withWill && { quiet: true }) });
        break;
      }
      default:
        throw new MalformedPacket(`a packet of kind ${packet.kind} is not expected`);
    }
  }

  #subscribe({ speaker, packetBytesMax }: Accepted, packetId: number, requests: readonly Request[]): void {
    const { codes, granted } = this.#subscriptions.add(requests);
    this.write(this.#dialogue.subscribed(packetId, codes));
    for (const { filter, wantsRetained } of granted) {
      speaker.devices.subscribed(filter);
      for (const [topic, payload] of wantsRetained ? speaker.retained.matching(filter) : []) {
        // One that reads none of it is cut off, and costs no more.
        if (this.#socket.destroyed) return;
        const bytes = this.#dialogue.publish({ topic, payload, retain: true, duplicate: false, packetId: 0 });
        if (bytes.length <= packetBytesMax) this.write(bytes);
      }
    }
    speaker.subscriptionsChanged();
  }
}

/** What an MQTT 5 client says with its PUBACK; a client that has too much to do is given it later. */
function settlementOf(reason: number): Settlement {
  if (reason < outcomes.unspecifiedError) return 'complete';
  return reason === outcomes.quotaExceeded ? 'abandon' : 'reject';
}
