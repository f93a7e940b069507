/** What the parts of the command queue's contract share: a fresh queue for each sentence, and what is sent through it. */
import { test } from 'node:test';
import type { CommandQueue, NewCommand } from '../../core/commands/ports.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import type { CommandMessage } from '../../core/commands/types.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { exampleIdentity } from './identities.ts';

export interface OpenedQueue {
  readonly queue: CommandQueue;
  /** Those that the queue looks at; a deletion takes the identity's commands along. */
  readonly identities: IdentityStore;
  close(): Promise<void>;
  /** Closes and opens again what is stored; absent where nothing outlives the process. */
  reopen?(): Promise<CommandQueue>;
}

/** States a sentence of the contract as a test, with a queue of its own in which everybody exists in generation `g1`. */
export type QueueCheck = (sentence: string, body: (queue: CommandQueue, opened: OpenedQueue) => Promise<void>) => void;

export const limits = { ...defaultCommandLimits, queueDepthMax: 5, deliveryCountMax: 2 };
export const d1: IdentityKey = { deviceId: 'd1' };
export const m1: IdentityKey = { deviceId: 'd1', moduleId: 'm1' };
/** When it all begins. */
export const T0 = Date.UTC(2026, 0, 1);

const everybody: readonly IdentityKey[] = [
  ...[d1, m1, { deviceId: 'd2' }, { deviceId: 'done' }, { deviceId: 'refused' }],
];

export function queueChecks(name: string, open: () => Promise<OpenedQueue>): QueueCheck {
  return (sentence, body) => {
    test(`${name}: ${sentence}`, async () => {
      const opened = await open();
      try {
        await admitIdentities(opened.identities, everybody);
        await body(opened.queue, opened);
      } finally {
        await opened.close();
      }
    });
  };
}

export function newCommand(
  messageId: string,
  change: Partial<NewCommand> & { ack?: CommandMessage['ack'] } = {},
): NewCommand {
  const { ack = 'full', ...others } = change;
  return {
    target: d1,
    generationId: 'g1',
    message: { messageId, ack, properties: [['a', 'b']], body: Buffer.from(`body of ${messageId}`) },
    expiresAt: T0 + 3_600_000,
    ...others,
  };
}

/** Creates identities, so that commands can be sent to them. Those that exist stay as they are. */
export async function admitIdentities(
  identities: Pick<IdentityStore, 'write'>,
  keys: readonly IdentityKey[],
  generationId = 'g1',
): Promise<void> {
  await identities.write(
    keys.map((key) => ({ kind: 'create', identity: exampleIdentity(key, { generationId }), countMax: 1000 })),
  );
}

/** Asks for as many commands as there are tokens. */
export const lock = (tokens: readonly string[], holder = 'c1') => ({ tokens, holder, lockMs: limits.lockMs });

/** Every receipt that waits, as message id and outcome; they are locked then. */
export async function allReceipts(queue: CommandQueue, now: number) {
  const batch = await queue.lockReceipts(
    { lockToken: 'r', count: 1000, lockMs: 1000, notAfter: now, reader: 'policy p', endedBefore: 0 },
    now,
  );
  return (batch?.receipts ?? []).map((receipt) => [receipt.originalMessageId, receipt.outcome]);
}
