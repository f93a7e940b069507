/**
 * A device as its SDK and its place in the world make it: it sends telemetry in windows and again when the answer stays
 * away, takes commands and acknowledges them or does not, breaks off, vanishes, and comes back by another connection.
 */
import type { Packet } from 'mqtt-packet';
import { signed } from '../drivers/mqtt-door.ts';
import type { CommandsChecker } from './check-commands.ts';
import type { EventsChecker } from './check-events.ts';
import type { MethodsChecker } from './check-methods.ts';
import type { Attempt, SessionsChecker } from './check-sessions.ts';
import type { TwinsChecker } from './check-twins.ts';
import { DeviceTwin, TWIN_PACKET_IDS, type TwinLink } from './device-twin.ts';
import type { Directory } from './directory.ts';
import type { HubHost } from './hub-host.ts';
import { connectPacket, MqttClient } from './mqtt-client.ts';
import type { Dice, World } from './world.ts';

const TOKEN_MS = 30 * 86_400_000;
const WINDOW_MAX = 20;

export interface Checkers {
  readonly events: EventsChecker;
  readonly commands: CommandsChecker;
  readonly sessions: SessionsChecker;
  readonly twins: TwinsChecker;
  readonly methods: MethodsChecker;
}

interface Message {
  readonly name: string;
  readonly packetId: number;
  readonly body: string;
  readonly kind: string | undefined;
  sentBefore: boolean;
}

interface Link {
  readonly client: MqttClient;
  readonly attempt: Attempt;
  readonly number: number;
  readonly keepAliveMs: number;
  readonly twin: TwinLink | undefined;
  heardAt: number;
  spokeAt: number;
  subscribed: boolean;
  over: boolean;
}

export class Device {
  readonly id: string;
  readonly #world: World;
  readonly #host: HubHost;
  readonly #directory: Directory;
  readonly #checkers: Checkers;
  readonly #dice: Dice;
  /** QoS 1 messages without an answer, oldest first. */
  #outbox: Message[] = [];
  #count = 0;
  #links = 0;
  #link: Link | undefined;
  /** Filters that the hub has acknowledged in this session, which a later connection may rely on. */
  #subscribedGeneration: string | undefined;
  readonly #stays: boolean;
  #hasLeft = false;
  readonly #twin: DeviceTwin | undefined;

  constructor(id: string, world: World, host: HubHost, directory: Directory, checkers: Checkers) {
    this.id = id;
    this.#world = world;
    this.#host = host;
    this.#directory = directory;
    this.#checkers = checkers;
    this.#dice = world.dice(id);
    this.#stays = this.#dice.chance(0.7);
    if (world.plan.twinBackEnds > 0) this.#twin = new DeviceTwin(id, world, checkers);
  }

