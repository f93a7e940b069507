import type { JobStore } from '../../core/jobs/ports.ts';
import type { TableCaller } from './caller.ts';
import type { ToldTwinStore } from './twin-store.ts';

/**
 * @param twins Hears of twins that were updated, and of events that were kept
 * @param marked As of `createTableTwinStore`
 */
export function createTableJobStore(
  tables: TableCaller,
  twins: Pick<ToldTwinStore, 'tell' | 'changed'>,
  marked: () => void,
): JobStore {
  return {
    create: (job, openMax) => tables.call('jobs.create', job, openMax),
    find: (id, now) => tables.call('jobs.find', id, now),
    list: (of, now) => tables.call('jobs.list', of, now),
    cancel: (id, now) => tables.call('jobs.cancel', id, now),
    claim: (terms) =>
      tables.callThen('jobs.claim', [terms], (jobs) => {
        if (jobs.some(({ lost }) => lost > 0)) twins.tell([], terms.withEvents);
        return jobs;
      }),
    select: (hold, piece, now) => tables.call('jobs.select', hold, piece, now),
    updateTwins: (hold, terms) =>
      tables.callThen('jobs.updateTwins', [hold, terms], (done) => {
        twins.tell(done?.notes ?? [], terms.withEvents || terms.withTwinEvents);
        if (done?.isMarked) marked();
        if (done !== undefined) twins.changed(done.keys, done.change);
        return done?.batch;
      }),
    waiting: (id, after, countMax) => tables.call('jobs.waiting', id, after, countMax),
    begin: (hold, keys, now) => tables.call('jobs.begin', hold, keys, now),
    settle: (hold, results, terms) =>
      tables.callThen('jobs.settle', [hold, results, terms], (isHeld) => {
        twins.tell([], terms.withEvents);
        return isHeld;
      }),
    dismiss: (hold, state, error, terms) =>
      tables.callThen('jobs.dismiss', [hold, state, error, terms], (count) => {
        twins.tell([], terms.withEvents);
        return count;
      }),
    end: (hold, status, reason, now) => tables.call('jobs.end', hold, status, reason, now),
    sweep: (before, countMax, kept) => tables.call('jobs.sweep', before, countMax, kept),
    totals: (now) => tables.call('jobs.totals', now),
  };
}
