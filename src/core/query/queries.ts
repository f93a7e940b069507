/** Queries of the fleet: what is asked, whose turn it is, and where the page before has ended. */
import { limits } from '../../base/limits.ts';
import { WorkShares } from '../../base/work-shares.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import { shareName } from '../identity/share-name.ts';
import type { Principal } from '../identity/types.ts';
import { queryCalls } from './calls.ts';
import { continuationOf, cursorOf } from './continuation.ts';
import { presenceFields } from './fields.ts';
import type { LiveQueries } from './live-queries.ts';
import { asksFor, pathsOf } from './plan.ts';
import type { FleetStore, PageRequest } from './ports.ts';
import type { PageOptions, Queries } from './room.ts';
import { parseQuery } from './statement.ts';
import type { Query } from './syntax.ts';

export interface QueriesParts {
  readonly guard: Guard;
  readonly fleet: FleetStore;
  readonly live: LiveQueries;
  /** Resolves when the fleet's store holds all that presence knows; absent = it always does. */
  readonly settlePresence?: () => Promise<void>;
}

export function createQueries({ guard, fleet, live, settlePresence }: QueriesParts): Guarded<Queries> {
  // Apart from other calls: a policy whose queries are long still gets answers to the rest, and others to their queries.
  const shares = new WorkShares({
    max: limits.queriesMax,
    perKeyMax: limits.queriesPerPolicyMax,
    reserve: limits.queriesMax / 4,
    reservedPerKey: 1,
    waitingMax: limits.queriesWaitingPerPolicyMax,
  });
  const inTurn = async <Answer>(principal: Principal, work: () => Promise<Answer>): Promise<Answer> => {
    const share = shareName(principal);
    if (!shares.take(share)) {
      const turn = shares.turn(share);
      if (turn === undefined) {
        const max = limits.queriesWaitingPerPolicyMax;
        const limit = { name: 'queriesWaitingPerPolicyMax', scope: share, current: shares.waitingOf(share), max };
        throw new HubError('ThrottlingException', 'Too many queries of this caller wait already.', { limit });
      }
      await turn;
    }
    try {
      return await work();
    } finally {
      shares.give(share);
    }
  };

  /** Whose turn has come, and who has not gone by then. */
  const settled = async <Answer>(query: Query, signal: AbortSignal, work: () => Promise<Answer>): Promise<Answer> => {
    signal.throwIfAborted();
    if (query.from !== 'devices.jobs' && asksFor(pathsOf(query), presenceFields)) await settlePresence?.();
    return work();
  };

  const room: Queries = {
    async page(principal, text, options, signal) {
      const request = requestOf(text, options);
      const { query } = request;
      const page = await inTurn(principal, () => settled(query, signal, () => fleet.page(request, signal)));
      return {
        itemType: query.select !== undefined ? 'Raw' : query.from === 'devices.jobs' ? 'DeviceJob' : 'Twin',
        text: page.text,
        count: page.count,
        ...(page.next !== undefined && { continuation: continuationOf(text, page.next) }),
      };
    },
    explain(principal, text, options, signal) {
      const request = requestOf(text, options);
      return inTurn(principal, () => settled(request.query, signal, () => fleet.explain(request, signal)));
    },
    live: async (principal, text, options, signal) => live.follow(principal, text, parseQuery(text), options, signal),
  };
  return guard.room(room, queryCalls);
}

/** @throws HubError ArgumentInvalid */
function requestOf(text: string, { countMax, continuation }: PageOptions): PageRequest {
  const query = parseQuery(text);
  const after = continuation === undefined ? undefined : cursorOf(text, continuation);
  const wanted = countMax === undefined || countMax < 1 ? limits.queryPageDefault : countMax;
  return { query, countMax: Math.min(wanted, limits.queryPageMax), ...(after !== undefined && { after }) };
}
