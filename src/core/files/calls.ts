import type { Sheet } from '../identity/guard.ts';
import type { Files } from './files.ts';

/** How the calls of files are asked for. */
export const fileCalls: Sheet<Files> = {
  beginUpload: { operation: 'files.upload', target: (key) => key },
  endUpload: { operation: 'files.upload', target: (key) => key },
  takeNotification: { operation: 'fileNotifications.receive' },
  settleNotification: { operation: 'fileNotifications.settle' },
  // Says that something may have changed, and not what.
  watchNotifications: (room) => room.watchNotifications,
  // The hub's own: no client reaches it.
  totals: (room) => room.totals,
};
