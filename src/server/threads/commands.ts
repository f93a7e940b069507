import type { Log } from '../../base/log.ts';
import type { CommandKeeping, Commands, Inbox } from '../../core/commands/commands.ts';
import { type Guard, type Guarded, guardedElsewhere } from '../../core/identity/guard.ts';
import type { IdentityKey, Principal } from '../../core/identity/types.ts';
import type { EveryCall, ThreadLink } from './calls.ts';

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

/** Lets a listener thread use `commands`. The returned function ends it: what the thread's connections hold is put back. */
export function serveCommands(link: ThreadLink, commands: Guarded<Commands & CommandKeeping>, log: Log): () => void {
  const inboxes = new Map<string, Inbox>();
  const inboxOf = ([principal, key, holder]: InboxOwner): Inbox => {
    // Rights are looked at anew: a token may have been renewed since.
    const inbox = commands.openInbox(principal, key, holder);
    if (holder !== '') inboxes.set(holder, inbox);
    return inbox;
  };
  link.serve('commands', commands);
  link.serve('inboxes', {
    take: (owner, ...args) => inboxOf(owner).take(...args),
    settle: (owner, ...args) => inboxOf(owner).settle(...args),
    async close(owner) {
      const holder = owner[2];
      const inbox = inboxes.get(holder) ?? inboxOf(owner);
      inboxes.delete(holder);
      await inbox.close();
    },
  } satisfies InboxCalls);
  const unwatch = commands.watchReceipts(() => link.tell('receipts', undefined));
  return () => {
    unwatch();
    for (const inbox of inboxes.values()) {
      inbox.close().catch((error: unknown) => log.error({ error }, 'commands of a lost connection are not put back'));
    }
    inboxes.clear();
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
    ...link.remote<Passed>('commands', calls),
    openInbox(principal, key, holder) {
      guard.demand(principal, 'commands.receive', key);
      const owner: InboxOwner = [principal, key, holder];
      return {
        take: (...args) => inboxes.take(owner, ...args),
        settle: (...args) => inboxes.settle(owner, ...args),
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
