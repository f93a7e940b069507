/** How delivery to an endpoint goes, as an operator sees it. */

/**
 * `unknown`: nothing has been tried yet. `degraded`: the last attempt failed, and it is tried again. `dead`: it has taken nothing for
 * `limits.endpointDeadMs`, and is tried less often.
 */
export type EndpointHealth = 'unknown' | 'healthy' | 'degraded' | 'dead';

export interface EndpointState {
  readonly name: string;
  readonly kind: string;
  readonly health: EndpointHealth;
  /** Why it is not healthy; empty = it is. */
  readonly reason: string;
  /** UTC milliseconds since when `health` is what it is. */
  readonly since: number;
  /** Events that are in the log and were not looked at for it: some of them may be for others. */
  readonly lagEvents: number;
  /** Seconds since the oldest of them came; 0 = none waits. */
  readonly lagSeconds: number;
  readonly delivered: number;
  /** Events that it refused for ever, and that retention took before they were delivered. */
  readonly refused: number;
  readonly missed: number;
}