  /** What is to be done yet; undefined = nothing but to stay, or to have left. */
  get left(): string | undefined {
    const link = this.#link;
    if (link?.client.accepted !== true) return 'is not connected';
    if (this.#outbox.length > 0) return `waits for the answer to ${this.#outbox[0].name}`;
    if (!link.subscribed) return 'does not listen to commands';
    return link.twin && this.#twin?.left(link.twin);
  }

  /** What the device does beside telemetry and commands, if there is anything. */
  async liveTwin(): Promise<void> {
    const dice = this.#world.dice(`${this.id}'s twin at times`);
    while (!this.#world.over) {
      await this.#world.scheduler.sleep(dice.wait(500 * this.#world.patience));
      const link = this.#link;
      if (link?.twin === undefined || !link.client.accepted) continue;
      if (this.#world.calm) this.#twin?.settle(link.twin);
      else this.#twin?.act(link.twin);
    }
  }

  async live(): Promise<void> {
    while (!this.#world.over) {
      await this.#world.scheduler.sleep(this.#dice.wait(this.#world.calm ? 500 : 300));
      this.#mind();
      if (this.#link === undefined && !this.#hasLeft) this.#connect();
      else if (this.#link?.client.accepted) this.#act(this.#link);
      else if (this.#link !== undefined) this.#loseHeart(this.#link);
    }
  }

  /** All work is done: some leave politely, the others stay. */
  settle(): void {
    if (this.#stays) return;
    this.#hasLeft = true;
    if (this.#link !== undefined) this.#leave(this.#link);
  }

  #act(link: Link): void {
    const { plan, calm, counters } = this.#world;
    const dice = this.#dice;
    if (calm) {
      link.client.connection.unstall();
      if (!link.subscribed) this.#subscribe(link, 1);
      return;
    }
    const kind = dice.next();
    if (kind < 0.5) this.#publishSome(link);
    else if (kind < 0.6) this.#publish(link, 0);
    else if (kind < 0.7 && !link.subscribed) this.#subscribe(link, dice.chance(0.8) ? 1 : 0);
    else if (kind < 0.71 && link.subscribed) this.#unsubscribe(link);
    else if (kind < 0.73 && plan.breakEveryMs > 0) this.#leave(link);
    else if (kind < 0.76 && plan.breakEveryMs > 0) {
      // The same device by another connection, while the hub has the one before.
      this.#world.trace(this.id, 'connects once more');
      this.#link = undefined;
      this.#connect();
    } else if (kind < 0.8 && plan.stalls) {
      counters.stalledPeers++;
      link.client.connection.stall();
      this.#world.scheduler.after(dice.wait(5000), () => link.client.connection.unstall());
    } else if (plan.breakEveryMs > 0 && dice.chance(300 / plan.breakEveryMs)) this.#break(link);
  }

  /** The hub has not answered yet: it is tried again at once, while the first attempt is still being handled. */
  #loseHeart(link: Link): void {
    if (this.#world.calm || this.#world.plan.breakEveryMs === 0 || !this.#dice.chance(0.3)) return;
    this.#world.trace(this.id, `gives up (${link.number})`);
    this.#break(link);
    this.#connect();
  }

  /** What a client's own timers do. */
  #mind(): void {
    const link = this.#link;
    if (link === undefined) return;
    const now = this.#world.scheduler.monotonic();
    if (link.client.accepted && now - link.spokeAt > link.keepAliveMs / 2) {
      link.spokeAt = now;
      link.client.send({ cmd: 'pingreq' });
    }
    // No answer for so long: the connection is dead.
    if (now - link.heardAt > link.keepAliveMs * 1.5 + 5000) this.#break(link);
  }

  #connect(): void {
    const dice = this.#dice;
    const known = this.#directory.credentials(this.id);
    if (known.length === 0) return;
    const credential = !this.#world.calm && dice.chance(0.05) ? dice.pick(known) : known[known.length - 1];
    const number = this.#links++;
    let link: Link | undefined;
    const client = MqttClient.open(this.#world, this.#host, `${this.id}/${number}`, {
      packet: (packet) => link && this.#received(link, packet),
      closed: () => link && this.#closed(link),
    });
    if (client === undefined) return;
    const clean = !this.#world.calm && dice.chance(0.15);
    const keepalive = dice.pick([5, 20, 60]);
    const token = signed(`localhost/devices/${this.id}`, credential.key, this.#world.scheduler.now() + TOKEN_MS);
    const will = `${this.id}:will${number}|`;
    const withWill = !this.#world.calm && dice.chance(0.2);
    const attempt = this.#checkers.sessions.connecting(this.id, client.connection, credential, clean);
    // A clean one ends the session for both sides, answered or not (MQTT-3.1.2-6).
    if (clean) this.#subscribedGeneration = undefined;
    const twin = this.#twin?.connecting(client, attempt);
    const now = this.#world.scheduler.monotonic();
    const times = { heardAt: now, spokeAt: now };
    link = { client, attempt, number, twin, keepAliveMs: keepalive * 1000, ...times, subscribed: false, over: false };
    this.#link = link;
    this.#world.trace(this.id, `connects (${number}, ${clean ? 'clean' : 'kept'})`);
    if (withWill) this.#checkers.events.sent(`${this.id}:will${number}`, will, undefined, credential.generationId);
    client.send(
      connectPacket({
        ...{ clientId: this.id, clean, keepalive },
        username: `localhost/${this.id}/?api-version=2021-04-12`,
        password: Buffer.from(token),
        ...(withWill && {
          will: { topic: `devices/${this.id}/messages/events/`, payload: Buffer.from(will), qos: 1, retain: false },
        }),
      }),
    );
  }

  #received(link: Link, packet: Packet): void {
    link.heardAt = this.#world.scheduler.monotonic();
    if (link.twin !== undefined && this.#twin?.received(link.twin, packet)) return;
    switch (packet.cmd) {
      case 'connack':
        this.#answered(link, packet.returnCode ?? -1, packet.sessionPresent);
        return;
      case 'puback':
        this.#acknowledged(link, packet.messageId ?? 0);
        return;
      case 'suback':
        link.subscribed = true;
        // A newer connection may have ended the session.
        if (link !== this.#link) return;
        this.#subscribedGeneration = link.attempt.clean ? undefined : link.attempt.credential.generationId;
        return;
      case 'unsuback':
        link.subscribed = false;
        return;
      case 'publish':
        this.#commanded(link, packet.payload as Buffer, packet.qos, packet.messageId ?? 0, packet.dup);
        return;
      case 'pingresp':
        return;
      default:
        this.#world.find(`${this.id} received a ${packet.cmd}`);
    }
  }

  #answered(link: Link, code: number, sessionPresent: boolean): void {
    this.#world.trace(this.id, `is answered ${code} (${link.number}, session ${sessionPresent})`);
    if (code !== 0) return;
    link.client.accepted = true;
    this.#checkers.sessions.accepted(link.attempt, sessionPresent);
    if (link.twin !== undefined) this.#twin?.accepted(link.twin, sessionPresent);
    // As the SDKs do: what the session has is not asked for again.
    link.subscribed = sessionPresent && this.#subscribedGeneration === link.attempt.credential.generationId;
    if (!sessionPresent) this.#subscribedGeneration = undefined;
    if (link === this.#link) for (const message of this.#outbox) this.#send(link, message, 1);
  }

  #acknowledged(link: Link, packetId: number): void {
    const due = link.client.unacknowledged.shift();
    this.#world.check(due?.packetId === packetId, () => {
      return `${this.id}: PUBACK ${packetId} came where ${due?.packetId} was due`;
    });
    if (due === undefined) return;
    this.#checkers.events.acknowledged(due.name);
    this.#outbox = this.#outbox.filter(({ name }) => name !== due.name);
  }

  #commanded(link: Link, body: Buffer, qos: number, packetId: number, dup: boolean): void {
    const text = body.toString();
    this.#world.trace(this.id, `is given ${text} (${link.number}${dup ? ', again' : ''})`);
    this.#checkers.commands.delivered(this.id, link.attempt, text, qos, dup);
    if (qos === 0) return;
    if (!this.#world.calm && this.#dice.chance(this.#world.plan.deafRate)) return;
    this.#world.scheduler.after(this.#dice.wait(this.#dice.chance(0.05) ? 30_000 : 50), () => {
      if (link.over || !link.client.connection.isOpen) return;
      this.#checkers.commands.settling(text, 'complete');
      link.client.send({ cmd: 'puback', messageId: packetId });
    });
  }

