import type { HostNames } from './host-names.ts';
import { percentDecoded } from './sas-token.ts';
import type { IdentityKey } from './types.ts';

/**
 * What a token is for, or is shown for: `host`, `host/devices/{d}`, `host/devices/{d}/modules/{m}`, `sb://host/{hub}/…`,
 * with or without a scheme, a port and a slash at the end (service reference 1.3).
 */
export interface Resource {
  readonly host: string;
  /** Segments behind the host; the fixed words `devices` and `modules` in lower case. */
  readonly path: readonly string[];
}

const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//;

/** Splits a resource text, which is not decoded here: the caller knows how often it was encoded. */
export function parseResource(text: string): Resource {
  const [host, ...path] = text.replace(SCHEME, '').split('/');
  while (path.length > 0 && path[path.length - 1] === '') path.pop();
  for (const [at, word] of [
    [0, 'devices'],
    [2, 'modules'],
  ] as const) {
    if (path[at]?.toLowerCase() === word && (at === 0 || path[0] === 'devices')) path[at] = word;
  }
  return { host, path };
}

/** The identity that `path` names exactly, or undefined. */
export function identityOf(path: readonly string[]): IdentityKey | undefined {
  const [devices, deviceId, modules, moduleId] = path;
  if (devices !== 'devices' || !deviceId) return undefined;
  if (path.length === 2) return { deviceId };
  return path.length === 4 && modules === 'modules' && moduleId ? { deviceId, moduleId } : undefined;
}

/** Whether a text addresses the event endpoint: its tokens are signed with another form of the key. */
export function isEventResource(text: string): boolean {
  return /^sb(:\/\/|%3A%2F%2F)/i.test(text);
}

/** Host of a text that may be encoded; the accepted set decides. */
export function hasAcceptedHost(text: string, hostNames: HostNames): boolean {
  return hostNames.accepts(parseResource(percentDecoded(text) ?? text).host);
}
