import { HubError } from '../errors.ts';
import type { Sheet } from '../identity/guard.ts';
import type { CommandKeeping, Commands } from './room.ts';

/** How the calls of commands are asked for. */
export const commandCalls: Sheet<Commands & CommandKeeping> = {
  send: { operation: 'commands.send', target: (target) => target },
  purge: { operation: 'commands.purge', target: (target) => target },
  deadLetters: { operation: 'commands.read', target: (target) => target },
  sendAgain: { operation: 'commands.send', target: (target) => target },
  trail: { operation: 'commands.read', target: (target) => target },
  takeReceipts: { operation: 'feedback.receive' },
  settleReceipts: (room, guard) => async (principal, lockToken, settlement) => {
    const operation = 'feedback.settle';
    const work = () => room.settleReceipts(principal, lockToken, settlement);
    const settled = await guard.run(principal, operation, undefined, work);
    // Its door answers this refusal.
    if (!settled) guard.refused({ operation, principal }, new HubError('DeviceMessageLockLost'));
    return settled;
  },
  // The right is checked with each command that is handed out: a proof may have ended meanwhile.
  openInbox: (room, guard) => (principal, key, holder) => {
    const operation = 'commands.receive';
    const inbox = guard.runNow(principal, operation, key, () => room.openInbox(principal, key, holder));
    return {
      take: (count, how) => guard.run(principal, operation, key, () => inbox.take(count, how)),
      // What was taken by right may be settled, also after the proof has ended.
      async settle(lockToken, settlement) {
        try {
          await guard.inTurn(principal, () => inbox.settle(lockToken, settlement));
        } catch (error) {
          guard.refused({ operation: 'commands.settle', principal, target: key }, error);
          throw error;
        }
      },
      close: () => inbox.close(),
    };
  },
  // No client reaches these.
  depths: (room) => room.depths,
  totals: (room) => room.totals,
  sweep: (room) => room.sweep,
  // Says that something may have changed, and not what.
  watchReceipts: (room) => room.watchReceipts,
};
