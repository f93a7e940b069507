/**
 * Commands on one MQTT connection: which packet each leaves as, and whose word a PUBACK is. When to take, write and give back
 * decides `core/devices/command-delivery.ts`. Made when commands may wait, let go of when none is held.
 */
import type { Log } from '../../base/log.ts';
import type { Settlement } from '../../core/commands/lifecycle.ts';
import type { Command } from '../../core/commands/types.ts';
import type { CommandDelivery } from '../../core/devices/command-delivery.ts';
import type { DeviceConnection } from '../../core/devices/connection.ts';
import type { CommandWire as Wire } from '../../core/devices/types.ts';
import { publishAtLeastOnce, publishAtMostOnce, TOPIC_BYTES_MAX } from '../../wire/mqtt/encode.ts';
import { commandAddress } from '../shared/command-address.ts';
import type { Link } from './link.ts';
import { commandBag } from './mapping.ts';

/** What the wire needs of its connection. */
export interface CommandReceiver {
  readonly link: Pick<Link, 'congested' | 'write'>;
  readonly log: Log;
  /** Undefined = not subscribed: nothing may be delivered. */
  readonly commandQos: 0 | 1 | undefined;
  /** The device cannot read properties without a value (device reference 2.4). */
  readonly omitEmptyProperties: boolean;
  /** Nothing is held any more, and nothing waits: the wire may be let go of until commands may wait again. */
  commandsIdle(): void;
}

const PACKET_IDS = 0xffff;

export class CommandWire implements Wire {
  readonly #receiver: CommandReceiver;
  readonly #device: DeviceConnection;
  readonly #delivery: CommandDelivery;
  /** By packet id: written, and not settled yet. */
  readonly #lockTokens = new Map<number, string>();

  /** @throws HubError IotHubUnauthorizedAccess */
  constructor(device: DeviceConnection, receiver: CommandReceiver) {
    this.#device = device;
    this.#receiver = receiver;
    this.#delivery = device.openCommands(this);
  }

  /** Something may wait in the inbox. */
  wake(): void {
    this.#delivery.wake();
  }

  /** The peer has read what was written. */
  drained(): void {
    this.#delivery.proceed();
  }

  /** A PUBACK. One for nothing changes nothing: its lock was over, or it was for an earlier connection. */
  acknowledged(packetId: number): void {
    const lockToken = this.#lockTokens.get(packetId);
    if (lockToken === undefined) return;
    this.#lockTokens.delete(packetId);
    this.#settle(lockToken, 'complete');
  }

  /** The connection has ended: what is held goes back. */
  close(): void {
    this.#delivery.close();
  }

  space(): number {
    const { commandQos, link } = this.#receiver;
    return commandQos === undefined || link.congested ? 0 : Number.POSITIVE_INFINITY;
  }

  write(command: Command, lockToken: string): boolean {
    const { link, commandQos } = this.#receiver;
    const topic = this.#topicOf(command);
    if (Buffer.byteLength(topic) > TOPIC_BYTES_MAX) {
      const fields = { identity: this.#device.name };
      this.#receiver.log.warn(fields, `command ${command.sequence} does not fit into an MQTT topic`);
      this.#settle(lockToken, 'abandon');
      return true;
    }
    const { body } = command.message;
    if (commandQos === 0) {
      link.write(publishAtMostOnce(topic, body), (error) => {
        if (!error) this.#settle(lockToken, 'complete');
      });
      return true;
    }
    const packetId = this.#packetIdOf(command);
    this.#lockTokens.set(packetId, lockToken);
    link.write(publishAtLeastOnce(topic, body, packetId, command.handedOver > 1));
    return true;
  }

  forget(lockToken: string): void {
    for (const [packetId, held] of this.#lockTokens) if (held === lockToken) this.#lockTokens.delete(packetId);
  }

  rests(nothingWaits: boolean): void {
    if (!this.#delivery.holdsNothing || !(nothingWaits || this.#receiver.commandQos === undefined)) return;
    this.#device.letGo(this.#delivery);
    this.#receiver.commandsIdle();
  }

  refused(): boolean {
    return false;
  }

  #topicOf({ message }: Command): string {
    const address = commandAddress(this.#device.key);
    return `${address.slice(1)}/${commandBag(message, address, this.#receiver.omitEmptyProperties)}`;
  }

  /**
   * The same command has the same packet id whenever and over whichever connection it is sent [MQTT-4.4.0-1]. So a late
   * PUBACK, which some clients send over their next connection, cannot be taken for that of another command.
   */
  #packetIdOf({ sequence }: Command): number {
    let packetId = 1 + (sequence % PACKET_IDS);
    while (this.#lockTokens.has(packetId)) packetId = 1 + (packetId % PACKET_IDS);
    return packetId;
  }

  /** A device cannot be told what became of its word, and what is not settled is delivered again. */
  #settle(lockToken: string, settlement: Settlement): void {
    this.#delivery.settle(lockToken, settlement).catch(() => {});
  }
}
