/**
 * Tells the spans of commands. A command's steps are in its trail, so nothing is kept while it waits: when it has ended, and
 * when its receipt has been read, the trail is read once. That takes the store's time, so it is bounded: what is too much at
 * a time is dropped and counted, and the command itself does not wait for it.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Random, uuid } from '../../base/random.ts';
import type { CommandQueue } from '../commands/ports.ts';
import type { Commands } from '../commands/room.ts';
import type { CommandMessage, Receipt } from '../commands/types.ts';
import { HubError } from '../errors.ts';
import type { Guarded } from '../identity/guard.ts';
import type { IdentityKey } from '../identity/types.ts';
import { commandSpans, receiptSpans, refusedCommandSpan } from './command-spans.ts';
import type { Span } from './spans.ts';
import { idOf } from './trace-context.ts';
import type { MonitoringEvent } from './types.ts';

/** Hears of commands. Nothing of it throws or is waited for. */
export interface CommandFollower {
  refused(target: IdentityKey, message: CommandMessage, error: HubError): void;
  completed(target: IdentityKey, sequence: number): void;
  /** So many as one step, at `time` or later. */
  purged(target: IdentityKey, count: number, time: number): void;
  receiptRead(receipt: Receipt): void;
  /** To be called with every event of the monitor: it tells of the commands that end in another way. */
  observe(event: MonitoringEvent): void;
  /** Resolves when what was waiting has been told; nothing is taken from now on. */
  close(): Promise<void>;
}

export interface FollowerParts {
  readonly queue: Pick<CommandQueue, 'find' | 'trail' | 'deadLetters'>;
  readonly hubName: string;
  /** One command of so many, 1 or more. Which, follows from the command. */
  readonly sample: number;
  readonly clock: Clock;
  readonly random: Random;
  tell(span: Span): void;
  /** A command that cannot be told: too many, or its trail could not be read. */
  dropped(): void;
}

export function createCommandFollower(parts: FollowerParts): CommandFollower {
  const { queue, hubName, sample, clock } = parts;
  const waiting: (() => Promise<readonly Span[]>)[] = [];
  let reading = 0;
  let isClosed = false;
  let whenIdle: () => void = () => {};

  const isDue = (name: string): boolean => sample === 1 || BigInt(`0x${idOf(name, 8)}`) % BigInt(sample) === 0n;
  const isWanted = ({ deviceId, moduleId = '' }: IdentityKey, sequence: number): boolean =>
    isDue(JSON.stringify([deviceId, moduleId, sequence]));

  const soon = (spans: () => Promise<readonly Span[]>): void => {
    if (isClosed || waiting.length >= limits.spanTrailsPendingMax) parts.dropped();
    else {
      waiting.push(spans);
      next();
    }
  };
  const next = (): void => {
    if (reading >= limits.spanTrailsReadMax) return;
    const spans = waiting.shift();
    if (spans === undefined) {
      if (reading === 0) whenIdle();
      return;
    }
    reading++;
    spans()
      .then(
        (found) => {
          for (const span of found) parts.tell(span);
        },
        () => parts.dropped(),
      )
      .finally(() => {
        reading--;
        next();
      });
  };

  const ended = (key: IdentityKey, sequence: number): void => {
    const target = keyOf(key);
    if (!isWanted(target, sequence)) return;
    soon(async () => {
      const [command] = await queue.find(target, { sequence });
      // Its identity is gone, and its trail with it.
      return command === undefined ? [] : commandSpans(hubName, command, await queue.trail(target, sequence));
    });
  };

  return {
    refused(target, message, error) {
      const id = uuid(parts.random);
      if (isDue(id)) parts.tell(refusedCommandSpan(id, target, message, error, clock.now()));
    },
    completed: ended,
    purged(key, count, time) {
      const target = keyOf(key);
      soon(async () => {
        const dead = await queue.deadLetters(target, count);
        const purged = dead.filter(
          ({ state, sequence }) =>
            state.kind === 'ended' &&
            state.outcome === 'purged' &&
            state.endedTime >= time &&
            isWanted(target, sequence),
        );
        const all = purged.map(async (command) =>
          commandSpans(hubName, command, await queue.trail(target, command.sequence)),
        );
        return (await Promise.all(all)).flat();
      });
    },
    receiptRead({ originalMessageId, enqueuedTime, ...key }) {
      // A receipt names its command by the message id alone.
      if (originalMessageId === null) return;
      const target = keyOf(key);
      soon(async () => {
        const found = await queue.find(target, { messageId: originalMessageId });
        const command = found.find(({ state }) => state.kind === 'ended' && state.endedTime === enqueuedTime);
        if (command === undefined || !isWanted(target, command.sequence)) return [];
        return receiptSpans(hubName, command, await queue.trail(target, command.sequence));
      });
    },
    observe(event) {
      if (event.type !== 'commandExpired' && event.type !== 'commandRejected' && event.type !== 'commandGivenUp')
        return;
      const { deviceId, moduleId, command } = event;
      if (deviceId === undefined || command === undefined) return;
      ended({ deviceId, ...(moduleId !== undefined && { moduleId }) }, command);
    },
    async close() {
      isClosed = true;
      await new Promise<void>((resolve) => {
        whenIdle = resolve;
        next();
      });
    },
  };
}

/** Only the two fields that name an identity: what is given may carry more. */
const keyOf = ({ deviceId, moduleId }: IdentityKey): IdentityKey =>
  moduleId === undefined ? { deviceId } : { deviceId, moduleId };

/** The same room, whose commands are followed. */
export function followedCommands<Room extends Guarded<Commands>>(
  commands: Room,
  follower: CommandFollower,
  clock: Clock,
): Room {
  /** The answer to a settlement does not name the command. The oldest leave first. */
  const locks = new Map<string, number>();
  const batches = new Map<string, readonly Receipt[]>();
  return {
    ...commands,
    async send(principal, target, message) {
      try {
        return await commands.send(principal, target, message);
      } catch (error) {
        if (error instanceof HubError) follower.refused(target, message, error);
        throw error;
      }
    },
    async purge(principal, target) {
      const time = clock.now();
      const count = await commands.purge(principal, target);
      if (count > 0) follower.purged(target, count, time);
      return count;
    },
    openInbox(principal, key, holder) {
      const inbox = commands.openInbox(principal, key, holder);
      return {
        ...inbox,
        async take(count, how) {
          const taken = await inbox.take(count, how);
          for (const { state, sequence } of taken) {
            if (state.kind === 'locked') remember(locks, state.lockToken, sequence, limits.spanLocksMax);
          }
          return taken;
        },
        async settle(lockToken, settlement) {
          await inbox.settle(lockToken, settlement);
          const sequence = locks.get(lockToken);
          locks.delete(lockToken);
          if (settlement === 'complete' && sequence !== undefined) follower.completed(key, sequence);
        },
      };
    },
    async takeReceipts(principal) {
      const batch = await commands.takeReceipts(principal);
      if (batch !== undefined) remember(batches, batch.lockToken, batch.receipts, limits.spanReceiptBatchesMax);
      return batch;
    },
    async settleReceipts(principal, lockToken, settlement) {
      const isSettled = await commands.settleReceipts(principal, lockToken, settlement);
      const receipts = batches.get(lockToken) ?? [];
      batches.delete(lockToken);
      if (isSettled && settlement === 'complete') for (const receipt of receipts) follower.receiptRead(receipt);
      return isSettled;
    },
  };
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value, countMax: number): void {
  map.set(key, value);
  if (map.size > countMax) map.delete(map.keys().next().value as string);
}