  #closed(link: Link): void {
    this.#world.trace(this.id, `is cut off (${link.number})`);
    link.over = true;
    if (link.twin !== undefined) this.#twin?.closed(link.twin);
    if (this.#link === link) this.#link = undefined;
  }

  #publishSome(link: Link): void {
    const count = Math.min(this.#dice.between(1, WINDOW_MAX), WINDOW_MAX - this.#outbox.length);
    for (let nth = 0; nth < count; nth++) this.#publish(link, 1);
  }

  #publish(link: Link, qos: 0 | 1): void {
    const dice = this.#dice;
    const number = this.#count++;
    const name = `${this.id}:${number}`;
    const size = dice.chance(0.02) ? dice.between(0, 60_000) : dice.between(0, 400);
    const message: Message = {
      name,
      packetId: 1 + (number % 65_535),
      body: `${name}|${'.'.repeat(size)}`,
      kind: dice.pick([undefined, 'a', 'b']),
      sentBefore: false,
    };
    if (qos === 1) this.#outbox.push(message);
    this.#send(link, message, qos);
  }

  #send(link: Link, message: Message, qos: 0 | 1): void {
    const { name, packetId, body, kind } = message;
    this.#checkers.events.sent(name, body, kind, link.attempt.credential.generationId);
    if (qos === 1) link.client.unacknowledged.push({ packetId, name });
    link.spokeAt = this.#world.scheduler.monotonic();
    link.client.send({
      ...{ cmd: 'publish', qos, retain: false, dup: message.sentBefore, messageId: packetId },
      topic: `devices/${this.id}/messages/events/${kind === undefined ? '' : `kind=${kind}`}`,
      payload: Buffer.from(body),
    });
    message.sentBefore = true;
  }

  #subscribe(link: Link, qos: 0 | 1): void {
    if (qos === 0) this.#checkers.commands.atMostOnce(this.id);
    const subscriptions = [{ topic: `devices/${this.id}/messages/devicebound/#`, qos }];
    link.client.send({ cmd: 'subscribe', messageId: this.#dice.between(1, TWIN_PACKET_IDS - 1), subscriptions });
  }

  #unsubscribe(link: Link): void {
    this.#subscribedGeneration = undefined;
    link.client.send({
      ...{ cmd: 'unsubscribe', messageId: this.#dice.between(1, TWIN_PACKET_IDS - 1) },
      unsubscriptions: [`devices/${this.id}/messages/devicebound/#`],
    });
  }

  #leave(link: Link): void {
    this.#world.trace(this.id, `leaves (${link.number})`);
    link.client.send({ cmd: 'disconnect' });
    link.client.connection.close();
    this.#closed(link);
  }

  #break(link: Link): void {
    if (this.#dice.chance(this.#world.plan.vanishRate)) {
      this.#world.counters.vanishedPeers++;
      link.client.connection.vanish();
    } else {
      this.#world.counters.brokenConnections++;
      link.client.connection.break();
    }
    this.#closed(link);
  }
}
