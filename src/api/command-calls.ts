/** Calls about commands: sending, following, dead letters, receipts. */
import { z } from 'zod';
import {
  type CommandDraft,
  type DeadLetters,
  deadLettersSchema,
  type PurgeResult,
  purgeResultSchema,
  type ReceiptJson,
  receiptsSchema,
  type SentCommand,
  sentCommandSchema,
  type TrackedCommands,
  trackedCommandsSchema,
} from './commands.ts';
import { type ApiTransport, exchange } from './exchange.ts';

/** Whom a command is for. */
export interface CommandTarget {
  readonly deviceId: string;
  readonly moduleId?: string;
}

/** Receipts under a lock: settle them with its token before it ends (60 s), or another reader gets them. */
export interface ReceiptBatchJson {
  readonly lockToken: string;
  readonly receipts: readonly ReceiptJson[];
}

export interface CommandCalls {
  /** Resolves when the command is stored. */
  send(target: CommandTarget, draft: CommandDraft): Promise<SentCommand>;
  /** Ends all that waits as `purged`. */
  purge(target: CommandTarget): Promise<PurgeResult>;
  /** Commands of that message id or sequence number, or the newest ones, with every step they took, newest first. */
  find(
    target: CommandTarget,
    by: { readonly messageId: string } | { readonly sequence: number } | { readonly top: number },
  ): Promise<TrackedCommands>;
  /** Commands that ended otherwise than completed, newest first; `top` is 100 unless told. */
  deadLetters(target: CommandTarget, options?: { readonly top?: number }): Promise<DeadLetters>;
  sendAgain(target: CommandTarget, sequence: number): Promise<SentCommand>;
  /** Undefined: no receipts to be had now. The hub waits up to 15 s for a batch to fill. */
  takeReceipts(): Promise<ReceiptBatchJson | undefined>;
  completeReceipts(lockToken: string): Promise<void>;
  abandonReceipts(lockToken: string): Promise<void>;
}

export function commandCalls(transport: ApiTransport): CommandCalls {
  const identity = ({ deviceId, moduleId }: CommandTarget): string => {
    const device = `/devices/${encodeURIComponent(deviceId)}`;
    return moduleId === undefined ? device : `${device}/modules/${encodeURIComponent(moduleId)}`;
  };
  const own = (target: CommandTarget): string => `/mooring/v1${identity(target)}`;
  const feedback = '/messages/serviceBound/feedback';
  const none = z.unknown();
  return {
    send: async (target, draft) =>
      (await exchange(transport, sentCommandSchema, 'POST', `${own(target)}/commands`, { body: draft })).data,
    purge: async (target) =>
      (await exchange(transport, purgeResultSchema, 'DELETE', `${identity(target)}/commands`)).data,
    find: async (target, by) => {
      const query: Record<string, string> =
        'messageId' in by
          ? { messageId: by.messageId }
          : 'sequence' in by
            ? { sequence: String(by.sequence) }
            : { top: String(by.top) };
      return (await exchange(transport, trackedCommandsSchema, 'GET', `${own(target)}/commands`, { query })).data;
    },
    deadLetters: async (target, { top } = {}) => {
      const query: Record<string, string> = top === undefined ? {} : { top: String(top) };
      return (await exchange(transport, deadLettersSchema, 'GET', `${own(target)}/dead-letters`, { query })).data;
    },
    sendAgain: async (target, sequence) => {
      const path = `${own(target)}/dead-letters/${sequence}/send-again`;
      return (await exchange(transport, sentCommandSchema, 'POST', path)).data;
    },
    takeReceipts: async () => {
      const { data, headers } = await exchange(transport, receiptsSchema.optional(), 'GET', feedback);
      return data && { lockToken: (headers.etag ?? '').replaceAll('"', ''), receipts: data };
    },
    completeReceipts: async (lockToken) =>
      void (await exchange(transport, none, 'DELETE', `${feedback}/${encodeURIComponent(lockToken)}`)),
    abandonReceipts: async (lockToken) =>
      void (await exchange(transport, none, 'POST', `${feedback}/${encodeURIComponent(lockToken)}/abandon`)),
  };
}
