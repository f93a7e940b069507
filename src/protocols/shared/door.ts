/** What every protocol's `server.ts` gives to `server/doors.ts`. */
export interface Door {
  /** The port that it accepts on, for `endpoints.json`. */
  readonly port: number;
  /** Takes no more connections; those that are open live on. */
  stopAccepting(): Promise<void>;
  /**
   * Finishes what was begun, says good-bye in the protocol's way, and ends every connection: after `withinMs` by force.
   * Default: `limits.drainMs`.
   */
  drain(withinMs?: number): Promise<void>;
  /** Open connections now, for metrics. */
  connections(): number;
}
