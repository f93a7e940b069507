/** Queries of the fleet, and conditions. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB } from './units.ts';

export const queryLimits = {
  /** Service: characters of a query, with its condition. */
  queryCharsMax: 8192,
  /** Brackets, calls and signs inside each other: what the parser, the evaluator and a database's parser recurse for. */
  queryNestingMax: 32,
  /** Operators, names and values of one query, lists apart: the work that each device costs. */
  queryTermsMax: 256,
  /** Names one below the other: a twin nests ten levels below its section, and has three above. */
  queryPathMax: 16,
  /** Characters of a text that a condition puts together; a longer one is undefined. */
  queryTextCharsMax: 16 * KiB,
  /** Characters of a text that may be read as a number. */
  queryNumberCharsMax: 64,
} as const;
