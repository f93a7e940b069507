/** Queries in PostgreSQL: piece by piece, so that neither a connection nor this node's loop is held by one of them. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { explainPage } from '../../core/query/explain.ts';
import { runPage } from '../../core/query/page.ts';
import type { FleetReader, FleetStore, Pace, PageRequest } from '../../core/query/ports.ts';
import { collectionReader } from '../tables/collections.ts';
import { TableMatching } from '../tables/fleet-matcher.ts';
import type { Tables } from '../tables/schema.ts';

/** @param refusal What is thrown in place of what the database throws */
export function queriesOver(
  tables: Kysely<Tables>,
  { clock, indexes }: { readonly clock: Clock; readonly indexes: ReadonlySet<string> },
  refusal: (error: unknown) => HubError,
): FleetStore {
  const matching = new TableMatching(tables, indexes);
  let last = 0;
  const refused = async <Answer>(work: Promise<Answer>): Promise<Answer> => {
    try {
      return await work;
    } catch (error) {
      throw error instanceof HubError ? error : refusal(error);
    }
  };
  const work = async <Answer>(signal: AbortSignal, on: (pace: Pace) => Promise<Answer>): Promise<Answer> => {
    const end = performance.now() + limits.queryPageMs;
    try {
      return await on({
        async next() {
          await turn();
          signal.throwIfAborted();
          return performance.now() > end ? 'late' : 'go';
        },
      });
    } catch (error) {
      throw error instanceof HubError || signal.aborted ? error : refusal(error);
    }
  };
  const readerOf = (request: PageRequest, counts?: true): FleetReader =>
    collectionReader(tables, request, { now: clock.now(), indexes, ...(counts && { counts }) });
  return {
    page: (request, signal) => work(signal, (pace) => runPage(request, readerOf(request), pace)),
    explain: (request, signal) => work(signal, (pace) => explainPage(request, readerOf(request, true), pace)),
    matcher: {
      add(query) {
        matching.add(++last, query);
        return last;
      },
      remove: (query) => matching.remove(query),
      match: (asks) => refused(matching.match(asks, clock.now())),
      piece: (query, after) => refused(matching.piece(query, after, clock.now())),
    },
  };
}
