import type { Sheet } from '../identity/guard.ts';
import type { Twins } from './room.ts';

/** How the calls of twins are asked for. */
export const twinCalls: Sheet<Twins> = {
  get: { operation: 'twins.read', target: (key) => key },
  change: { operation: 'twins.write', target: (key) => key },
  readOwn: { operation: 'twins.readOwn', target: (key) => key },
  report: { operation: 'twins.report', target: (key) => key },
  nameModel: { operation: 'twins.report', target: (key) => key },
  ownVersion: { operation: 'twins.readOwn', target: (key) => key },
  ownChanges: { operation: 'twins.readOwn', target: (key) => key },
};
