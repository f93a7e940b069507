/**
 * The SAS token: its text form, and the check of its signature (device reference 1.5, service reference 1.4).
 * The signature covers the `sr` text as its maker saw it, and makers disagree with what they send; so the raw text is
 * tried first and then the ways in which it may have been re-encoded. Each refused token costs the same number of
 * HMACs, whatever the reason.
 */
import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { limits } from '../../base/limits.ts';
import { ownText } from '../../base/text.ts';

export interface SasToken {
  /** `sr` exactly as sent. */
  readonly resource: string;
  /** The decoded signature, 32 bytes. */
  readonly signature: Buffer;
  /** `se` exactly as sent: decimal seconds since 1970, of some makers with a fraction. */
  readonly expiry: string;
  /** UTC milliseconds of `se`. */
  readonly expiresAt: number;
  /** `skn`: the policy whose key signed; undefined = the identity's own key. */
  readonly policyName: string | undefined;
}

const PREFIX = 'SharedAccessSignature ';
const EXPIRY = /^\d{1,16}(\.\d{1,16})?$/;
const SIGNATURE_BYTES = 32;
/** More fields than any SDK sends; unknown ones are ignored, twice the same one is refused. */
const FIELDS_MAX = 8;

/** Whether a text means to be a token. Of a device that shows a certificate too, any other password says nothing. */
export function claimsToBeSasToken(text: string): boolean {
  return text.trimStart().startsWith(PREFIX);
}

/**
 * Reads a token, fields in any order and their names in any case, with or without an `&` at the end; undefined = not a token. What it returns is in memory of its own: the names of a refused
 * token are kept for a while (monitoring, delays), and must not keep its text, nor the pool of small buffers its signature.
 */
export function parseSasToken(text: string): SasToken | undefined {
  if (text.length > limits.tokenCharsMax) return undefined;
  const token = text.trim();
  if (!token.startsWith(PREFIX)) return undefined;
  const fields = new Map<string, string>();
  const pairs = token
    .slice(PREFIX.length)
    .trim()
    .split('&', FIELDS_MAX + 1);
  if (pairs.length > FIELDS_MAX) return undefined;
  if (pairs.at(-1)?.trim() === '') pairs.pop();
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = pair.slice(0, equals).trim().toLowerCase();
    if (equals < 1 || fields.has(name)) return undefined;
    fields.set(name, pair.slice(equals + 1));
  }
  const resource = fields.get('sr');
  const expiry = fields.get('se');
  const signature = Buffer.alloc(SIGNATURE_BYTES + 1);
  const signatureBytes = signature.write(percentDecoded(fields.get('sig') ?? '') ?? '', 'base64');
  const policyName = percentDecoded(fields.get('skn') ?? '');
  if (resource === undefined || resource === '' || expiry === undefined || policyName === undefined) return undefined;
  if (signatureBytes !== SIGNATURE_BYTES || !EXPIRY.test(expiry)) return undefined;
  return {
    resource: ownText(resource),
    signature: signature.subarray(0, SIGNATURE_BYTES),
    expiry: ownText(expiry),
    expiresAt: Math.min(Math.floor(Number(expiry) * 1000), Number.MAX_SAFE_INTEGER),
    policyName: policyName === '' ? undefined : ownText(policyName),
  };
}

/**
 * Whether one of `keys` made the signature. With `early`, the first match ends the work; without, all of it is done, so
 * that a refusal for another reason takes as long as one for a wrong key.
 */
export function isSignedBy(token: SasToken, keys: readonly KeyObject[], early: boolean): boolean {
  let matches = false;
  for (const resource of signedForms(token.resource)) {
    for (const key of keys) {
      const expected = createHmac('sha256', key).update(`${resource}\n${token.expiry}`).digest();
      if (timingSafeEqual(expected, token.signature)) matches = true;
      if (matches && early) return true;
    }
  }
  return matches;
}

/** Which bytes a key's text may stand for. */
export type KeyForm = 'decoded' | 'text' | 'both';

/**
 * The HMAC keys of key texts, in order of trial. Hub tokens are signed with the base64-decoded key; Event Hubs SDKs sign
 * with the text's own bytes, and some that speak to the event endpoint decode it: there both count.
 */
export function signingKeys(texts: readonly string[], form: KeyForm): readonly KeyObject[] {
  const keys: KeyObject[] = [];
  // As key objects: handed plain bytes, the runtime takes four times as long for the HMAC.
  for (const text of texts) {
    if (form !== 'decoded') keys.push(createSecretKey(text, 'utf8'));
    if (form !== 'text') keys.push(createSecretKey(text, 'base64'));
  }
  return keys;
}

/** Compares secrets without telling by time where, or in which length, they differ. */
export function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());
}

/** The text itself, then decoded once and twice, as long as that changes it: SDKs encode none, one or two times. */
export function decodings(text: string): readonly string[] {
  const forms = [text];
  for (let times = 0; times < 2; times++) {
    const next = percentDecoded(forms[forms.length - 1]);
    if (next === undefined || next === forms[forms.length - 1]) break;
    forms.push(next);
  }
  return forms;
}

/** @returns undefined where an escape is malformed. */
export function percentDecoded(text: string): string | undefined {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const ESCAPE = /%[0-9A-Fa-f]{2}/g;

/** What the maker may have signed, for an `sr` that arrived as `raw`; a lazy list, because the first one fits nearly always. */
function* signedForms(raw: string): Generator<string> {
  yield raw;
  const decoded = percentDecoded(raw) ?? raw;
  const strict = encodeStrictly(decoded);
  const loose = encodeURIComponentSafely(decoded);
  const lower = (text: string): string => text.replace(ESCAPE, (code) => code.toLowerCase());
  const upper = raw.replace(ESCAPE, (code) => code.toUpperCase());
  const forms = [upper, lower(raw), decoded, strict, lower(strict), loose, lower(loose)];
  const tried = new Set([raw]);
  for (const form of forms) {
    if (tried.has(form)) continue;
    tried.add(form);
    yield form;
  }
}

/** As Python's `quote_plus` does: nothing stays but letters, digits and `_ . - ~`. */
function encodeStrictly(text: string): string {
  return encodeURIComponentSafely(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function encodeURIComponentSafely(text: string): string {
  // A lone surrogate cannot be encoded; no client can have signed that text.
  return text.isWellFormed() ? encodeURIComponent(text) : text;
}
