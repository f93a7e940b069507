/** What a client of a live query holds, as the events say; with a word on those that say something impossible. */
import assert from 'node:assert/strict';
import type { LiveEvent } from '../../core/query/room.ts';

export class LiveRows {
  readonly rows = new Map<string, string>();
  resets: string[] = [];
  end: (LiveEvent & { readonly kind: 'end' }) | undefined;
  isReady = false;
  /** Whether an `enter` may be of a row that is there: after a reconnect. */
  #mayRepeat = false;

  /** The client has lost its connection, and comes back. */
  comesBack(): void {
    this.#mayRepeat = true;
  }

  apply(event: LiveEvent): void {
    assert.equal(this.end, undefined, 'nothing comes behind the end');
    switch (event.kind) {
      case 'reset':
        this.rows.clear();
        this.resets.push(event.why);
        this.isReady = false;
        this.#mayRepeat = false;
        return;
      case 'ready':
        assert.equal(event.count, this.rows.size, 'it is told how many rows there are');
        this.isReady = true;
        return;
      case 'end':
        this.end = event;
        return;
    }
    const name = `${event.place.deviceId}/${event.place.moduleId}`;
    const before = this.rows.get(name);
    if (!this.#mayRepeat) {
      assert.equal(before !== undefined, event.kind !== 'enter', `${event.kind} of ${name}, which is ${before}`);
      if (event.kind === 'change') assert.notEqual(event.text, before, `${name} has not changed`);
    }
    if (event.kind === 'leave') this.rows.delete(name);
    else this.rows.set(name, event.text);
  }

  /** The rows in the order of their names, as a query answers them. */
  sorted(): readonly unknown[] {
    const names = [...this.rows.keys()].sort((a, b) => (a < b ? -1 : 1));
    return names.map((name) => JSON.parse(this.rows.get(name) ?? ''));
  }
}
