import { limits } from '../../base/limits.ts';
import { uuid } from '../../base/random.ts';
import type { Inbox } from '../../core/commands/commands.ts';
import type { Settlement } from '../../core/commands/lifecycle.ts';
import type { Command } from '../../core/commands/types.ts';
import { asHubError } from '../../core/errors.ts';
import type { Outcome, PeerOutcome } from '../../wire/amqp/performatives.ts';
import { guidBytes } from '../../wire/amqp/uuid.ts';
import { commandForDevice } from './command-mapping.ts';
import type { DevicePeer } from './device-peer.ts';
import type { LinkHost } from './link-host.ts';
import type { OutgoingLink } from './outgoing-link.ts';

/** Device reference 3.5. Nothing else can be said of a command than that it is to come again. */
const settlements: Readonly<Record<PeerOutcome, Settlement>> = {
  accepted: 'complete',
  rejected: 'reject',
  released: 'abandon',
  modified: 'abandon',
};

/**
 * Commands on their way to one device over one link. They are taken from the device's inbox a few at a time, each under a
 * lock, and settled by the device's disposition. Without credit nothing is taken; never more than `commandsInflightMax` are
 * held; what is held when the link ends goes back at once.
 */
export class CommandDelivery {
  readonly #link: OutgoingLink;
  readonly #host: LinkHost;
  readonly #device: DevicePeer;
  /** Names the link to the command queue. */
  readonly #holder: string;
  /** Taken and not sent yet, in order. */
  #pending: Command[] = [];
  /** UTC milliseconds at which the lock ends, by delivery id. */
  readonly #held = new Map<number, number>();
  #isRunning = false;
  #mayHaveMore = true;
  #isClosed = false;

  constructor(link: OutgoingLink, host: LinkHost, device: DevicePeer) {
    this.#link = link;
    this.#host = host;
    this.#device = device;
    this.#holder = `${device.protocol}-${uuid(host.hub.random)}`;
    const inbox = this.#inbox; // asks for the permission
    const unwatch = device.onWake(() => {
      this.#mayHaveMore = true;
      this.#run();
    });
    link.whenClosed(() => {
      this.#isClosed = true;
      unwatch();
      this.#giveBack(inbox);
    });
    link.onSendable = () => this.#run();
    link.open({ sendsSettled: link.attach.wantsSettled });
  }

  /** By the newest proof: an inbox that was opened with an older one ends with it. @throws HubError */
  get #inbox(): Inbox {
    return this.#host.hub.commands.openInbox(this.#device.principal, this.#device.key, this.#holder);
  }

  /** Sends and takes until the peer takes no more, or nothing waits. One at a time. Never rejects. */
  async #run(): Promise<void> {
    if (this.#isRunning || this.#isClosed || !this.#link.isOpen) return;
    this.#isRunning = true;
    try {
      for (;;) {
        this.#sendPending();
        const count = this.#placesForMore();
        if (count === 0) break;
        this.#mayHaveMore = false;
        const inbox = this.#inbox;
        const taken = await inbox.take(count);
        if (this.#isClosed) {
          // The locks were taken behind the release.
          this.#giveBack(inbox);
          return;
        }
        this.#pending = [...taken];
        if (taken.length === count) this.#mayHaveMore = true;
      }
      if (!this.#mayHaveMore && this.#pending.length === 0) this.#link.drained();
    } catch (error) {
      if (asHubError(error).code === 'IotHubUnauthorized') {
        // The proof has ended, and the clock that was set has not let its timer notice yet.
        this.#link.detach(this.#host.error(error));
      } else {
        this.#logFailure(error, 'commands could not be taken');
        this.#mayHaveMore = true;
        this.#host.pulse.join(() => this.#run());
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** How many commands to take now. */
  #placesForMore(): number {
    if (!this.#mayHaveMore || this.#pending.length > 0 || !this.#maySend()) return 0;
    const now = this.#host.hub.clock.now();
    for (const [id, lockedUntil] of this.#held) if (lockedUntil <= now) this.#forget(id);
    const free = limits.commandsInflightMax - this.#held.size;
    return Math.max(0, Math.min(free, this.#link.credit, limits.amqpCommandsTakeMax));
  }

  #maySend(): boolean {
    if (!this.#link.isOpen || this.#link.credit === 0) return false;
    if (this.#host.unsentBytes() < limits.readerBytesMax) return true;
    this.#link.session.awaitRoom(this.#link);
    return false;
  }

  #sendPending(): void {
    let sent = 0;
    for (const command of this.#pending) {
      if (!this.#maySend() || !this.#send(command)) break;
      sent++;
    }
    this.#pending = this.#pending.slice(sent);
  }

  /** False = the link takes nothing at the moment. */
  #send(command: Command): boolean {
    const { state } = command;
    if (state.kind !== 'locked') return true;
    const { lockToken, lockedUntil } = state;
    if (lockedUntil <= this.#host.hub.clock.now()) {
      // It waits in the inbox again, or has ended.
      this.#mayHaveMore = true;
      return true;
    }
    let id: number | undefined;
    const delivery = {
      link: this.#link,
      settle: (outcome: PeerOutcome): Promise<Outcome> => {
        if (id !== undefined) this.#held.delete(id);
        return this.#settle(lockToken, settlements[outcome]).finally(() => this.#run());
      },
    };
    id = this.#link.session.sendTagged(delivery, commandForDevice(command, lockToken), guidBytes(lockToken));
    if (id === undefined) return false;
    if (!this.#link.attach.wantsSettled) this.#held.set(id, lockedUntil);
    return true;
  }

  /** The lock is over: the device's word counts for nothing any more. */
  #forget(deliveryId: number): void {
    this.#held.delete(deliveryId);
    this.#link.session.forget(deliveryId);
    this.#mayHaveMore = true;
  }

  /** Never rejects. */
  async #settle(lockToken: string, settlement: Settlement): Promise<Outcome> {
    this.#device.touch();
    try {
      await this.#inbox.settle(lockToken, settlement);
      return { kind: 'accepted' };
    } catch (error) {
      if (!isRefusal(error)) this.#logFailure(error, 'a command was not settled');
      return { kind: 'rejected', error: this.#host.error(error) };
    }
  }

  #giveBack(inbox: Inbox): void {
    this.#pending = [];
    this.#held.clear();
    inbox.close().catch((error: unknown) => this.#logFailure(error, 'commands could not be given back'));
  }

  #logFailure(error: unknown, sentence: string): void {
    this.#host.log.error({ identity: this.#device.name, error }, sentence);
  }
}

/** What the device has brought about, or time. */
function isRefusal(error: unknown): boolean {
  const { code } = asHubError(error);
  return code === 'DeviceMessageLockLost' || code === 'IotHubUnauthorized';
}
