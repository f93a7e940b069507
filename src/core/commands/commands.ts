import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Random, uuid } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import { identityName } from '../identity/permissions.ts';
import type { Identity, IdentityKey, Principal } from '../identity/types.ts';
import { commandCalls } from './calls.ts';
import type { CommandQueue, SettleOutcome } from './ports.ts';
import { ReceiptTurns } from './receipt-turns.ts';
import type { CommandKeeping, Commands } from './room.ts';
import { admitCommand } from './rules.ts';
import type { CommandLimits, CommandMessage } from './types.ts';

/** What is asked of an identity before a command is put into its queue. */
type Receiver = Pick<Identity, 'generationId' | 'status'>;

interface Identities {
  get(key: IdentityKey): Promise<Receiver | undefined>;
}

export interface CommandsParts {
  readonly guard: Guard;
  readonly queue: CommandQueue;
  readonly identities: Identities;
  readonly limits: CommandLimits;
  readonly commandBytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Something waits for that identity: its connection, if it has one, is to look. */
  wake(target: IdentityKey): void;
}

export function createCommands(parts: CommandsParts): Guarded<Commands & CommandKeeping> {
  const { queue, clock, random } = parts;
  const receiptTurns = new ReceiptTurns();
  const receiptListeners = new Set<() => void>();
  const receiptsMayWait = (): void => {
    for (const listener of receiptListeners) listener();
  };
  queue.watch(receiptsMayWait);

  async function send(
    target: IdentityKey,
    message: CommandMessage,
    sentAgain?: number,
  ): Promise<{ readonly sequence: number }> {
    const identity = await receiver(parts.identities, target);
    const now = clock.now();
    const expiresAt = admitCommand(message, parts.limits, parts.commandBytesMax, now);
    const outcome = await queue.enqueue(
      {
        target: keyOf(target),
        generationId: identity.generationId,
        message,
        expiresAt,
        ...(sentAgain !== undefined && { sentAgain }),
      },
      parts.limits,
      now,
    );
    if (outcome.kind === 'gone') throw notThere(target);
    if (outcome.kind === 'full') {
      throw new HubError('DeviceMaximumQueueDepthExceeded', undefined, {
        limit: {
          name: 'commandQueueDepthMax',
          scope: target.moduleId === undefined ? `device ${target.deviceId}` : `module ${identityName(target)}`,
          current: outcome.depth,
          max: parts.limits.queueDepthMax,
        },
      });
    }
    parts.wake(target);
    return { sequence: outcome.sequence };
  }

  const room: Commands & CommandKeeping = {
    send: (_principal, target, message) => send(target, message),

    async purge(_principal, target) {
      await existing(parts.identities, target);
      return queue.purge(keyOf(target), clock.now());
    },

    depths: (targets) => queue.depths(targets, clock.now()),

    openInbox(principal, key, holder) {
      const target = keyOf(key);
      return {
        async take(count, { lockMs = parts.limits.lockMs, putsBack } = {}) {
          const generationId = await generationOf(parts.identities, principal, target);
          const tokens = Array.from({ length: Math.min(count, limits.commandsInflightMax) }, () => uuid(random));
          const lock = {
            ...{ tokens, holder, lockMs: Math.min(lockMs, parts.limits.lockMs) },
            ...(putsBack !== undefined && { putsBack }),
          };
          return queue.lockNext(target, generationId, lock, clock.now());
        },
        async settle(lockToken, settlement) {
          const outcome = await queue.settle(target, lockToken, settlement, parts.limits, clock.now());
          afterSettlement(outcome, target);
        },
        async close() {
          if (holder === '') return;
          if ((await queue.releaseHolder(target, holder, clock.now())) > 0) parts.wake(target);
        },
      };
    },

    async takeReceipts(principal) {
      return receiptTurns.take(() => {
        const now = clock.now();
        return queue.lockReceipts(
          {
            lockToken: uuid(random),
            reader: principal.kind === 'policy' ? `policy ${principal.policyName}` : '',
            count: parts.limits.receiptBatchMax,
            lockMs: parts.limits.receiptLockMs,
            notAfter: now - parts.limits.receiptBatchMs,
            endedBefore: now - parts.limits.receiptTimeToLiveMs,
          },
          now,
        );
      });
    },

    async settleReceipts(_principal, lockToken, settlement) {
      const settled = await queue.settleReceipts(lockToken, settlement, clock.now());
      if (settled && settlement === 'abandon') receiptsMayWait();
      return settled;
    },

    watchReceipts(listener) {
      receiptListeners.add(listener);
      return () => receiptListeners.delete(listener);
    },

    async deadLetters(_principal, target) {
      return queue.deadLetters(keyOf(target), limits.listPageMax);
    },

    async sendAgain(_principal, target, sequence) {
      const [dead] = await queue.find(keyOf(target), { sequence });
      if (dead === undefined || dead.state.kind !== 'ended' || dead.state.outcome === 'completed') {
        throw new HubError('ArgumentInvalid', `Command ${sequence} of ${target.deviceId} is not a dead letter.`);
      }
      const { expiry: _over, ...message } = dead.message;
      return send(target, message, sequence);
    },

    async trail(_principal, target, by) {
      const found = await queue.find(keyOf(target), by);
      return Promise.all(
        found.map(async (command) => ({ command, trail: await queue.trail(keyOf(target), command.sequence) })),
      );
    },

    totals: () => queue.totals(clock.now()),

    async sweep() {
      const now = clock.now();
      const outcome = await queue.sweep(now, limits.sweepCommandsMax);
      for (const target of outcome.deliverable) parts.wake(target);
      const removed = await queue.removeEnded(now - parts.limits.deadLetterMs, limits.sweepCommandsMax);
      const dropped = await queue.dropReceipts(now - parts.limits.receiptTimeToLiveMs, limits.sweepCommandsMax, now);
      const most = Math.max(outcome.ended, removed, dropped);
      return most >= limits.sweepCommandsMax ? now : outcome.nextDue;
    },
  };
  return parts.guard.room(room, commandCalls);

  function afterSettlement({ kind }: SettleOutcome, target: IdentityKey): void {
    if (kind === 'lockLost') throw new HubError('DeviceMessageLockLost');
    if (kind === 'again') parts.wake(target);
  }
}

/** Only the two fields that name an identity: a caller's object may carry more. */
function keyOf(key: IdentityKey): IdentityKey {
  return key.moduleId === undefined ? { deviceId: key.deviceId } : { deviceId: key.deviceId, moduleId: key.moduleId };
}

async function existing(identities: Identities, target: IdentityKey): Promise<Receiver> {
  const identity = await identities.get(target);
  if (identity !== undefined) return identity;
  throw notThere(target);
}

function notThere({ deviceId, moduleId }: IdentityKey): HubError {
  return moduleId === undefined
    ? new HubError('DeviceNotFound', `There is no device ${deviceId}.`)
    : new HubError('ModuleNotFound', `There is no module ${moduleId} of device ${deviceId}.`);
}

async function receiver(identities: Identities, target: IdentityKey): Promise<Receiver> {
  const identity = await existing(identities, target);
  const device = target.moduleId === undefined ? identity : await existing(identities, { deviceId: target.deviceId });
  if (device.status === 'disabled') throw new HubError('DeviceDisabled', `The device ${target.deviceId} is disabled.`);
  return identity;
}

async function generationOf(identities: Identities, principal: Principal, target: IdentityKey): Promise<string> {
  return principal.kind === 'device' ? principal.generationId : (await existing(identities, target)).generationId;
}
