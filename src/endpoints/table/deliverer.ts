/** Batches of events to a table: what the database cannot hold is found by halving, and written as bytes. */
import type { Delivered } from '../../core/routes/ports.ts';
import type { EventView } from '../event-view.ts';
import { type EventTable, RowsFailed } from './rows.ts';

/** Never rejects. @param events in the order of the log */
export async function deliverRows(table: EventTable, events: readonly EventView[]): Promise<Delivered> {
  let taken = 0;
  let count = events.length;
  while (taken < events.length) {
    const outcome = await attempt(table, events.slice(taken, taken + count));
    if (outcome === undefined) {
      taken += count;
      count = events.length - taken;
    } else if (outcome.kind === 'refused' && count > 1) {
      count = Math.ceil(count / 2);
    } else {
      return taken > 0 ? { kind: 'done', count: taken } : outcome;
    }
  }
  return { kind: 'done' };
}

/** @returns undefined if all are written */
async function attempt(table: EventTable, events: readonly EventView[]): Promise<Delivered | undefined> {
  for (const asBytes of events.length === 1 ? [false, true] : [false]) {
    try {
      await table.write(events, asBytes);
      return undefined;
    } catch (error) {
      const reason = `the table has not taken it: ${(error as Error).message}`;
      if (!(error instanceof RowsFailed) || !error.isOfData) return { kind: 'retry', reason };
      if (events.length > 1 || asBytes) return { kind: 'refused', reason, count: 1 };
    }
  }
  return undefined;
}
