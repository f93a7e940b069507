/**
 * Commands on their way to one device over one wire. They are taken from the device's inbox a few at a time, each under a
 * lock, written while the device takes them, and settled by its word.
 *
 * Invariants: nothing is written without space, nor under a lock that is over; what is taken, written and not yet settled
 * is never more than `commandsInflightMax`; `close` gives back all that is held. A command that cannot be settled (lock
 * over, store failed, connection lost) is delivered again: at least once, in order of first delivery.
 */
import type { Cancel } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Settlement } from '../commands/lifecycle.ts';
import type { Inbox } from '../commands/room.ts';
import type { Command } from '../commands/types.ts';
import { asHubError } from '../errors.ts';
import { identityName } from '../identity/permissions.ts';
import type { DevicePrincipal } from '../identity/types.ts';
import type { CommandWire, DeviceHub } from './types.ts';

/** Whose commands they are: by its newest proof. */
interface Recipient {
  readonly principal: DevicePrincipal;
  /** Whether any were taken over its connection, on whichever wire. */
  hasTakenCommands: boolean;
}

export class CommandDelivery {
  /** Names this delivery to the command queue. */
  readonly holder: string;
  /** Whether commands have been taken under that name, or may have been. */
  hasTaken = false;
  readonly #hub: DeviceHub;
  readonly #recipient: Recipient;
  readonly #wire: CommandWire;
  #inbox: Inbox;
  /** Whose proof has opened the inbox. */
  #openedBy: DevicePrincipal;
  /** Taken and not yet written, in order. */
  #pending: Command[] = [];
  /** When the lock of a command that was written ends, UTC milliseconds, by lock token. */
  readonly #held = new Map<string, number>();
  /** Settlements that the store has not answered. */
  #settling = 0;
  /** Commands may be locked for this delivery that it has not been told of. */
  #isUnsure = false;
  #isRunning = false;
  #mayHaveMore = true;
  #isClosed = false;
  /** Set while the store is not asked, because it has refused. */
  #cancelRetry: Cancel | undefined;

  /** @throws HubError IotHubUnauthorizedAccess */
  constructor(hub: DeviceHub, recipient: Recipient, wire: CommandWire, holder: string) {
    this.#hub = hub;
    this.#recipient = recipient;
    this.#wire = wire;
    this.holder = holder;
    this.#openedBy = recipient.principal;
    this.#inbox = this.#open();
  }

  /** Something may wait in the inbox. */
  wake(): void {
    this.#mayHaveMore = true;
    this.#run();
  }

  /** The device takes commands again. */
  proceed(): void {
    this.#run();
  }

  /**
   * The device's outcome for a command. What cannot be carried out is logged, if it is a fault of the hub.
   * @throws HubError DeviceMessageLockLost, ServiceUnavailable
   */
  async settle(lockToken: string, settlement: Settlement): Promise<void> {
    this.#held.delete(lockToken);
    this.#settling++;
    try {
      await this.#newestInbox().settle(lockToken, settlement);
    } catch (error) {
      if (!isRefusal(error)) this.#logFailure(error, 'a command was not settled');
      throw error;
    } finally {
      this.#settling--;
      this.#run();
    }
  }

  /** Nothing is written and unsettled, or waits to be written. */
  get holdsNothing(): boolean {
    return this.#pending.length + this.#held.size + this.#settling === 0;
  }

  /** Ends it without telling the store. Only where it `holdsNothing`. */
  discard(): void {
    this.#isClosed = true;
    this.#cancelRetry?.();
  }

  /** Gives back what is held, at once, so that the device's next connection gets it. Who has taken nothing has nothing to give back. */
  close(): void {
    this.discard();
    this.#pending = [];
    this.#held.clear();
    if (this.hasTaken) this.#giveBack();
  }

  /** Writes and takes until the device takes no more, the bound is reached, or nothing waits. One at a time. */
  #run(): void {
    if (this.#isRunning || this.#isClosed) return;
    this.#isRunning = true;
    void this.#deliver();
  }

