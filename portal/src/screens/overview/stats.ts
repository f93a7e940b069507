/** What the hub says of itself once in a second, and of its past. */

export interface Health {
  readonly status: 'ok' | 'warn' | 'fail';
  readonly checks: readonly {
    readonly name: string;
    readonly status: 'ok' | 'warn' | 'fail';
    readonly reason?: string;
    readonly remedy?: string;
  }[];
}

/** Rates per second, latencies in milliseconds, sizes in bytes; null = not known. */
export interface Values {
  readonly connected: number | null;
  readonly messagesIn: number | null;
  readonly bytesIn: number | null;
  readonly messagesOut: number | null;
  readonly refused: number | null;
  readonly latencyP50: number | null;
  readonly latencyP99: number | null;
  readonly diskUsed: number | null;
  readonly diskFree: number | null;
}

export interface Stats extends Values, Health {
  /** UTC milliseconds. */
  readonly time: number;
  readonly retentionDays?: number;
  /** UTC milliseconds; null = there is no event. */
  readonly oldestEventTime?: number | null;
}

export interface History {
  /** UTC milliseconds of the first step. */
  readonly from: number;
  readonly stepMs: number;
  readonly series: Readonly<Record<keyof Values, readonly (number | null)[]>>;
}
