/**
 * Commands on their way to one device. They are taken from the device's inbox a few at a time, each under a lock, written
 * when the peer reads, and completed by the PUBACK (at QoS 0 by having been written).
 *
 * Invariants: nothing is written while the device is not subscribed, nor under a lock that is over; what is taken, written
 * and not yet settled is never more than `commandsInflightMax`; whoever calls `close` gives back all that is held. A
 * command that cannot be settled (lock over, store failed, connection lost) is delivered again: at least once, in order of
 * first delivery.
 */
import { limits } from '../../base/limits.ts';
import type { Inbox } from '../../core/commands/commands.ts';
import type { Settlement } from '../../core/commands/lifecycle.ts';
import type { Command } from '../../core/commands/types.ts';
import { asHubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { DevicePrincipal } from '../../core/identity/types.ts';
import { publishAtLeastOnce, publishAtMostOnce, TOPIC_BYTES_MAX } from '../../wire/mqtt/encode.ts';
import { commandAddress } from '../shared/command-address.ts';
import type { Link } from './link.ts';
import { commandBag } from './mapping.ts';

/** What the deliveries ask of the session whose they are. */
export interface Receiver {
  readonly link: Pick<Link, 'congested' | 'write'>;
  /** Undefined = not subscribed: nothing may be delivered. */
  readonly commandQos: 0 | 1 | undefined;
  /** The device cannot read properties without a value (device reference 2.4). */
  readonly omitEmptyProperties: boolean;
  /**
   * Nothing is held any more, and nothing waits: the deliveries may be let go of until the next wake-up.
   * @param haveTaken whether any command has been taken, under the name of their holder.
   */
  deliveriesIdle(haveTaken: boolean): void;
}

/** A command that was written at QoS 1 and waits for its PUBACK. */
interface Unacknowledged {
  readonly lockToken: string;
  /** UTC milliseconds. */
  readonly lockedUntil: number;
}

const PACKET_IDS = 0xffff;

export class Deliveries {
  readonly #hub: Hub;
  readonly #principal: DevicePrincipal;
  readonly #receiver: Receiver;
  readonly #inbox: Inbox;
  /** Taken and not yet written, in order. */
  #pending: Command[] = [];
  /** By packet id. */
  readonly #unacknowledged = new Map<number, Unacknowledged>();
  /** Commands on their way out at QoS 0, and settlements that the store has not answered. */
  #settling = 0;
  #running = false;
  #moreMayWait = false;
  #haveTaken = false;
  /** Monotonic time at which the store is asked again after a refusal. */
  #retryAt = Number.POSITIVE_INFINITY;
  #closed = false;

  /** @param holder names the connection. @throws HubError IotHubUnauthorizedAccess */
  constructor(hub: Hub, principal: DevicePrincipal, holder: string, receiver: Receiver) {
    this.#hub = hub;
    this.#principal = principal;
    this.#receiver = receiver;
    this.#inbox = hub.commands.openInbox(principal, principal.key, holder);
  }

  /** Something may wait in the inbox. */
  wake(): void {
    this.#moreMayWait = true;
    this.#run();
  }

  /** The peer has read what was written. */
  drained(): void {
    this.#run();
  }

  /** @param now milliseconds of the monotonic clock. */
  pulse(now: number): void {
    if (now < this.#retryAt) return;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.wake();
  }

  /** A PUBACK. One for nothing changes nothing: its lock was over, or it was for an earlier connection. */
  acknowledged(packetId: number): void {
    const entry = this.#unacknowledged.get(packetId);
    if (entry === undefined) return;
    this.#unacknowledged.delete(packetId);
    this.#settle(entry.lockToken, 'complete');
  }

  /** Gives back what is held, at once, so that the device's next connection gets it. */
  close(): void {
    this.#closed = true;
    this.#pending = [];
    this.#unacknowledged.clear();
    this.#giveBack();
  }

  /** Writes and takes until the peer does not keep up, the bound is reached, or nothing waits. One at a time. */
  #run(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    this.#deliver();
  }

  /** Never rejects. */
  async #deliver(): Promise<void> {
    try {
      for (;;) {
        this.#writePending();
        const count = this.#placesForMore();
        if (count === 0) return;
        this.#moreMayWait = false;
        const taken = await this.#inbox.take(count);
        if (taken.length > 0) this.#haveTaken = true;
        if (this.#closed) {
          // The locks were taken behind the release.
          this.#giveBack();
          return;
        }
        this.#pending = [...taken];
        if (taken.length === count) this.#moreMayWait = true;
      }
    } catch (error) {
      this.#log('error', error, 'commands could not be taken');
      this.#retryAt = this.#hub.clock.monotonic() + limits.mqttCommandsRetryMs;
    } finally {
      this.#running = false;
      this.#tellIfIdle();
    }
  }

  /** How many commands to take now. */
  #placesForMore(): number {
    if (this.#closed || !this.#moreMayWait || this.#pending.length > 0) return 0;
    if (this.#receiver.commandQos === undefined || this.#receiver.link.congested) return 0;
    // A lock that is over holds nothing: its command waits in the inbox again, or has ended.
    const now = this.#hub.clock.now();
    for (const [packetId, { lockedUntil }] of this.#unacknowledged) {
      if (lockedUntil <= now) this.#unacknowledged.delete(packetId);
    }
    const free = limits.commandsInflightMax - this.#unacknowledged.size - this.#settling;
    return Math.max(0, Math.min(free, limits.mqttCommandsTakeMax));
  }

  #writePending(): void {
    const { link, commandQos } = this.#receiver;
    if (commandQos === undefined) return;
    let written = 0;
    for (const command of this.#pending) {
      if (link.congested) break;
      this.#write(command, commandQos);
      written++;
    }
    this.#pending = this.#pending.slice(written);
  }

  #write(command: Command, qos: 0 | 1): void {
    const { state, message } = command;
    if (state.kind !== 'locked') return;
    const { lockToken, lockedUntil } = state;
    if (lockedUntil <= this.#hub.clock.now()) {
      this.#moreMayWait = true;
      return;
    }
    const topic = this.#topicOf(command);
    if (Buffer.byteLength(topic) > TOPIC_BYTES_MAX) {
      this.#log('warn', undefined, `command ${command.sequence} does not fit into an MQTT topic`);
      this.#settle(lockToken, 'abandon');
      return;
    }
    const { link } = this.#receiver;
    if (qos === 0) {
      this.#settling++;
      link.write(publishAtMostOnce(topic, message.body), (error) => {
        this.#settling--;
        if (!error) this.#settle(lockToken, 'complete');
      });
      return;
    }
    const packetId = this.#packetIdOf(command);
    this.#unacknowledged.set(packetId, { lockToken, lockedUntil });
    link.write(publishAtLeastOnce(topic, message.body, packetId, command.handedOver > 1));
  }

  #topicOf({ message }: Command): string {
    const address = commandAddress(this.#principal.key);
    return `${address.slice(1)}/${commandBag(message, address, this.#receiver.omitEmptyProperties)}`;
  }

  /**
   * The same command has the same packet id whenever and over whichever connection it is sent [MQTT-4.4.0-1]. So a late
   * PUBACK, which some clients send over their next connection, cannot be taken for that of another command.
   */
  #packetIdOf({ sequence }: Command): number {
    let packetId = 1 + (sequence % PACKET_IDS);
    while (this.#unacknowledged.has(packetId)) packetId = 1 + (packetId % PACKET_IDS);
    return packetId;
  }

  /** Never rejects: a device cannot be told, and what is not settled is delivered again. */
  async #settle(lockToken: string, settlement: Settlement): Promise<void> {
    this.#settling++;
    try {
      await this.#inbox.settle(lockToken, settlement);
    } catch (error) {
      if (asHubError(error).code !== 'DeviceMessageLockLost') this.#log('error', error, 'a command was not settled');
    }
    this.#settling--;
    this.#run();
  }

  #giveBack(): void {
    this.#inbox.close().catch((error: unknown) => this.#log('error', error, 'commands could not be given back'));
  }

  #tellIfIdle(): void {
    if (this.#closed || this.#pending.length + this.#unacknowledged.size + this.#settling > 0) return;
    const waits = this.#retryAt < Number.POSITIVE_INFINITY || this.#moreMayWait;
    if (!waits || this.#receiver.commandQos === undefined) this.#receiver.deliveriesIdle(this.#haveTaken);
  }

  #log(level: 'warn' | 'error', error: unknown, sentence: string): void {
    this.#hub.log[level]({ identity: identityName(this.#principal.key), error }, sentence);
  }
}
