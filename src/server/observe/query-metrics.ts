/** Live queries on the metrics page. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { LiveTotals } from '../../core/query/live-queries.ts';

export function measureLiveQueries(registry: Registry, totals: () => LiveTotals): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: (totals: LiveTotals) => number): void => {
    new Gauge({
      ...{ name, help, registers },
      collect() {
        this.set(value(totals()));
      },
    });
  };
  const counter = (name: string, help: string, value: (totals: LiveTotals) => number): void => {
    new Counter({
      ...{ name, help, registers },
      collect() {
        this.reset();
        this.inc(value(totals()));
      },
    });
  };
  gauge('mooring_live_queries', 'Clients that follow a query', ({ followers }) => followers);
  gauge('mooring_live_query_rows', 'Rows that they hold', ({ rows }) => rows);
  counter('mooring_live_query_events_total', 'What they were told', ({ told }) => told);
  counter(
    'mooring_live_queries_behind_total',
    'Times that one read too slowly and got its rows anew',
    (each) => each.behind,
  );
  counter(
    'mooring_live_query_looks_total',
    'Times that all rows were looked at again, because changes of other nodes may have been missed',
    ({ looks }) => looks,
  );
}