  /** Never rejects. */
  async #deliver(): Promise<void> {
    try {
      for (;;) {
        this.#writePending();
        const count = this.#placesForMore();
        if (count === 0) break;
        this.#mayHaveMore = false;
        const taken = await this.#take(count);
        if (taken.length > 0) this.hasTaken = true;
        if (this.#isClosed) {
          // The locks were taken behind the release.
          if (taken.length > 0) this.#giveBack();
          return;
        }
        this.#pending = [...taken];
        if (taken.length === count) this.#mayHaveMore = true;
      }
    } catch (error) {
      if (!this.#isClosed && !this.#wire.refused(error)) this.#retryLater(error);
    } finally {
      this.#isRunning = false;
    }
    if (this.#isClosed) return;
    const nothingWaits = !this.#mayHaveMore && this.#pending.length === 0 && this.#cancelRetry === undefined;
    this.#wire.rests(nothingWaits);
  }

  async #take(count: number): Promise<readonly Command[]> {
    const others = !this.#recipient.hasTakenCommands;
    const putsBack = others || this.#isUnsure ? { others, but: [...this.#held.keys()] } : undefined;
    const taken = await this.#newestInbox().take(count, putsBack && { putsBack });
    this.#recipient.hasTakenCommands = true;
    this.#isUnsure = false;
    return taken;
  }

  #retryLater(error: unknown): void {
    // Else too many of the device's calls wait: it has brought that about, and nothing was asked.
    if (asHubError(error).code !== 'ThrottlingException') {
      this.#logFailure(error, 'commands could not be taken');
      this.hasTaken = true;
      this.#isUnsure = true;
    }
    this.#cancelRetry?.();
    this.#cancelRetry = this.#hub.clock.after(limits.commandsRetryMs, () => {
      this.#cancelRetry = undefined;
      this.wake();
    });
  }

  #writePending(): void {
    let written = 0;
    for (const command of this.#pending) {
      if (this.#wire.space() === 0 || !this.#write(command)) break;
      written++;
    }
    this.#pending = this.#pending.slice(written);
  }

  /** False = the device takes nothing at the moment. */
  #write(command: Command): boolean {
    const { state } = command;
    if (state.kind !== 'locked') return true;
    const { lockToken, lockedUntil } = state;
    if (lockedUntil <= this.#hub.clock.now()) {
      // It waits in the inbox again, or has ended.
      this.#mayHaveMore = true;
      return true;
    }
    this.#held.set(lockToken, lockedUntil);
    if (this.#wire.write(command, lockToken)) return true;
    this.#held.delete(lockToken);
    return false;
  }

  /** How many commands to take now. */
  #placesForMore(): number {
    if (this.#isClosed || !this.#mayHaveMore || this.#pending.length > 0) return 0;
    const space = this.#wire.space();
    if (space === 0) return 0;
    this.#dropEndedLocks();
    const free = limits.commandsInflightMax - this.#held.size - this.#settling;
    return Math.max(0, Math.min(free, space, limits.commandsTakeMax));
  }

  /** A lock that is over holds nothing: its command waits in the inbox again, or has ended. */
  #dropEndedLocks(): void {
    const now = this.#hub.clock.now();
    for (const [lockToken, lockedUntil] of this.#held) {
      if (lockedUntil > now) continue;
      this.#held.delete(lockToken);
      this.#wire.forget(lockToken);
    }
  }

  #newestInbox(): Inbox {
    if (this.#openedBy !== this.#recipient.principal) {
      this.#openedBy = this.#recipient.principal;
      this.#inbox = this.#open();
    }
    return this.#inbox;
  }

  #open(): Inbox {
    return this.#hub.commands.openInbox(this.#openedBy, this.#openedBy.key, this.holder);
  }

  #giveBack(): void {
    this.#inbox.close().catch((error: unknown) => this.#logFailure(error, 'commands could not be given back'));
  }

  #logFailure(error: unknown, sentence: string): void {
    this.#hub.log.error({ identity: identityName(this.#openedBy.key), error }, sentence);
  }
}

/** What the device has brought about, or time. */
function isRefusal(error: unknown): boolean {
  const { code } = asHubError(error);
  return code === 'DeviceMessageLockLost' || code === 'IotHubUnauthorized';
}
