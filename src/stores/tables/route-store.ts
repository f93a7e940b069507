import type { CursorStore, RouteStore } from '../../core/routes/ports.ts';
import type { TableCaller } from './caller.ts';

export const tableRoutes = (tables: TableCaller): RouteStore => ({
  load: () => tables.call('routes.load'),
  number: () => tables.call('routes.number'),
  replace: (set, begins) => tables.call('routes.replace', set, begins),
});

export const tableCursors = (tables: TableCaller): CursorStore => ({
  claim: (of, terms) => tables.call('cursors.claim', of, terms),
  save: (hold, step) => tables.call('cursors.save', hold, step),
  release: (hold) => tables.call('cursors.release', hold),
  rows: (place, after, limit) => tables.call('cursors.rows', place, after, limit),
  list: () => tables.call('cursors.list'),
});
