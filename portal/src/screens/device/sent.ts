/** What was sent to a device from this tab, so that it can be sent again: kept until the tab is closed, because it may be private. */

export interface SentMethod {
  readonly name: string;
  readonly payload: string;
}

const KEPT_MAX = 8;
const place = (deviceId: string): string => `mooring.methods.${deviceId}`;

export function methodsSent(deviceId: string): readonly SentMethod[] {
  try {
    return JSON.parse(sessionStorage.getItem(place(deviceId)) ?? '[]') as readonly SentMethod[];
  } catch {
    return [];
  }
}

/** The newest first, each once. */
export function noteMethod(deviceId: string, sent: SentMethod): readonly SentMethod[] {
  const others = methodsSent(deviceId).filter(({ name, payload }) => name !== sent.name || payload !== sent.payload);
  const kept = [sent, ...others].slice(0, KEPT_MAX);
  try {
    sessionStorage.setItem(place(deviceId), JSON.stringify(kept));
  } catch {
    // It is a convenience.
  }
  return kept;
}
