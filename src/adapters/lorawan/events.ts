/** What the webhooks of LoRaWAN servers say, whichever server it is. Made by `the-things-stack.ts` and `chirpstack.ts`. */
import { limits } from '../../base/limits.ts';

export interface DeviceName {
  /** 16 hex digits, lower case. */
  readonly devEui: string;
  /** What the server's API calls it. */
  readonly reference: DeviceReference;
}

export interface DeviceReference {
  readonly application: string;
  readonly device: string;
}

export interface Uplink {
  readonly kind: 'uplink';
  readonly device: DeviceName;
  /** The same for the same message, however often the server sends it. */
  readonly id: string;
  readonly payload: Buffer;
  /** As the server has decoded it; undefined = it has no decoder. */
  readonly decoded: unknown;
  readonly fPort: number;
  readonly fCnt: number;
  readonly time: Date | undefined;
  /** Of the gateway that heard it best. */
  readonly rssi: number | undefined;
  readonly snr: number | undefined;
}

/** Joins, states, and what becomes of downlinks. */
export interface Report {
  readonly kind: 'report';
  readonly device: DeviceName;
  readonly id: string;
  /** `join`, `ack`, … */
  readonly event: string;
  readonly time: Date | undefined;
  /** What it says, as JSON. */
  readonly body: unknown;
  /** Of a downlink: its ids, and whether it has arrived or failed; `undecided` = it is on its way. */
  readonly downlink?: { readonly ids: readonly string[]; readonly outcome: 'arrived' | 'failed' | 'undecided' };
}

export type LoraEvent = Uplink | Report;

/** The body of a webhook is not what its server sends. */
export class NotUnderstood extends Error {
  override readonly name = 'NotUnderstood';
}

export type Members = Readonly<Record<string, unknown>>;

export function membersOf(value: unknown, what: string): Members {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new NotUnderstood(`${what} is no object`);
  return value as Members;
}

export function maybeMembers(value: unknown): Members {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Members) : {};
}

export function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw new NotUnderstood(`${what} is no text`);
  return value.slice(0, limits.lorawanIdCharsMax);
}

/** Servers leave out what is 0. */
export function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

export function devEuiOf(value: unknown): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{16}$/i.test(value))
    throw new NotUnderstood('the Dev EUI is not 16 hex digits');
  return value.toLowerCase();
}

export function timeOf(value: unknown): Date | undefined {
  const time = typeof value === 'string' ? new Date(value) : undefined;
  return time === undefined || Number.isNaN(time.getTime()) ? undefined : time;
}

export function payloadOf(value: unknown): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0);
}

/** Of the gateway that heard it best. @param heard what each gateway says */
export function bestOf(heard: unknown): { readonly rssi: number | undefined; readonly snr: number | undefined } {
  let best: Members | undefined;
  for (const each of Array.isArray(heard) ? heard : []) {
    const members = maybeMembers(each);
    if (typeof members.rssi !== 'number') continue;
    if (best === undefined || members.rssi > (best.rssi as number)) best = members;
  }
  return { rssi: best?.rssi as number | undefined, snr: typeof best?.snr === 'number' ? best.snr : undefined };
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value)
    ? value.filter((each) => typeof each === 'string').map((each) => each.slice(0, limits.lorawanIdCharsMax))
    : [];
}
