/** Queries of the fleet, and conditions. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const queryLimits = {
  /** Service: characters of a query, with its condition. */
  queryCharsMax: 8192,
  /** Brackets, calls and signs inside each other: what the parser, the evaluator and a database's parser recurse for. */
  queryNestingMax: 32,
  /** Operators, names, values and aggregates of one query, GROUP BY with them, lists apart: the work that each device costs. */
  queryTermsMax: 256,
  /** Names one below the other: a twin nests ten levels below its section, and has three above. */
  queryPathMax: 16,
  /** Characters of a text that a condition puts together; a longer one is undefined. */
  queryTextCharsMax: 16 * KiB,
  /** Characters of a text that may be read as a number. */
  queryNumberCharsMax: 64,
  /** Service: rows of one page, at most and unless the client says. */
  queryPageMax: 1000,
  queryPageDefault: 100,
  /** Characters of the rows of a page; one that is reached ends it. A twin has some 100,000 at most, with all its metadata. */
  queryPageCharsMax: 4 * MiB,
  /** Characters of the objects in one row, whose query names its items: the largest twin as a whole is no longer. */
  queryRowCharsMax: 4 * MiB,
  /** How long one page is worked on, turns of other queries included: then it ends with what it has. */
  queryPageMs: 20 * SECOND_MS,
  /** Identities that one piece of a query looks at, between two of which other queries have their turn: some milliseconds. */
  querySliceRows: 512,
  /** Different values of GROUP BY in one query, and characters of one of them: a token names it in a header. */
  queryGroupsMax: 10_000,
  queryGroupCharsMax: 1 * KiB,
  /** Values that the groups of one query hold: the keys and aggregates of each. Some 100 bytes each. */
  queryGroupValuesMax: 100_000,
  /** Characters that they hold: of keys, and of the texts that MIN and MAX have found. */
  queryGroupsCharsMax: 4 * MiB,
  queryContinuationCharsMax: 8 * KiB,
  /** Queries that are worked on at a time, of the hub and of the holders of one policy's key, and those of one policy that wait. */
  queriesMax: 8,
  queriesPerPolicyMax: 4,
  queriesWaitingPerPolicyMax: 64,
  /** Indexes that an operator may ask for: each is written with every change of a twin by a back end. */
  queryIndexesMax: 8,
  /** Live queries that are followed at a time, in the hub and by the holders of one policy's key. */
  liveQueriesMax: 160,
  liveQueriesPerPolicyMax: 128,
  /**
   * Rows of one live query, of those of one policy's key, and of all of them, those included that may come back: some 100 bytes of
   * memory each.
   */
  liveQueryRowsMax: 100_000,
  liveQueriesRowsPerPolicyMax: 300_000,
  liveQueriesRowsMax: 500_000,
  /** Characters that wait for a client which reads slowly, of one and of all: beyond that it is behind, and gets its rows anew. */
  liveQueryCharsMax: 1 * MiB,
  liveQueriesCharsMax: 64 * MiB,
  /** Characters of the rows that are read at a time for one that begins. */
  liveQueryPieceCharsMax: 256 * KiB,
  /** Clients of one query that are told of one such reading: each compares the rows with its own, on the loop of all. */
  liveQueryPieceSetsMax: 16,
  /** Characters of rows that are matched with all live queries in one answer of the thread: what is behind comes in the next one. */
  liveQueryMatchCharsMax: 16 * MiB,
  /** How long changes are gathered before their rows are read together: most of the time from a change to its being told. */
  liveQueryRoundMs: 10,
  /** Rows that are read together. */
  liveQueryRoundRowsMax: 512,
  /** Rows of which it may not be known yet who is to be told; beyond that, who follows gets the rows anew. */
  liveQueryChangedMax: 100_000,
  /** How often a client hears that nothing has happened. */
  liveQueryHeartbeatMs: 15 * SECOND_MS,
  /** After a failure to read rows. */
  liveQueryRetryMs: 1 * SECOND_MS,
  /** How long, and of how many clients that have gone, it is known what they were told; and how many changes are remembered for them. */
  liveQueryLingerMs: 60 * SECOND_MS,
  liveQueriesLingeringMax: 256,
  liveQueryChangesKept: 65_536,
  /** Where changes of other nodes may have been missed all rows are looked at again: so long after one such look, at the soonest. */
  liveQueryLookAgainMs: 2 * SECOND_MS,
  /** Memory of the thread that reads for queries: a page of each, and the groups of each. */
  queryMemoryMiBMax: 256,
} as const;
