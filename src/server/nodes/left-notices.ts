import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { NodeStore } from '../../core/nodes/ports.ts';
import { type NodeNotice, newNoticeId } from './words.ts';

/** What is left in the database for a node, and who waits until that has taken it. */
export interface LeftNotice {
  /** The node has taken it, or has no lease any more. */
  readonly isTaken: boolean;
  /** Called when it is, or now if it is. In the place of the listener before. */
  whenTaken(listener: () => void): void;
  /** Nobody waits for it any more. */
  forget(): void;
}

/** What one waiter has of an entry. */
class Waiter implements LeftNotice {
  readonly #entry: Entry;
  readonly forget: () => void;
  listener: () => void = () => {};

  constructor(entry: Entry, forget: (waiter: Waiter) => void) {
    this.#entry = entry;
    this.forget = () => forget(this);
  }

  get isTaken(): boolean {
    return this.#entry.isTaken;
  }

  whenTaken(listener: () => void): void {
    this.listener = listener;
    if (this.isTaken) listener();
  }
}

class Entry {
  readonly id = newNoticeId();
  readonly waiters = new Set<Waiter>();
  readonly #make: () => NodeNotice;
  #body: string | undefined;
  isLeft = false;
  isTaken = false;

  constructor(make: () => NodeNotice) {
    this.#make = make;
  }

  /** Whether it says already what it will: nothing that is told from now on is in it. */
  get isMade(): boolean {
    return this.#body !== undefined;
  }

  /** The same each time: it may be there though the database's answer was lost. Too long a one becomes "begin anew". */
  body(): string {
    if (this.#body === undefined) {
      const text = JSON.stringify(this.#make());
      const isTooLong = text.length > limits.nodeNoticeBytesMax;
      this.#body = isTooLong ? JSON.stringify({ kind: 'anew' } satisfies NodeNotice) : text;
    }
    return this.#body;
  }

  taken(): void {
    this.isTaken = true;
    for (const { listener } of [...this.waiters]) listener();
  }
}

/**
 * Notices for one node that cannot be reached. All of them are left, and looked after, by one statement each way at a time: thousands of
 * devices may come from a node that has died before its lease is over, and what renews the lease of this node uses the same connections.
 */
export class LeftNotices {
  readonly #store: Pick<NodeStore, 'notify' | 'noticesLeft'>;
  readonly #node: string;
  readonly #clock: Clock;
  readonly #waiting = new Set<Entry>();
  #shared: Entry | undefined;
  #isGoing = false;
  #cancelPause: Cancel = () => {};

  constructor(store: Pick<NodeStore, 'notify' | 'noticesLeft'>, node: string, clock: Clock) {
    this.#store = store;
    this.#node = node;
    this.#clock = clock;
  }

  leave(notice: NodeNotice): LeftNotice {
    return this.#join(this.#add(() => notice));
  }

  /**
   * One notice for all who wait for the same until it is made, which is once in `nodeNoticeLookMs`: thousands may wait, and each notice has
   * all that the node was not told yet.
   * @param make Called when the notice is left
   */
  leaveTogether(make: () => NodeNotice): LeftNotice {
    const shared = this.#shared;
    const isOpen = shared !== undefined && this.#waiting.has(shared) && !shared.isMade;
    this.#shared = isOpen ? shared : this.#add(make);
    return this.#join(this.#shared);
  }

  #add(make: () => NodeNotice): Entry {
    const entry = new Entry(make);
    this.#waiting.add(entry);
    if (!this.#isGoing) {
      this.#isGoing = true;
      this.#later(0);
    }
    return entry;
  }

  #join(entry: Entry): LeftNotice {
    const waiter = new Waiter(entry, () => {
      entry.waiters.delete(waiter);
      if (entry.waiters.size === 0) this.#waiting.delete(entry);
    });
    entry.waiters.add(waiter);
    return waiter;
  }

  /** The node's lease is over. */
  close(): void {
    this.#cancelPause();
    this.#waiting.clear();
  }

  #later(ms: number): void {
    this.#cancelPause = this.#clock.after(ms, () => {
      this.#look()
        // The database does not answer: then that node cannot renew its lease either.
        .catch(() => {})
        .finally(() => {
          this.#isGoing = this.#waiting.size > 0;
          if (this.#isGoing) this.#later(limits.nodeNoticeLookMs);
        });
    });
  }

  async #look(): Promise<void> {
    const left = [...this.#waiting].filter(({ isLeft }) => isLeft);
    if (left.length > 0) {
      const still = new Set(await this.#store.noticesLeft(left.map(({ id }) => id)));
      for (const entry of left) {
        if (still.has(entry.id)) continue;
        this.#waiting.delete(entry);
        entry.taken();
      }
    }
    for (let some = this.#fresh(); some.length > 0; some = this.#fresh()) {
      // It has no lease any more, as is found out by others.
      if (
        !(await this.#store.notify(
          this.#node,
          some.map((entry) => ({ id: entry.id, body: entry.body() })),
        ))
      )
        return;
      for (const entry of some) entry.isLeft = true;
    }
  }

  /** As many as one statement takes. */
  #fresh(): readonly Entry[] {
    const some: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#waiting) {
      if (entry.isLeft) continue;
      bytes += entry.body().length;
      if (some.length > 0 && (bytes > limits.nodeNoticeBytesMax || some.length >= limits.nodeNoticesMax)) break;
      some.push(entry);
    }
    return some;
  }
}
