/** What is sent down, and how a server's API is asked for it. */
import type { DeviceName } from './events.ts';

export interface Downlink {
  readonly device: DeviceName;
  readonly payload: Buffer;
  readonly fPort: number;
  readonly confirmed: boolean;
  /** The adapter's own, which a server may be given to name it by. */
  readonly id: string;
}

/** A POST to the server's API. */
export interface ApiCall {
  readonly path: string;
  readonly headers: (token: string) => Readonly<Record<string, string>>;
  readonly body: unknown;
  /** What events will call the downlink. @param answer undefined = none, or no JSON @throws NotUnderstood */
  readonly idOf: (answer: unknown) => string;
}
