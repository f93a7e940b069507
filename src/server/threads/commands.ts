import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { CommandKeeping, Commands, Inbox } from '../../core/commands/room.ts';
import { type Guard, type Guarded, guardedElsewhere } from '../../core/identity/guard.ts';
import type { IdentityKey, Principal } from '../../core/identity/types.ts';
import type { EveryCall, ThreadLink } from './calls.ts';
import { Holdings } from './holdings.ts';
import { inTurns } from './in-turns.ts';

type Passed = Omit<Commands & CommandKeeping, 'openInbox' | 'watchReceipts' | 'sweep'>;

/** An inbox by its owner, because functions do not cross. */
interface InboxCalls {
  take(owner: InboxOwner, ...args: Parameters<Inbox['take']>): ReturnType<Inbox['take']>;
  settle(owner: InboxOwner, ...args: Parameters<Inbox['settle']>): Promise<void>;
  close(owner: InboxOwner): Promise<void>;
}

type InboxOwner = readonly [principal: Principal, key: IdentityKey, holder: string];

const calls: EveryCall<Passed> = {
  send: true,
  purge: true,
  depths: true,
  takeReceipts: true,
  settleReceipts: true,
  deadLetters: true,
  sendAgain: true,
  trail: true,
  totals: true,
};

interface CommandsHost {
  readonly commands: Guarded<Commands & CommandKeeping>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** Lets a listener thread use `commands`. The returned function ends it: what the thread's connections hold is put back. */
export function serveCommands(link: ThreadLink, { commands, clock, log }: CommandsHost): () => void {
  const holdings = new Holdings(clock);
  // Rights are checked each time: a token may have been renewed since.
  const inboxOf = ([principal, key, holder]: InboxOwner): Inbox => commands.openInbox(principal, key, holder);
  link.serve('commands', commands);
  link.serve('inboxes', {
    take: (owner, ...args) => holdings.take(owner[2], inboxOf(owner), ...args),
    async settle(owner, ...args) {
      // What was taken by right may be settled, also after the proof has ended.
      const inbox = holdings.inbox(owner[2]) ?? inboxOf(owner);
      await inbox.settle(...args);
      holdings.settled(owner[2], args[0]);
    },
    // One that is not kept holds nothing. No right is asked for: a proof that has ended keeps nobody from giving back.
    close: async (owner) => holdings.end(owner[2])?.close(),
  } satisfies InboxCalls);
  const unwatch = commands.watchReceipts(() => link.tell('receipts', undefined));
  return () => {
    unwatch();
    for (const inbox of holdings.endAll()) {
      inbox.close().catch((error: unknown) => log.error({ error }, 'commands of a lost connection are not put back'));
    }
  };
}

/** Commands as doors of a listener thread see them: behind the main thread's guard, but for what is answered here. */
export function commandsStandIn(link: ThreadLink, guard: Guard): Guarded<Commands & CommandKeeping> {
  const inboxes = link.remote<InboxCalls>('inboxes', { take: true, settle: true, close: true });
  const listeners = new Set<{ readonly call: () => void }>();
  link.on('receipts', () => {
    for (const { call } of listeners) call();
  });
  return guardedElsewhere<Commands & CommandKeeping>({
    ...inTurns(guard, link.remote<Passed>('commands', calls), ['send', 'takeReceipts', 'settleReceipts']),
    openInbox(principal, key, holder) {
      guard.demand(principal, 'commands.receive', key);
      const owner: InboxOwner = [principal, key, holder];
      return {
        take: (...args) => guard.inTurn(principal, () => inboxes.take(owner, ...args)),
        settle: (...args) => guard.inTurn(principal, () => inboxes.settle(owner, ...args)),
        close: () => inboxes.close(owner),
      };
    },
    watchReceipts(listener) {
      const entry = { call: listener };
      listeners.add(entry);
      return () => listeners.delete(entry);
    },
    // Time is looked at by the main thread.
    sweep: async () => undefined,
  });
}
