/** Shared access signatures as clients make them (service reference 1.4, device reference 1.5). Runs in browsers too. */

export interface SasRequest {
  /** What the token is for, without a scheme: `host`, `host/devices/d1` …; encoded here. */
  readonly resource: string;
  /** Base64; its decoded bytes sign. */
  readonly key: string;
  /** Absent for the key of a device or module. */
  readonly policyName?: string;
  /** UTC milliseconds; rounded up to a second. */
  readonly expiresAt: number;
}

/** `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`: HMAC-SHA256 over the encoded resource, a line feed and the end. */
export async function signSas(request: SasRequest): Promise<string> {
  const resource = encodeURIComponent(request.resource);
  const end = Math.ceil(request.expiresAt / 1000);
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', decodeBase64(request.key), algorithm, false, ['sign']);
  const digest = await crypto.subtle.sign(algorithm, key, new TextEncoder().encode(`${resource}\n${end}`));
  const signature = encodeURIComponent(btoa(String.fromCharCode(...new Uint8Array(digest))));
  const policy = request.policyName === undefined ? '' : `&skn=${encodeURIComponent(request.policyName)}`;
  return `SharedAccessSignature sr=${resource}&sig=${signature}&se=${end}${policy}`;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
