import type { Clock } from '../../base/clock.ts';
import type { Inbox } from '../../core/commands/room.ts';
import type { Command } from '../../core/commands/types.ts';

interface Holding {
  inbox: Inbox;
  /** Takes that the store has not answered: what they lock is not known yet. */
  takes: number;
  /** When each lock ends, UTC milliseconds, by lock token. */
  readonly locks: Map<string, number>;
}

/**
 * What connections of a listener thread have taken of their commands, by the connection's name, so that it can be put back
 * when the thread is lost. A connection that holds nothing is not kept: it drops its commands without telling the store, and
 * there are as many of them as devices that ever got one.
 */
export class Holdings {
  readonly #clock: Pick<Clock, 'now'>;
  /** Those that have taken last are last. */
  readonly #held = new Map<string, Holding>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#held.size;
  }

  async take(holder: string, inbox: Inbox, ...args: Parameters<Inbox['take']>): Promise<readonly Command[]> {
    this.#forgetEnded();
    const holding = this.#held.get(holder) ?? { inbox, takes: 0, locks: new Map() };
    this.#held.delete(holder);
    this.#held.set(holder, holding);
    holding.inbox = inbox;
    holding.takes++;
    try {
      const taken = await inbox.take(...args);
      for (const { state } of taken) if (state.kind === 'locked') holding.locks.set(state.lockToken, state.lockedUntil);
      return taken;
    } finally {
      holding.takes--;
      this.#forgetEmpty(holder, holding);
    }
  }

  /** The inbox by which the holder has taken last, if it holds anything. */
  inbox(holder: string): Inbox | undefined {
    return this.#held.get(holder)?.inbox;
  }

  settled(holder: string, lockToken: string): void {
    const holding = this.#held.get(holder);
    if (holding === undefined) return;
    holding.locks.delete(lockToken);
    this.#forgetEmpty(holder, holding);
  }

  /** The inbox of one that gives back what it holds, if that is anything: it is kept no more. */
  end(holder: string): Inbox | undefined {
    const holding = this.#held.get(holder);
    this.#held.delete(holder);
    return holding?.inbox;
  }

  /** All inboxes of which something may be held; none is kept any more. */
  endAll(): readonly Inbox[] {
    const inboxes = [...this.#held.values()].map(({ inbox }) => inbox);
    this.#held.clear();
    return inboxes;
  }

  #forgetEmpty(holder: string, holding: Holding): void {
    if (holding.takes > 0 || holding.locks.size > 0) return;
    if (this.#held.get(holder) === holding) this.#held.delete(holder);
  }

  /** A lock that is over holds nothing. Looks from those on that have taken longest ago, up to one that still holds. */
  #forgetEnded(): void {
    const now = this.#clock.now();
    for (const [holder, holding] of this.#held) {
      for (const [token, until] of holding.locks) if (until <= now) holding.locks.delete(token);
      if (holding.takes > 0 || holding.locks.size > 0) return;
      this.#held.delete(holder);
    }
  }
}
