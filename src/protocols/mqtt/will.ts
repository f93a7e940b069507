import type { DisconnectReason } from '../../core/presence/types.ts';

/** The device said good-bye, or its identity may not send any more. */
const SILENT_REASONS: ReadonlySet<DisconnectReason> = new Set([
  'by-client',
  'disabled',
  'deleted',
  'authority-removed',
  'credentials-changed',
]);

/** Whether a connection that ends for this reason leaves its will [MQTT-3.1.2-8]. */
export function leavesWill(reason: DisconnectReason): boolean {
  return !SILENT_REASONS.has(reason);
}
