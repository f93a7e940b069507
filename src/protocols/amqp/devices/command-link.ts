import { limits } from '../../../base/limits.ts';
import type { Settlement } from '../../../core/commands/lifecycle.ts';
import type { Command } from '../../../core/commands/types.ts';
import type { CommandDelivery } from '../../../core/devices/command-delivery.ts';
import type { CommandWire } from '../../../core/devices/types.ts';
import { asHubError } from '../../../core/errors.ts';
import type { Outcome, PeerOutcome } from '../../../wire/amqp/performatives.ts';
import { guidBytes } from '../../../wire/amqp/uuid.ts';
import { commandForDevice } from '../command-mapping.ts';
import type { OutgoingLink } from '../engine/outgoing-link.ts';
import type { LinkHost } from '../link-host.ts';
import type { AttachedDevice } from './attached-device.ts';

/** Device reference 3.5. Nothing else can be said of a command than that it is to come again. */
const settlements: Readonly<Record<PeerOutcome, Settlement>> = {
  accepted: 'complete',
  rejected: 'reject',
  released: 'abandon',
  modified: 'abandon',
};

/**
 * Commands on one link of a device: a transfer for each, settled by the device's disposition. When to take and write them,
 * and that what is held when the link ends goes back at once, decides `core/devices/command-delivery.ts`.
 */
export class CommandLink implements CommandWire {
  readonly #link: OutgoingLink;
  readonly #host: LinkHost;
  readonly #device: AttachedDevice;
  readonly #delivery: CommandDelivery;
  /** Delivery ids that await the device's disposition, by lock token. */
  readonly #ids = new Map<string, number>();

  /** @throws HubError IotHubUnauthorizedAccess */
  constructor(link: OutgoingLink, host: LinkHost, device: AttachedDevice) {
    this.#link = link;
    this.#host = host;
    this.#device = device;
    const delivery = device.connection.openCommands(this);
    this.#delivery = delivery;
    const unwatch = device.onCommands(() => delivery.wake());
    link.whenClosed(() => {
      unwatch();
      delivery.close();
    });
    link.onSendable = () => delivery.proceed();
    link.open({ sendsSettled: link.attach.wantsSettled });
  }

  space(): number {
    if (!this.#link.isOpen || this.#link.credit === 0) return 0;
    if (this.#host.unsentBytes() < limits.readerBytesMax) return this.#link.credit;
    this.#link.session.awaitRoom(this.#link);
    return 0;
  }

  write(command: Command, lockToken: string): boolean {
    const delivery = {
      link: this.#link,
      settle: (outcome: PeerOutcome): Promise<Outcome> => this.#settle(lockToken, settlements[outcome]),
    };
    const message = commandForDevice(command, lockToken);
    const id = this.#link.session.sendTagged(delivery, message, guidBytes(lockToken));
    if (id === undefined) return false;
    if (!this.#link.attach.wantsSettled) this.#ids.set(lockToken, id);
    return true;
  }

  forget(lockToken: string): void {
    const id = this.#ids.get(lockToken);
    this.#ids.delete(lockToken);
    if (id !== undefined) this.#link.session.forget(id);
  }

  rests(nothingWaits: boolean): void {
    if (nothingWaits) this.#link.drained();
  }

  /** Where the proof has ended, and the clock that was set has not let its timer notice yet, the link ends too. */
  refused(error: unknown): boolean {
    if (asHubError(error).code !== 'IotHubUnauthorized') return false;
    this.#link.detach(this.#host.error(error));
    return true;
  }

  /** Never rejects. */
  async #settle(lockToken: string, settlement: Settlement): Promise<Outcome> {
    const { connection } = this.#device;
    this.#ids.delete(lockToken);
    connection.touch();
    try {
      // The word of a device whose proof has ended does not count.
      this.#host.hub.guard.demand(connection.principal, 'commands.receive', connection.key);
      await this.#delivery.settle(lockToken, settlement);
      return { kind: 'accepted' };
    } catch (error) {
      return { kind: 'rejected', error: this.#host.error(error) };
    }
  }
}
