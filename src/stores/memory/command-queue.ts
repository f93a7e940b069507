import {
  end,
  handOver,
  handOverDetail,
  isLeftOver,
  releaseLock,
  sentAgainSteps,
  settle,
  settleTime,
  wantsReceipt,
  withStep,
} from '../../core/commands/lifecycle.ts';
import type { CommandQueue, CommandTotals, EndedCommand } from '../../core/commands/ports.ts';
import type { Command, CommandOutcome, Receipt, TrailEntry } from '../../core/commands/types.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { MemoryIdentityStore } from './identities.ts';

interface Queue {
  readonly target: IdentityKey;
  lastSequence: number;
  /** In order of sequence number; ended ones stay until they are removed. */
  commands: Command[];
  readonly trails: Map<number, readonly TrailEntry[]>;
}

interface KeptReceipt {
  readonly commandSequence: number;
  readonly receipt: Receipt;
  lockToken: string | undefined;
  lockedUntil: number;
}

const isFree = (kept: KeptReceipt, now: number): boolean => kept.lockToken === undefined || kept.lockedUntil <= now;

/** Commands in memory: a real store, for tests and simulation. The caller that deletes an identity calls `forget` as well. */
export function createMemoryCommandQueue(identities: Pick<MemoryIdentityStore, 'peek'>): CommandQueue {
  const listeners = new Set<(ended: readonly EndedCommand[]) => void>();
  /** Those of the call that runs. */
  let endedNow: EndedCommand[] = [];
  const queues = new Map<string, Queue>();
  let receipts: KeptReceipt[] = [];
  let lastReceipt = 0;
  const outcomes: Record<CommandOutcome, number> = {
    completed: 0,
    rejected: 0,
    expired: 0,
    deliveryCountExceeded: 0,
    purged: 0,
  };

  const queueOf = (target: IdentityKey): Queue => {
    const name = identityName(target);
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = { target, lastSequence: 0, commands: [], trails: new Map() };
      queues.set(name, queue);
    }
    return queue;
  };

  const note = (queue: Queue, sequence: number, time: number, step: TrailEntry['step'], detail = ''): void => {
    queue.trails.set(sequence, withStep(queue.trails.get(sequence) ?? [], { time, step, detail }));
  };

  /** Puts the changed command in place, and writes the receipt and the trail that its end asks for. */
  const replace = (queue: Queue, before: Command, after: Command): void => {
    if (after === before) return;
    queue.commands[queue.commands.indexOf(before)] = after;
    if (after.state.kind !== 'ended') return;
    const { outcome, endedTime } = after.state;
    outcomes[outcome]++;
    const { target, sequence, message } = after;
    endedNow.push({ target, sequence, messageId: message.messageId ?? null, outcome, endedTime });
    note(queue, after.sequence, endedTime, outcome);
    if (!wantsReceipt(after.message.ack, outcome)) return;
    receipts.push({
      commandSequence: after.sequence,
      receipt: {
        sequence: ++lastReceipt,
        originalMessageId: after.message.messageId ?? null,
        ...after.target,
        deviceGenerationId: after.generationId,
        enqueuedTime: endedTime,
        outcome,
      },
      lockToken: undefined,
      lockedUntil: 0,
    });
  };

  /** Does what time has done to the queue. */
  const passTime = (queue: Queue, now: number): void => {
    for (const command of [...queue.commands]) {
      const after = settleTime(command, now);
      if (after === command) continue;
      if (command.state.kind === 'locked') note(queue, command.sequence, now, 'lock-ended');
      replace(queue, command, after);
    }
  };

  /** Ends the locks that are meant; how many. */
  const putBack = (queue: Queue, isMeant: (command: Command) => boolean, now: number): number => {
    const meant = queue.commands.filter(isMeant);
    for (const command of meant) {
      note(
        queue,
        command.sequence,
        now,
        'connection-lost',
        command.state.kind === 'locked' ? command.state.holder : '',
      );
      replace(queue, command, releaseLock(command, now));
    }
    return meant.length;
  };

  /** Tells what has ended since the last time. */
  const tellEnded = (): void => {
    const ended = endedNow;
    endedNow = [];
    if (ended.length > 0) for (const listener of listeners) listener(ended);
  };
  /** The same operation, none of which waits for anything, and tells what it has ended. */
  const telling =
    <Args extends readonly unknown[], Value>(operation: (...args: Args) => Value) =>
    (...args: Args): Value => {
      const answer = operation(...args);
      tellEnded();
      return answer;
    };

  const open = (queue: Queue): Command[] => queue.commands.filter((command) => command.state.kind !== 'ended');

  /** Time may have ended some that nobody has looked at yet. */
  const depthOf = (target: IdentityKey, now: number): number =>
    open(queueOf(target)).filter((command) => settleTime(command, now).state.kind !== 'ended').length;
  /** In the trail of the receipt's command, if it is still there. */
  const noteReceipt = (
    { receipt, commandSequence }: KeptReceipt,
    now: number,
    step: TrailEntry['step'],
    detail = '',
  ) => {
    const queue = queueOf(receipt);
    if (queue.trails.has(commandSequence)) note(queue, commandSequence, now, step, detail);
  };

  const operations: CommandQueue = {
    async enqueue({ sentAgain, ...command }, limits, now) {
      if (identities.peek(command.target)?.generationId !== command.generationId) return { kind: 'gone' };
      const queue = queueOf(command.target);
      passTime(queue, now);
      const depth = open(queue).length;
      if (depth >= limits.queueDepthMax) return { kind: 'full', depth };
      const sequence = ++queue.lastSequence;
      queue.commands.push({
        ...command,
        sequence,
        enqueuedTime: now,
        deliveryCount: 0,
        handedOver: 0,
        state: { kind: 'enqueued' },
      });
      const steps = sentAgain === undefined ? undefined : sentAgainSteps(sentAgain, sequence);
      if (steps !== undefined && queue.trails.has(sentAgain!)) note(queue, sentAgain!, now, 'sent-again', steps.dead);
      note(queue, sequence, now, 'enqueued', steps?.again);
      return { kind: 'enqueued', sequence };
    },

    async lockNext(target, generationId, lock, now) {
      const queue = queueOf(target);
      passTime(queue, now);
      const { putsBack } = lock;
      if (putsBack !== undefined) putBack(queue, (command) => isLeftOver(command, lock.holder, putsBack), now);
      const waiting = queue.commands.filter(
        (command) => command.state.kind === 'enqueued' && command.generationId === generationId,
      );
      return waiting.slice(0, lock.tokens.length).map((command, at) => {
        const taken = handOver(command, { token: lock.tokens[at], holder: lock.holder, lockMs: lock.lockMs }, now);
        replace(queue, command, taken);
        note(queue, command.sequence, now, 'handed-over', handOverDetail(taken, lock.holder));
        return taken;
      });
    },

    async settle(target, lockToken, settlement, limits, now) {
      const queue = queueOf(target);
      passTime(queue, now);
      const command = queue.commands.find(
        (entry) => entry.state.kind === 'locked' && entry.state.lockToken === lockToken,
      );
      const after = command === undefined ? undefined : settle(command, lockToken, settlement, limits, now);
      if (command === undefined || after === undefined) return { kind: 'lockLost' };
      if (settlement === 'abandon') note(queue, command.sequence, now, 'abandoned');
      replace(queue, command, after);
      return after.state.kind === 'ended' ? { kind: 'ended', outcome: after.state.outcome } : { kind: 'again' };
    },

    async releaseHolder(target, holder, now) {
      const queue = queueOf(target);
      passTime(queue, now);
      return putBack(queue, ({ state }) => state.kind === 'locked' && state.holder === holder, now);
    },

    async purge(target, now) {
      const queue = queueOf(target);
      passTime(queue, now);
      const waiting = open(queue);
      for (const command of waiting) replace(queue, command, end(command, 'purged', now));
      return waiting.length;
    },

    async forget(target) {
      for (const [name, queue] of queues) {
        if (queue.target.deviceId !== target.deviceId) continue;
        if (target.moduleId === undefined || queue.target.moduleId === target.moduleId) {
          // The next sequence number stays, so that a re-created identity never shows an old one again.
          queues.set(name, { ...queue, commands: [], trails: new Map() });
        }
      }
      receipts = receipts.filter(
        ({ receipt }) =>
          receipt.deviceId !== target.deviceId ||
          (target.moduleId !== undefined && receipt.moduleId !== target.moduleId),
      );
    },

    depth: async (target, now) => depthOf(target, now),
    depths: async (targets, now) => targets.map((target) => depthOf(target, now)),

    async sweep(now, count) {
      const deliverable: IdentityKey[] = [];
      let nextDue: number | undefined;
      for (const queue of queues.values()) {
        if (endedNow.length >= count) return { ended: endedNow.length, deliverable, nextDue: now };
        const lockedBefore = queue.commands.filter((command) => command.state.kind === 'locked').length;
        passTime(queue, now);
        const locked = queue.commands.filter((command) => command.state.kind === 'locked').length;
        const waiting = queue.commands.some((command) => command.state.kind === 'enqueued');
        if (locked < lockedBefore && waiting) deliverable.push(queue.target);
        for (const command of open(queue)) {
          const due = command.state.kind === 'locked' ? command.state.lockedUntil : command.expiresAt;
          if (nextDue === undefined || due < nextDue) nextDue = due;
        }
      }
      const outcome = { ended: endedNow.length, deliverable };
      return nextDue === undefined ? outcome : { ...outcome, nextDue };
    },

    async lockReceipts(request, now) {
      const free = receipts.filter((kept) => isFree(kept, now) && kept.receipt.enqueuedTime > request.endedBefore);
      const taken = free.slice(0, request.count);
      if (taken.length === 0) return undefined;
      if (taken.length < request.count && taken[0].receipt.enqueuedTime > request.notAfter) return undefined;
      const lockedUntil = now + request.lockMs;
      for (const kept of taken) {
        kept.lockToken = request.lockToken;
        kept.lockedUntil = lockedUntil;
        noteReceipt(kept, now, 'receipt-handed-over', request.reader);
      }
      return { lockToken: request.lockToken, lockedUntil, receipts: taken.map((kept) => kept.receipt) };
    },

    async settleReceipts(lockToken, settlement, now) {
      const held = receipts.filter((kept) => kept.lockToken === lockToken && kept.lockedUntil > now);
      if (held.length === 0) return false;
      if (settlement === 'complete') {
        receipts = receipts.filter((kept) => !held.includes(kept));
        for (const kept of held) noteReceipt(kept, now, 'receipt-read');
      }
      for (const kept of held) kept.lockToken = undefined;
      return true;
    },

    async dropReceipts(endedBefore, count, now) {
      const over = receipts.filter((kept) => isFree(kept, now) && kept.receipt.enqueuedTime <= endedBefore);
      const dropped = new Set(over.slice(0, count));
      receipts = receipts.filter((kept) => !dropped.has(kept));
      return dropped.size;
    },

    async deadLetters(target, limit) {
      return queueOf(target)
        .commands.filter((command) => command.state.kind === 'ended' && command.state.outcome !== 'completed')
        .reverse()
        .slice(0, limit);
    },

    async removeEnded(before, count) {
      let removed = 0;
      for (const queue of queues.values()) {
        queue.commands = queue.commands.filter((command) => {
          const old = command.state.kind === 'ended' && command.state.endedTime < before && removed < count;
          if (!old) return true;
          removed++;
          queue.trails.delete(command.sequence);
          return false;
        });
      }
      return removed;
    },

    async find(target, by) {
      const { commands } = queueOf(target);
      if ('newest' in by) return [...commands].sort((a, b) => b.sequence - a.sequence).slice(0, by.newest);
      return commands
        .filter((command) =>
          'sequence' in by ? command.sequence === by.sequence : command.message.messageId === by.messageId,
        )
        .reverse();
    },

    async trail(target, sequence) {
      return queueOf(target).trails.get(sequence) ?? [];
    },

    watch(listener) {
      const own = (ended: readonly EndedCommand[]): void => listener(ended);
      listeners.add(own);
      return () => listeners.delete(own);
    },

    async totals() {
      const all = [...queues.values()].flatMap(open);
      const waiting = all.filter((command) => command.state.kind === 'enqueued');
      const totals: CommandTotals = {
        waiting: waiting.length,
        locked: all.length - waiting.length,
        receipts: receipts.length,
        outcomes: { ...outcomes },
      };
      if (waiting.length === 0) return totals;
      return { ...totals, oldestEnqueuedTime: Math.min(...waiting.map((command) => command.enqueuedTime)) };
    },
  };
  return {
    ...operations,
    enqueue: telling(operations.enqueue),
    lockNext: telling(operations.lockNext),
    settle: telling(operations.settle),
    releaseHolder: telling(operations.releaseHolder),
    purge: telling(operations.purge),
    sweep: telling(operations.sweep),
  };
}
