/** Where a back end sends a command to, and what the device sees as its `to` (service reference 4.1). */
import type { IdentityKey } from '../../core/identity/types.ts';

/**
 * The identity of `/devices/{d}[/modules/{m}]/messages/devicebound`: fixed words in any case, with or without the slash at
 * the start, also as a full URL; ids percent-encoded or as they are. Undefined = not such an address.
 */
export function readCommandAddress(text: string): IdentityKey | undefined {
  const path = text.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/^\//, '');
  const match = /^devices\/([^/]+)(?:\/modules\/([^/]+))?\/messages\/devicebound\/?$/i.exec(path);
  if (match === null) return undefined;
  const [, device, module] = match;
  return module === undefined
    ? { deviceId: decoded(device) }
    : { deviceId: decoded(device), moduleId: decoded(module) };
}

/** The same address as the hub writes it, ids as they are. */
export function commandAddress({ deviceId, moduleId }: IdentityKey): string {
  const module = moduleId === undefined ? '' : `/modules/${moduleId}`;
  return `/devices/${deviceId}${module}/messages/devicebound`;
}

/** An id may hold `%` itself, so a text that is not encoded counts as it stands. */
function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
