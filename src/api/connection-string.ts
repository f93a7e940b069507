/**
 * Connection strings of back ends: `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…` (service reference 1.5), also
 * with a finished token in place of the key. Errors name the part that is wrong and never its value.
 */

/** What a client needs in order to speak as a policy. */
export interface Login {
  /** As it stands in the string; may carry a port. */
  readonly hostName: string;
  readonly proof:
    | { readonly kind: 'key'; readonly policyName: string; readonly key: string }
    | { readonly kind: 'token'; readonly token: string };
}

/** The text is no connection string of a back end; the message says why. */
export class ConnectionStringError extends Error {
  override readonly name = 'ConnectionStringError';
}

const CHARS_MAX = 4096;

/** Splits `Name=Value;…` at the first `=` of each part: keys and signatures end in `=`. Names compare without case. */
export function parseConnectionString(text: string): ReadonlyMap<string, string> {
  if (text.length > CHARS_MAX)
    throw new ConnectionStringError(`The connection string is over ${CHARS_MAX} characters.`);
  const parts = new Map<string, string>();
  for (const [at, part] of text.trim().split(';').entries()) {
    if (part.trim() === '') continue;
    const equals = part.indexOf('=');
    if (equals <= 0) throw new ConnectionStringError(`Part ${at + 1} of the connection string is not Name=Value.`);
    const name = part.slice(0, equals).trim();
    // A key pasted without its name must not come back in a message, so only names that look like one are shown.
    const shown = /^[A-Za-z]{1,40}$/.test(name) ? name : `part ${at + 1}`;
    const value = part.slice(equals + 1).trim();
    if (value === '') throw new ConnectionStringError(`${shown} of the connection string is empty.`);
    if (parts.has(name.toLowerCase()))
      throw new ConnectionStringError(`${shown} stands twice in the connection string.`);
    parts.set(name.toLowerCase(), value);
  }
  if (parts.size === 0) throw new ConnectionStringError('The connection string is empty.');
  return parts;
}

/**
 * The login that a back end's connection string holds.
 * @throws ConnectionStringError saying which part is missing or wrong.
 */
export function parseLogin(text: string): Login {
  const parts = parseConnectionString(text);
  const hostName = parts.get('hostname');
  if (hostName === undefined) {
    throw new ConnectionStringError(
      parts.has('endpoint')
        ? 'This is a connection string for events (Endpoint=…); the management API needs HostName=….'
        : 'HostName is missing from the connection string.',
    );
  }
  if (!/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:\d{1,5})?$/.test(hostName)) {
    throw new ConnectionStringError(
      'HostName must be a host name or address, at most with a port: no scheme, no path.',
    );
  }
  const token = parts.get('sharedaccesssignature');
  if (token !== undefined) {
    if (parts.has('sharedaccesskey')) {
      throw new ConnectionStringError('Give either SharedAccessKey or SharedAccessSignature, not both.');
    }
    return { hostName, proof: { kind: 'token', token } };
  }
  const key = parts.get('sharedaccesskey');
  if (key === undefined) throw new ConnectionStringError('SharedAccessKey is missing from the connection string.');
  const policyName = parts.get('sharedaccesskeyname');
  if (policyName === undefined) {
    throw new ConnectionStringError(
      parts.has('deviceid')
        ? 'This is the connection string of a device; the management API needs that of a policy (SharedAccessKeyName=…).'
        : 'SharedAccessKeyName is missing from the connection string.',
    );
  }
  if (!isBase64(key)) throw new ConnectionStringError('SharedAccessKey is not base64.');
  return { hostName, proof: { kind: 'key', policyName, key } };
}

export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
}

/** `host` and, where it is given, `port` of a connection string's host name. */
export function splitHostPort(hostName: string): { readonly host: string; readonly port: number | undefined } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(hostName);
  if (match === null) return { host: hostName, port: undefined };
  return { host: match[1] ?? match[2], port: match[3] === undefined ? undefined : Number(match[3]) };
}
