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

class Entry implements LeftNotice {
  readonly id = newNoticeId();
  readonly body: string;
  readonly forget: () => void;
  isLeft = false;
  isTaken = false;
  #listener: () => void = () => {};

  constructor(body: string, forget: (entry: Entry) => void) {
    this.body = body;
    this.forget = () => forget(this);
  }

  whenTaken(listener: () => void): void {
    this.#listener = listener;
    if (this.isTaken) listener();
  }

  taken(): void {
    this.isTaken = true;
    this.#listener();
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
  #isGoing = false;
  #cancelPause: Cancel = () => {};

  constructor(store: Pick<NodeStore, 'notify' | 'noticesLeft'>, node: string, clock: Clock) {
    this.#store = store;
    this.#node = node;
    this.#clock = clock;
  }

  /** @param notice Too long a one becomes "begin anew" */
  leave(notice: NodeNotice): LeftNotice {
    const text = JSON.stringify(notice);
    const body = text.length > limits.nodeNoticeBytesMax ? JSON.stringify({ kind: 'anew' } satisfies NodeNotice) : text;
    const entry = new Entry(body, (forgotten) => this.#waiting.delete(forgotten));
    this.#waiting.add(entry);
    if (!this.#isGoing) {
      this.#isGoing = true;
      this.#later(0);
    }
    return entry;
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
      if (!(await this.#store.notify(this.#node, some))) return;
      for (const entry of some) entry.isLeft = true;
    }
  }

  /** As many as one statement takes. */
  #fresh(): readonly Entry[] {
    const some: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#waiting) {
      if (entry.isLeft) continue;
      bytes += entry.body.length;
      if (some.length > 0 && (bytes > limits.nodeNoticeBytesMax || some.length >= limits.nodeNoticesMax)) break;
      some.push(entry);
    }
    return some;
  }
}
