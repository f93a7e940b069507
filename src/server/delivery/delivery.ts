/** Delivery of the log to every endpoint of the routes in force, each for itself: one that is slow or dead holds up no other. */
import type { PlacedEndpoint, RouteSet } from '../../core/routes/types.ts';
import { type EndpointFacts, EndpointRun } from './endpoint-run.ts';
import type { DeliveryParts } from './parts.ts';

export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #runs = new Map<string, EndpointRun>();
  #changing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /** From now on as this set says. Endpoints that it does not change go on. */
  follow({ endpoints }: Pick<RouteSet, 'endpoints'>): void {
    this.#changing = this.#changing.then(() => this.#follow(endpoints));
  }

  facts(): readonly EndpointFacts[] {
    return [...this.#runs.values()].map((run) => run.facts()).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#changing;
    await Promise.all([...this.#runs.values()].map((run) => run.close()));
    this.#runs.clear();
  }

  async #follow(endpoints: readonly PlacedEndpoint[]): Promise<void> {
    if (this.#isClosed) return;
    const wanted = new Map(endpoints.map((placed) => [keyOf(placed), placed]));
    const gone = [...this.#runs].filter(([key]) => !wanted.has(key));
    for (const [key] of gone) this.#runs.delete(key);
    await Promise.all(gone.map(([, run]) => run.close()));
    for (const [key, placed] of wanted) {
      if (!this.#runs.has(key) && !this.#isClosed) this.#runs.set(key, new EndpointRun(placed, this.#parts));
    }
  }
}

/** Settings that change make another connection; the cursor stays where it is. */
const keyOf = ({ endpoint, since, slot }: PlacedEndpoint): string => JSON.stringify([since, slot, endpoint]);
