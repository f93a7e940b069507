import type { Sheet } from '../identity/guard.ts';
import type { Configurations } from './room.ts';

/** How the calls of configurations are asked for. */
export const configurationCalls: Sheet<Configurations> = {
  get: { operation: 'configurations.read' },
  list: { operation: 'configurations.read' },
  put: { operation: 'configurations.write' },
  delete: { operation: 'configurations.write' },
  test: { operation: 'configurations.read' },
  apply: { operation: 'configurations.apply', target: (deviceId) => ({ deviceId }) },
};
