import type { Sheet } from '../identity/guard.ts';
import type { Queries } from './room.ts';

/** How queries are asked for. */
export const queryCalls: Sheet<Queries> = {
  page: { operation: 'fleet.query' },
  explain: { operation: 'fleet.query' },
  live: { operation: 'fleet.query' },
};
