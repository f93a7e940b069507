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

/**
 * First segments of the hub's own AMQP addresses; a hub, and so an event hub, may not be called so. Words of REST alone
 * (`twins`, `jobs`, `files`, `statistics` …) are not among them: an event hub may have such a name, and its clients must get the answers
 * of an event hub. A REST token for such a path is good in either form of the key then, which proves the same secret.
 */
const AMQP_WORDS: ReadonlySet<string> = new Set(['devices', 'messages', '$cbs']);

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

/**
 * Whether a text may address the event endpoint, whose tokens are signed with another form of the key. Its clients write
 * `sb:` (JavaScript, Python), `amqp:` (Java) or `amqps:` (Go, Rust, .NET), with or without the entity; without a scheme it
 * is a path that begins with neither `devices` nor `messages`.
 */
export function isEventResource(text: string): boolean {
  const decoded = percentDecoded(text) ?? text;
  return SCHEME.test(decoded) || namesEventHub(decoded);
}

/** Whether a text names an event hub, or a part of one: what an Event Hubs client asks a token for. */
export function namesEventHub(text: string): boolean {
  const [first] = parseResource(percentDecoded(text) ?? text).path;
  return first !== undefined && !AMQP_WORDS.has(first.toLowerCase());
}

/** Host of a text that may be encoded; the accepted set decides. */
export function hasAcceptedHost(text: string, hostNames: HostNames): boolean {
  return hostNames.accepts(parseResource(percentDecoded(text) ?? text).host);
}
