/** Delivery of the log to every endpoint of the routes in force, each for itself: one that is slow or dead holds up no other. */
import type { PlacedEndpoint, RouteSet } from '../../core/routes/types.ts';
import { type EndpointFacts, EndpointRun } from './endpoint-run.ts';
import type { DeliveryParts } from './parts.ts';

export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #runs = new Map<string, EndpointRun>();
  /** Those that are about to end, by the endpoint's name. */
  readonly #ends = new Map<string, Promise<void>>();
  #wanted: ReadonlyMap<string, PlacedEndpoint> = new Map();
  #isClosed = false;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /** From now on as this set says. Endpoints that it does not change go on. */
  follow({ endpoints }: Pick<RouteSet, 'endpoints'>): void {
    if (this.#isClosed) return;
    const wanted = new Map(endpoints.map((placed) => [keyOf(placed), placed]));
    this.#wanted = wanted;
    for (const [key, run] of [...this.#runs]) {
      if (wanted.has(key)) continue;
      this.#runs.delete(key);
      this.#end(run);
    }
    for (const [key, placed] of wanted) this.#start(key, placed);
  }

  facts(): readonly EndpointFacts[] {
    return [...this.#runs.values()].map((run) => run.facts()).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const run of this.#runs.values()) this.#end(run);
    this.#runs.clear();
    await Promise.all(this.#ends.values());
  }

  /** An endpoint with other settings begins when it has let go of its places; meanwhile others are not held up. */
  #start(key: string, placed: PlacedEndpoint): void {
    if (this.#isClosed || this.#runs.has(key) || this.#wanted.get(key) !== placed) return;
    const end = this.#ends.get(nameOf(placed));
    if (end === undefined) this.#runs.set(key, new EndpointRun(placed, this.#parts));
    else void end.then(() => this.#start(key, placed));
  }

  #end(run: EndpointRun): void {
    const name = nameOf(run.placed);
    const closed = run.close().catch((error) => {
      this.#parts.hubLog.warn({ endpoint: run.placed.endpoint.name, error }, 'an endpoint did not close well');
    });
    const ended = Promise.all([this.#ends.get(name), closed]).then(() => {
      if (this.#ends.get(name) === ended) this.#ends.delete(name);
    });
    this.#ends.set(name, ended);
  }
}

/** Settings that change make another connection; the cursor stays where it is. */
const keyOf = ({ endpoint, since, slot }: PlacedEndpoint): string => JSON.stringify([since, slot, endpoint]);
const nameOf = ({ endpoint }: PlacedEndpoint): string => endpoint.name.toLowerCase();
