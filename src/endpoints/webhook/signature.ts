/**
 * The signature of a request in the form of Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature), which receivers
 * have libraries for: HMAC-SHA-256 over id, time and body, so that nobody else can send, change or repeat one.
 */
import { createHmac } from 'node:crypto';

/** @param key bytes of the secret @param seconds UTC */
export function signedHeaders(key: Uint8Array, id: string, seconds: number, body: Uint8Array): Record<string, string> {
  const mac = createHmac('sha256', key).update(`${id}.${seconds}.`).update(body).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': `v1,${mac}` };
}

/** The bytes of a secret as an operator writes it: base64, with or without `whsec_` before it. @returns undefined if it is none, or too short */
export function signingKey(secret: string): Buffer | undefined {
  const text = secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : secret;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const key = Buffer.from(text, 'base64');
  return key.length >= SECRET_BYTES_MIN && key.length <= SECRET_BYTES_MAX ? key : undefined;
}

const SECRET_BYTES_MIN = 16;
const SECRET_BYTES_MAX = 256;
