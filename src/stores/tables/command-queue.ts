import type { CommandQueue, EndedCommand } from '../../core/commands/ports.ts';
import type { CommandOutcome } from '../../core/commands/types.ts';
import type { Ended } from './commands.ts';
import type { OperationArgs, OperationName, OperationResult } from './operations.ts';

/** Carries an operation out in a transaction, and answers when it is durable. */
export type CallOperation = <Name extends OperationName>(
  name: Name,
  ...args: OperationArgs<Name>
) => Promise<OperationResult<Name>>;

/**
 * The queue over the tables, wherever they are. Outcomes are counted here, as they are answered, from zero at each open:
 * a stored counter would be a row that every commit of every node fights for, and Prometheus expects the restart.
 */
export function createTableCommandQueue(call: CallOperation): CommandQueue {
  const outcomes: Record<CommandOutcome, number> = {
    completed: 0,
    rejected: 0,
    expired: 0,
    deliveryCountExceeded: 0,
    purged: 0,
  };
  const listeners = new Set<(ended: readonly EndedCommand[]) => void>();
  const counted = async <Value>(answer: Promise<Ended<Value>>): Promise<Value> => {
    const { value, ended } = await answer;
    for (const { outcome } of ended) outcomes[outcome]++;
    if (ended.length > 0) for (const listener of listeners) listener(ended);
    return value;
  };
  return {
    enqueue({ message, ...command }, limits, now) {
      // A view into a larger buffer would cross to another thread with all of it.
      const sent = { ...command, message: { ...message, body: new Uint8Array(message.body) } };
      return counted(call('commands.enqueue', sent, limits, now));
    },
    lockNext: async (target, generationId, lock, now) =>
      lock.tokens.length === 0 ? [] : counted(call('commands.lockNext', target, generationId, lock, now)),
    settle: (target, lockToken, settlement, limits, now) =>
      counted(call('commands.settle', target, lockToken, settlement, limits, now)),
    releaseHolder: (target, holder, now) => counted(call('commands.releaseHolder', target, holder, now)),
    purge: (target, now) => counted(call('commands.purge', target, now)),
    forget: (target) => call('commands.forget', target),
    depth: async (target, now) => (await call('commands.depths', [target], now))[0],
    depths: (targets, now) => call('commands.depths', targets, now),
    sweep: (now, count) => counted(call('commands.sweep', now, count)),
    lockReceipts: (request, now) => call('receipts.lock', request, now),
    settleReceipts: (lockToken, settlement, now) => call('receipts.settle', lockToken, settlement, now),
    dropReceipts: (endedBefore, count, now) => call('receipts.drop', endedBefore, count, now),
    deadLetters: (target, limit) => call('commands.dead', target, limit),
    removeEnded: (before, count) => call('commands.removeEnded', before, count),
    find: (target, by) => call('commands.find', target, by),
    trail: (target, sequence) => call('commands.trail', target, sequence),
    watch(listener) {
      const own = (ended: readonly EndedCommand[]): void => listener(ended);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    totals: async () => ({ ...(await call('commands.sums')), outcomes: { ...outcomes } }),
  };
}
