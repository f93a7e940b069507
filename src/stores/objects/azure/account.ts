/**
 * An account of Azure Storage: where it is, and what its key signs (documentation of the service: "Authorize with Shared Key",
 * "Create a service SAS").
 */
import { createHmac } from 'node:crypto';

export interface AzureAccount {
  readonly name: string;
  /** Of the blob service, without a slash at the end; its path names the account where its host does not. */
  readonly endpoint: string;
  readonly key: Uint8Array;
}

const NAME = /^[A-Za-z0-9-]{1,64}$/;

/** What is wrong with a connection string, without a word of what stands in it; undefined = nothing. */
export function objectionToConnectionString(text: string): string | undefined {
  const account = parsed(text);
  return typeof account === 'string' ? account : undefined;
}

/** @throws Error where there is an objection */
export function readConnectionString(text: string): AzureAccount {
  const account = parsed(text);
  if (typeof account === 'string') throw new Error(account);
  return account;
}

function parsed(text: string): AzureAccount | string {
  const parts = new Map(
    text
      .split(';')
      .filter((part) => part.trim() !== '')
      .map((part): [string, string] => {
        const equals = part.indexOf('=');
        return [part.slice(0, Math.max(0, equals)).trim().toLowerCase(), part.slice(equals + 1).trim()];
      }),
  );
  const name = parts.get('accountname') ?? '';
  const keyText = parts.get('accountkey') ?? '';
  const key = Buffer.from(keyText, 'base64');
  if (!NAME.test(name)) return 'it names no account (AccountName)';
  if (key.length === 0 || key.toString('base64') !== keyText) return 'it holds no key (AccountKey)';
  const suffix = parts.get('endpointsuffix') ?? 'core.windows.net';
  const protocol = parts.get('defaultendpointsprotocol') ?? 'https';
  const endpoint = (parts.get('blobendpoint') ?? `${protocol}://${name}.blob.${suffix}`).replace(/\/+$/, '');
  if (!URL.canParse(endpoint)) return 'its endpoint is no URL';
  const objection = objectionToEndpoint(new URL(endpoint));
  return objection === undefined ? { name, endpoint, key } : `its endpoint ${objection}`;
}

/** What is wrong with the address of an object store, as the end of a sentence. */
export function objectionToEndpoint({ protocol, hostname, username, password, search }: URL): string | undefined {
  if (username !== '' || password !== '' || search !== '') return 'holds a user, a password or a query';
  if (protocol === 'https:') return undefined;
  if (protocol !== 'http:') return 'is not one of https';
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
    ? undefined
    : 'is plain http: files would be readable on the way';
}

/** The value of `Authorization`. @param headers that are sent, without `Content-Length` @param bytes of the body */
export function sharedKey(
  account: AzureAccount,
  method: string,
  url: URL,
  headers: Readonly<Record<string, string>>,
  bytes: number,
): string {
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const standard = [
    ...['content-encoding', 'content-language'].map((name) => lower.get(name) ?? ''),
    bytes === 0 ? '' : String(bytes),
    ...['content-md5', 'content-type', 'date', 'if-modified-since', 'if-match', 'if-none-match'].map(
      (name) => lower.get(name) ?? '',
    ),
    ...['if-unmodified-since', 'range'].map((name) => lower.get(name) ?? ''),
  ];
  const own = [...lower].filter(([name]) => name.startsWith('x-ms-')).sort(([a], [b]) => (a < b ? -1 : 1));
  const query = [...url.searchParams].sort(([a], [b]) => (a < b ? -1 : 1));
  const text = [
    method,
    ...standard,
    ...own.map(([name, value]) => `${name}:${value.trim()}`),
    `/${account.name}${url.pathname}`,
    ...query.map(([name, value]) => `${name.toLowerCase()}:${value}`),
  ].join('\n');
  return `SharedKey ${account.name}:${hmac(account, text)}`;
}

/** The version of the signed fields below; it must be a date. */
const SAS_VERSION = '2020-12-06';

/** The query of a signed URL for one blob, with its `?`. @param expiresAt UTC milliseconds, whole seconds */
export function serviceSas(
  account: AzureAccount,
  { container, path }: { readonly container: string; readonly path: string },
  rights: ReadonlySet<'read' | 'write'>,
  expiresAt: number,
): string {
  const sp = `${rights.has('read') ? 'r' : ''}${rights.has('write') ? 'w' : ''}`;
  const se = `${new Date(expiresAt).toISOString().slice(0, 19)}Z`;
  const spr = 'https';
  const fields = [
    ...[sp, '', se, `/blob/${account.name}/${container}/${path}`],
    // Identifier, address; protocol, version, kind of resource; snapshot, scope, and five headers of the answer.
    ...['', '', spr, SAS_VERSION, 'b', '', '', '', '', '', '', ''],
  ];
  const sig = encodeURIComponent(hmac(account, fields.join('\n')));
  return `?sv=${SAS_VERSION}&spr=${spr}&sr=b&se=${encodeURIComponent(se)}&sp=${sp}&sig=${sig}`;
}

function hmac({ key }: AzureAccount, text: string): string {
  return createHmac('sha256', key).update(text, 'utf8').digest('base64');
}
