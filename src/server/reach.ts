/** Where the hub listens, and the names under which it is known: in its certificate and in tokens. */

import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import type { Settings } from './config/config.ts';
import type { SubjectName } from './tls/certificates.ts';

export interface Reach {
  /** For the TLS ports. */
  readonly open: readonly string[];
  /** For the admin port. */
  readonly admin: readonly string[];
  /** For the plain ports. */
  readonly loopback: readonly string[];
  /** All names, the one to show to users first. */
  readonly names: readonly string[];
  /** The name for clients on this machine. */
  readonly localName: string;
}

export function reachOf(settings: Pick<Settings, 'bindAddress' | 'adminBindAddress' | 'hostName'>): Reach {
  const loopback = loopbackAddresses();
  const open = settings.bindAddress ?? loopback;
  const admin = settings.adminBindAddress ?? loopback;
  const hears = open.some((address) => isLocalhost(address) || isWildcard(address));
  const specific = open.filter((address) => !isLocalhost(address) && !isWildcard(address));
  const machine = /^[A-Za-z0-9.-]{1,253}$/.test(hostname()) ? [hostname().toLowerCase()] : [];
  const names = [...settings.hostName, 'localhost', '127.0.0.1', '::1', ...machine, ...specific];
  return {
    open,
    admin,
    loopback,
    names: [...new Set(names.map((name) => name.toLowerCase()))],
    localName: hears ? 'localhost' : (settings.hostName[0] ?? specific[0]),
  };
}

/** Names as a certificate states them. */
export function subjectNames(names: readonly string[]): readonly SubjectName[] {
  return names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }));
}

/** What the name `localhost` leads to: of the other addresses of the loopback network it says nothing. */
function isLocalhost(address: string): boolean {
  return address === '::1' || address === '127.0.0.1';
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** A machine without IPv6 has no `::1` to bind. */
function loopbackAddresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return all.some((entry) => entry.address === '::1') ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
}
