import { createHmac } from 'node:crypto';
import type { ConnectionString } from './connection-string.ts';

/** What a token is made for. */
export interface TokenRequest {
  /** The resource as it stands before encoding: `host`, `host/devices/d1`, `sb://host/hub`. */
  readonly resource: string;
  /** UTC milliseconds at which it ends. */
  readonly expiresAt: number;
  readonly key: string;
  /** Absent for the own key of a device or module. */
  readonly policyName?: string;
  /** How the key signs: its decoded bytes (IoT Hub), or the text as it stands (Event Hubs; service reference 1.4). */
  readonly keyForm?: 'decoded' | 'text';
}

/** A SAS token (device reference 1.5). */
export function sharedAccessSignature(request: TokenRequest): string {
  const resource = encodeURIComponent(request.resource);
  const end = Math.floor(request.expiresAt / 1000);
  const secret = Buffer.from(request.key, request.keyForm === 'text' ? 'utf8' : 'base64');
  const signature = createHmac('sha256', secret).update(`${resource}\n${end}`).digest('base64');
  const policy = request.policyName === undefined ? '' : `&skn=${encodeURIComponent(request.policyName)}`;
  return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=${end}${policy}`;
}

/** The widest resource that a connection string's key can sign for. */
export function resourceOf(login: ConnectionString): string {
  const { host, deviceId, moduleId } = login;
  if (deviceId === undefined) return host;
  // The whole is percent-encoded once, ids included: the form of most device SDKs (device reference 1.5).
  const device = `${host}/devices/${deviceId}`;
  return moduleId === undefined ? device : `${device}/modules/${moduleId}`;
}
