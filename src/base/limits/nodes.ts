import { MiB, SECOND_MS } from './units.ts';

export const nodesLimits = {
  /**
   * A node's lease, by the database's time: others count a node as gone when its lease is over, so this is how long devices of a node
   * that was killed wait at the others.
   */
  nodeLeaseMs: 10 * SECOND_MS,
  /** How often a node renews its lease, and how soon again after a failure. */
  nodeRenewMs: 3 * SECOND_MS,
  nodeRenewAgainMs: SECOND_MS / 2,
  /** So long before its lease ends, by its own monotonic clock, a node stops acknowledging: clocks differ, and answers are on their way. */
  nodeMarginMs: 2 * SECOND_MS,
  /** How long the database may take for one statement about leases: one that is slower is asked again while there is time. */
  nodeStatementMs: 2 * SECOND_MS,
  /** Connections to the database that leases have for themselves. */
  postgresNodeConnectionsMax: 2,
  /** How long a link to another node may take until it is open, and how soon it is tried again. */
  nodeDialMs: 3 * SECOND_MS,
  nodeDialAgainMs: SECOND_MS / 4,
  /** Nodes of one hub. A link in each direction joins every two. */
  nodesMax: 200,
  /** Links that are not proved yet; whoever reaches the port can open one. */
  nodeUnprovedLinksMax: 64,
  /** Notes that a node has not said to have taken; beyond that it lets go of its connections and begins anew. */
  nodeNotesKeptMax: 100_000,
  /** A link that is down for so long is gone round: what its node must know is left in the database for its next renewal. */
  nodeLinkPatienceMs: 1 * SECOND_MS,
  /** What one node takes with a renewal of what was left for it, and what is left by one statement. */
  nodeNoticesMax: 1000,
  nodeNoticeBytesMax: 1 * MiB,
  /** How often it is looked whether a node has taken what was left for it. */
  nodeNoticeLookMs: SECOND_MS / 2,
  /** Changes of rows that one node tells another in one answer; how long they are gathered, and how long one that asks waits for the first. */
  nodeRowsToldMax: 1024,
  nodeRowsGatherMs: 5,
  nodeRowsWaitMs: 2 * SECOND_MS,
  /** A node that has told nothing for so long may have changed rows: those who follow queries look again, each time. */
  nodeRowsSilentMs: 5 * SECOND_MS,
  /** How long who begins to follow a query waits for the others to say that they will tell, and a query for who is connected at them. */
  nodeRowsBeginMs: 1 * SECOND_MS,
  /** A node that nobody has asked for so long remembers no changes of rows. */
  nodeRowsIdleMs: 60 * SECOND_MS,
  /** A node that is emptied lets go of its devices in steps, over this share of `drainSeconds`; of few devices at least so many at once. */
  nodeSpreadStepMs: 100,
  nodeSpreadShare: 0.7,
  nodeSpreadCountMin: 10,
  /** Age at which a node makes itself a new certificate for its links; one is good for a year. */
  nodeCertificateMs: 30 * 24 * 3600 * SECOND_MS,
  /** So long before they are made certificates of links begin, and their authority: the clocks of nodes may be wrong by as much. */
  nodeCertificateEarlyMs: 30 * 24 * 3600 * SECOND_MS,
} as const;
