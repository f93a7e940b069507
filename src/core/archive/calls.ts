import type { Sheet } from '../identity/guard.ts';
import type { Archives } from './room.ts';

/** How the calls of archives are asked for. */
export const archiveCalls: Sheet<Archives> = {
  list: { operation: 'archives.read' },
  files: { operation: 'archives.read' },
  verify: { operation: 'archives.verify' },
};
