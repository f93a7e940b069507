import { Counter, type Registry } from 'prom-client';
import type { Outcome } from '../../stores/objects/remote/store-client.ts';

/** Requests to a store elsewhere, counted from before there is a registry. */
export interface StoreTraffic {
  observe(outcome: Outcome, seconds: number): void;
  measure(registry: Registry): void;
}

/** @param prefix of the metrics @param store as their help calls it */
export function storeTraffic(prefix: string, store: string): StoreTraffic {
  const counts: Record<Outcome, number> = { ok: 0, refused: 0, failed: 0 };
  let secondsInAll = 0;
  return {
    observe(outcome, seconds) {
      counts[outcome] += 1;
      secondsInAll += seconds;
    },
    measure(registry) {
      const registers = [registry];
      new Counter({
        name: `${prefix}_requests_total`,
        help: `Requests to ${store}, by what became of them; each try counts`,
        labelNames: ['outcome'],
        registers,
        collect() {
          this.reset();
          for (const [outcome, count] of Object.entries(counts)) this.inc({ outcome }, count);
        },
      });
      new Counter({
        name: `${prefix}_seconds_total`,
        help: `Seconds until ${store} had answered, of all requests together`,
        registers,
        collect() {
          this.reset();
          this.inc(secondsInAll);
        },
      });
    },
  };
}
