/** AWS Signature Version 4 for S3, in the header `Authorization` (documentation of S3: "Authenticating Requests"). */
import { createHash, createHmac } from 'node:crypto';

export interface S3Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

export interface SignedParts {
  readonly method: string;
  /** Its path and query stand as they were encoded by `encodedPath` and `encodedQuery`. */
  readonly url: URL;
  /** All of them are signed. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the body in hexadecimal; absent = the body is not signed, TLS protects it. */
  readonly bodySum?: string;
  /** UTC milliseconds. */
  readonly now: number;
}

const UNSIGNED = 'UNSIGNED-PAYLOAD';

/** The headers to send: those that were given, and the signature's own. */
export function signed(key: S3Key, { method, url, headers, bodySum, now }: SignedParts): Record<string, string> {
  const time = new Date(now).toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = `${time.slice(0, 8)}/${key.region}/s3/aws4_request`;
  const content = bodySum ?? UNSIGNED;
  const sent = { ...headers, 'x-amz-content-sha256': content, 'x-amz-date': time };
  const all = Object.entries({ host: url.host, ...sent })
    .map(([name, value]): [string, string] => [name.toLowerCase(), value.trim().replace(/ +/g, ' ')])
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const names = all.map(([name]) => name).join(';');
  const canonical = [
    ...[method, url.pathname, url.search.slice(1)],
    ...all.map(([name, value]) => `${name}:${value}`),
    ...['', names, content],
  ].join('\n');
  const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const signingKey = [time.slice(0, 8), key.region, 's3', 'aws4_request'].reduce<Uint8Array | string>(
    (last, part) => createHmac('sha256', last).update(part).digest(),
    `AWS4${key.secretAccessKey}`,
  );
  const signature = createHmac('sha256', signingKey).update(text).digest('hex');
  const credential = `${key.accessKeyId}/${scope}`;
  return {
    ...sent,
    Authorization: `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${names},Signature=${signature}`,
  };
}

export const encodedPath = (path: string): string => path.split('/').map(encoded).join('/');

/** With its `?`, in the order that is signed. */
export function encodedQuery(query: Readonly<Record<string, string>>): string {
  const parts = Object.entries(query)
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort((a, b) => (a < b ? -1 : 1));
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
