/** Who hears of changes of twins: what stores call when one is durable (`TwinStore.watchChanges`). */
import type { IdentityKey } from '../identity/types.ts';
import type { Report, ReportOutcome, TwinPart } from './ports.ts';
import type { TwinChange } from './types.ts';

type Listener = (key: IdentityKey, part: TwinPart) => void;

export class TwinChanges {
  readonly #listeners = new Set<Listener>();

  watch(listener: Listener): () => void {
    // One of its own, so that the same function may watch twice.
    const own: Listener = (key, part) => listener(key, part);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  tell(key: IdentityKey, part: TwinPart): void {
    for (const listener of this.#listeners) listener(key, part);
  }

  /** A back end's change has been carried out. */
  changed(key: IdentityKey, { tags, desired }: TwinChange): void {
    if (tags !== undefined) this.tell(key, 'tags');
    if (desired !== undefined) this.tell(key, 'desired');
  }

  /** The most frequent of all changes: nothing is looked at where no listener is there. */
  reported(reports: readonly Report[], outcomes: readonly ReportOutcome[]): void {
    if (this.#listeners.size === 0) return;
    for (const [at, { kind }] of outcomes.entries()) if (kind === 'done') this.tell(reports[at].key, 'reported');
  }
}
