/** What nodes of one hub keep of each other, for as long as they live. Times of answers are spans, so that no two clocks meet. */
import type { ReceiverPlace } from '../events/receivers.ts';
import type { NodeFacts } from './types.ts';

/** A node that wants to join. */
export interface JoiningNode extends Omit<NodeFacts, 'startedTime' | 'isDraining'> {
  /** Names the data folder that its process alone holds: an older node of it has ended. */
  readonly folder: string;
}

/** Another node, and how much longer its lease lasts. */
export interface LeasedNode extends NodeFacts {
  /** Connected there, as of its last renewal. */
  readonly devices: number;
  readonly leaseMs: number;
}

export type JoinOutcome =
  | { readonly kind: 'joined'; readonly lease: Lease }
  /** A node of that name lives; `forMs` = until its lease is over, if it does not renew it. */
  | { readonly kind: 'taken'; readonly forMs: number }
  | { readonly kind: 'full' };

/** What a node is told with each renewal. */
export interface Lease {
  /** Every node whose lease lasts, this one too. */
  readonly nodes: readonly LeasedNode[];
  /** What this node does for all. */
  readonly duties: readonly string[];
  /** Left for this node by those that could not reach it; stays until `noticesTaken`. */
  readonly notices: readonly Notice[];
}

export interface Notice {
  readonly id: string;
  /** JSON. */
  readonly body: string;
}

/** Nodes and their leases, by the database's time. */
export interface NodeStore {
  /** How much longer a node of that name and another folder has a lease, if it does not renew it; undefined = none has. */
  namesake(name: string, folder: string): Promise<number | undefined>;
  join(node: JoiningNode, leaseMs: number): Promise<JoinOutcome>;
  /**
   * Makes the lease last for `leaseMs` from now on, and takes duties that no node with a lease has, unless it drains; one that drains
   * gives up those it has. `devices` = how many are connected to it. Undefined: the lease was over, and is not given again.
   */
  renew(id: string, leaseMs: number, duties: readonly string[], devices?: number): Promise<Lease | undefined>;
  /** All nodes whose lease lasts. */
  list(): Promise<readonly LeasedNode[]>;
  /** The living node with that name is to be emptied; undefined = there is none. */
  drain(name: string): Promise<NodeFacts | undefined>;
  /** Ends the lease of a node that has let go of everything, with what is kept of it. One that has places left is there for `bury`. */
  leave(id: string): Promise<void>;
  /**
   * Nodes whose lease is over and that the node `own`, which has one, is to clear up after: each is one living node's at a time, and told to it
   * again until `cleared`. What a node has not cleared when its own lease is over is another's.
   */
  bury(own: string): Promise<readonly NodeFacts[]>;
  /** Removes a node with what is kept of it: nothing else is left of it. */
  cleared(id: string): Promise<void>;
  /** Leaves something for a node with a lease; what is there already stays. False = it has none, and nothing is left. */
  notify(node: string, notices: readonly Notice[]): Promise<boolean>;
  /** Which of these its node has not taken, and might still. */
  noticesLeft(ids: readonly string[]): Promise<readonly string[]>;
  noticesTaken(ids: readonly string[]): Promise<void>;
}

/** A reader as all nodes know it. */
export interface KnownReceiver {
  readonly node: string;
  /** Names it among those of its node. */
  readonly receiver: number;
  readonly name: string;
  readonly epoch?: number;
}

/** Who reads what, over all nodes. */
export interface ReceiverStore {
  /**
   * Lets one in, and takes out and tells those that it displaces. Readers of nodes without a lease do not count.
   * @throws HubError as `receiversDisplacedBy`; nothing has changed then
   */
  enter(place: ReceiverPlace, newcomer: KnownReceiver): Promise<readonly KnownReceiver[]>;
  leave(place: ReceiverPlace, left: Pick<KnownReceiver, 'node' | 'receiver'>): Promise<void>;
}

/** Secrets of the hub that all nodes share; sealed where they are kept. */
export interface HubSecrets {
  /** `fresh` becomes it where there is none yet, also where several nodes ask at once. */
  get(name: string, fresh: string): Promise<string>;
  find(name: string): Promise<string | undefined>;
  replace(name: string, secret: string): Promise<void>;
  /** Removes those whose name begins with `prefix`, but for one. */
  drop(prefix: string, but: string): Promise<void>;
}
