/** The processes that serve the hub together, as an operator sees them. */
import type { NodeFacts } from '../../core/nodes/types.ts';

export interface NodeStatus extends NodeFacts {
  /** Devices and modules that are connected there, as of its last renewal. */
  readonly devices: number;
  /** How much longer its lease lasts, milliseconds. */
  readonly leaseMs: number;
  /** It is the one that answers. */
  readonly isAnswering: boolean;
}

export interface NodesControl {
  /** In order of name. */
  list(): Promise<readonly NodeStatus[]>;
  /**
   * The node of that name takes no connections any more, and lets go of those it has, a few at a time; then it can be stopped. Answered
   * when it has begun, or will with its next renewal. Undefined = no such node lives.
   */
  drain(name: string): Promise<NodeStatus | undefined>;
}
