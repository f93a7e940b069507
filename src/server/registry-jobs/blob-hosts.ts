/**
 * Which hosts the hub calls because a back end has named them: those of the setting `registryBlobHosts`. A pattern opens public
 * addresses only; a host that the operator names in full may be anywhere.
 */
import dns from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { isPublicAddress, publicLookup } from '../../base/public-address.ts';
import { HubError } from '../../core/errors.ts';

export interface AllowedHost {
  readonly uri: URL;
  /** Of the connections to it. */
  readonly lookup: LookupFunction;
}

/** @throws HubError BlobContainerValidationError */
export function allowedHost(address: string, allowed: readonly string[]): AllowedHost {
  const refused = (what: string): HubError =>
    new HubError('BlobContainerValidationError', `The address of the container ${what}.`);
  if (!URL.canParse(address)) throw refused('is no URL');
  const uri = new URL(address);
  const isNamed = allowed.some((entry) => hostOf(entry) === hostOf(uri.host));
  const isMatched = allowed.some((entry) => {
    const ending = hostOf(entry).slice(1);
    return entry.startsWith('*.') && hostOf(uri.host).endsWith(ending) && hostOf(uri.host).length > ending.length;
  });
  if (uri.username !== '' || uri.password !== '' || uri.hash !== '')
    throw refused('holds a user, a password or a fragment');
  if (!isNamed && !isMatched) {
    throw refused('is on a host that registryBlobHosts does not name; the operator of the hub can add it');
  }
  const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(uri.hostname);
  if (uri.protocol !== 'https:' && !(uri.protocol === 'http:' && isNamed && isLoopback))
    throw refused('is not one of https');
  // An address that stands there itself is never looked up.
  const literal = uri.hostname.replace(/^\[|\]$/g, '');
  if (!isNamed && isIP(literal) !== 0 && !isPublicAddress(literal)) throw refused('is not a public one');
  if (uri.pathname.split('/').every((segment) => segment === '')) throw refused('names no container');
  if (uri.searchParams.get('sig') === null) throw refused('has no signature (sig)');
  return { uri, lookup: isNamed ? dns.lookup : publicLookup };
}

/** With the port that is the default made no difference. */
const hostOf = (host: string): string => host.toLowerCase().replace(/:443$/, '');
