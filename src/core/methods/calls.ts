import type { Sheet } from '../identity/guard.ts';
import type { Methods } from './room.ts';

/** How the calls of methods are asked for. */
export const methodCalls: Sheet<Methods> = {
  invoke: { operation: 'methods.invoke', target: (key) => key },
};
