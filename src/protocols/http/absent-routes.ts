import type { AbsentRoute } from './route.ts';

/**
 * Addresses of the emulated service whose rooms this hub does not have (service reference 2.1 and 8, device reference
 * 4): answered 501000 with the name of the operation, so that a caller learns "not offered here" and not "wrong address".
 */
export const absentRoutes: readonly AbsentRoute[] = [
  { url: '/messages/serviceBound/filenotifications' },
  { url: '/messages/serviceBound/filenotifications/*' },
];
