import type { Sheet } from '../identity/guard.ts';
import type { Routes } from './room.ts';

/** How the calls of routes are asked for. */
export const routeCalls: Sheet<Routes> = {
  get: { operation: 'routes.read' },
  replace: { operation: 'routes.write' },
  put: { operation: 'routes.write' },
  remove: { operation: 'routes.write' },
  test: { operation: 'routes.read' },
  states: { operation: 'routes.read' },
};
