import type { Settlement } from '../../gateway/index.ts';
import type { Outgoing } from './rules.ts';

/** The connection that a message was to go over has ended, or nobody listens any more: the message may find another one. */
export class Lost extends Error {
  override readonly name = 'Lost';
}

/** The way to the devices of one user: its connections to the listener, or the broker that is bridged. */
export interface Route {
  /** What is sent over it comes back to it, as from a broker. */
  readonly hearsItself: boolean;
  /** The first that can be delivered now: a client has subscribed to its topic. Undefined = none yet. */
  choose(options: readonly Outgoing[]): Outgoing | undefined;
  /** Resolves when `choose` may have another answer. @throws what `signal` was aborted with */
  changed(signal: AbortSignal): Promise<void>;
  /** Resolves when it is delivered: acknowledged at QoS 1, written at QoS 0. MQTT 5 can also refuse it. @throws Lost; what `signal` was aborted with */
  publish(outgoing: Outgoing, signal: AbortSignal): Promise<Settlement>;
}
