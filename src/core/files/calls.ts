import type { Sheet } from '../identity/guard.ts';
import type { Downloads, Files, Rollouts } from './room.ts';

/** How the calls of files are asked for. */
export const fileCalls: Sheet<Files> = {
  beginUpload: { operation: 'files.upload', target: (key) => key },
  endUpload: { operation: 'files.upload', target: (key) => key },
  takeNotification: { operation: 'fileNotifications.receive' },
  settleNotification: { operation: 'fileNotifications.settle' },
  // Says that something may have changed, and not what.
  watchNotifications: (room) => room.watchNotifications,
};

/** How the calls of downloads are asked for. A file of the hub's own part concerns no identity. */
export const downloadCalls: Sheet<Downloads> = {
  put: { operation: 'files.write', target: (owner) => (owner === 'hub' ? undefined : owner) },
  read: { operation: 'files.read', target: (owner) => (owner === 'hub' ? undefined : owner) },
  list: { operation: 'files.read', target: (owner) => (owner === 'hub' ? undefined : owner) },
  remove: { operation: 'files.write', target: (owner) => (owner === 'hub' ? undefined : owner) },
  grant: { operation: 'files.grant', target: (_name, keys) => keys },
  grants: { operation: 'files.read', target: (of) => ('key' in of ? of.key : undefined) },
  revoke: { operation: 'files.grant' },
  fetch: { operation: 'files.fetch', target: (key) => key },
};

/** How the calls of rollouts are asked for: whom one concerns is asked of each of its devices. */
export const rolloutCalls: Sheet<Rollouts> = {
  start: { operation: 'files.grant', target: (_name, keys) => keys },
  stop: { operation: 'files.grant' },
  get: { operation: 'files.read' },
  list: { operation: 'files.read' },
  targets: { operation: 'files.read' },
};
