/** Commands in JSON and in headers <-> values of core. */

import type { z } from 'zod';
import {
  type CommandJson,
  type commandDraftSchema,
  type ReceiptWishName,
  receiptWishes,
  type TrackedCommand,
} from '../../api/commands.ts';
import { limits } from '../../base/limits.ts';
import { utcTime } from '../../base/utc-time.ts';
import type { Command, CommandMessage, TrailEntry } from '../../core/commands/types.ts';
import { HubError } from '../../core/errors.ts';
import { sameIdentity } from '../../core/identity/permissions.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { readCommandAddress } from '../shared/command-address.ts';
import { headerPairs, messageHeaders } from './message-headers.ts';

/** @param now UTC milliseconds, from which a time-to-live counts. */
export function commandMessage(draft: z.output<typeof commandDraftSchema>, now: number): CommandMessage {
  const { messageId, correlationId, userId, contentType, contentEncoding, ttlSeconds, expiryTimeUtc } = draft;
  const isJson = draft.bodyJson !== undefined;
  const expiry = ttlSeconds === undefined ? expiryTimeUtc && utcTime(expiryTimeUtc) : now + ttlSeconds * 1000;
  return {
    ...(messageId === undefined ? {} : { messageId }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(userId === undefined ? {} : { userId }),
    ...(contentType === undefined ? (isJson ? { contentType: 'application/json' } : {}) : { contentType }),
    ...(contentEncoding === undefined ? (isJson ? { contentEncoding: 'utf-8' } : {}) : { contentEncoding }),
    ...(typeof expiry === 'number' ? { expiry: Math.ceil(expiry) } : {}),
    ack: draft.ack ?? 'none',
    properties: Object.entries(draft.properties ?? {}),
    body: bodyOf(draft),
  };
}

function bodyOf({ bodyText, bodyBase64, bodyJson }: z.output<typeof commandDraftSchema>): Buffer {
  if (bodyBase64 !== undefined) return Buffer.from(bodyBase64, 'base64');
  return Buffer.from(bodyJson === undefined ? (bodyText ?? '') : JSON.stringify(bodyJson));
}

/**
 * A command as `POST /messages/devicebound` carries it: `iothub-to` names the device, other headers the properties
 * (service reference 4.5).
 * @param named the device where the path names it; `iothub-to` may be absent then, and must not name another
 * @throws HubError ArgumentNull, ArgumentInvalid, InvalidOperation
 */
export function commandFromHeaders(
  rawHeaders: readonly string[],
  body: Buffer,
  named?: IdentityKey,
): { readonly target: IdentityKey; readonly message: CommandMessage } {
  const { system, properties } = messageHeaders(headerPairs(rawHeaders));
  const to = system.get('to');
  if (to === undefined && named === undefined) throw new HubError('ArgumentNull', 'The header iothub-to is missing.');
  const target = to === undefined ? named : readCommandAddress(to);
  if (target === undefined) {
    throw new HubError('InvalidOperation', 'The header iothub-to is not /devices/{id}/messages/devicebound.');
  }
  if (named !== undefined && !sameIdentity(named, target)) {
    throw new HubError('InvalidOperation', 'The header iothub-to names another device than the path.');
  }
  const [messageId, correlationId, userId, contentType, contentEncoding] = [
    'messageid',
    'correlationid',
    'userid',
    'contenttype',
    'contentencoding',
  ].map((name) => system.get(name));
  const expiry = expiryOf(system.get('expiry'));
  return {
    target,
    message: {
      ...(messageId === undefined ? {} : { messageId }),
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(userId === undefined ? {} : { userId }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(contentEncoding === undefined ? {} : { contentEncoding }),
      ...(expiry === undefined ? {} : { expiry }),
      ack: ackOf(system.get('ack')),
      properties,
      body,
    },
  };
}

function expiryOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const time = utcTime(text);
  if (Number.isNaN(time)) throw new HubError('ArgumentInvalid', 'The header iothub-expiry is not a time.');
  return time;
}

function ackOf(text: string | undefined): ReceiptWishName {
  const found = receiptWishes.find((wish) => wish === (text ?? 'none').toLowerCase());
  if (found !== undefined) return found;
  throw new HubError('ArgumentInvalid', `The header iothub-ack is none of ${receiptWishes.join(', ')}.`);
}

export function commandJson(command: Command): CommandJson {
  const { target, message, state } = command;
  return {
    ...target,
    sequence: command.sequence,
    messageId: message.messageId ?? null,
    ...(message.correlationId === undefined ? {} : { correlationId: message.correlationId }),
    ...(message.userId === undefined ? {} : { userId: message.userId }),
    ...(message.contentType === undefined ? {} : { contentType: message.contentType }),
    ...(message.contentEncoding === undefined ? {} : { contentEncoding: message.contentEncoding }),
    ack: message.ack,
    properties: Object.fromEntries(message.properties),
    bodyBase64: Buffer.from(message.body).toString('base64'),
    enqueuedTimeUtc: isoTime(command.enqueuedTime),
    expiryTimeUtc: isoTime(command.expiresAt),
    deliveryCount: command.deliveryCount,
    handedOver: command.handedOver,
    state: state.kind,
    // Never the lock's token: who holds it may settle the command.
    ...(state.kind === 'locked' ? { lockedUntilUtc: isoTime(state.lockedUntil) } : {}),
    ...(state.kind === 'ended' ? { outcome: state.outcome, endedTimeUtc: isoTime(state.endedTime) } : {}),
  };
}

export function trackedCommandJson(command: Command, trail: readonly TrailEntry[]): TrackedCommand {
  return {
    ...commandJson(command),
    trail: trail.map(({ time, step, detail }) => ({ time: isoTime(time), step, detail })),
  };
}

/** The first of `items`, as many as an answer may hold; always the first one. */
export function withinAnswer<T extends CommandJson>(
  items: readonly T[],
): { readonly commands: readonly T[]; readonly isComplete: boolean } {
  let bytes = 0;
  const cut = items.findIndex((item, at) => {
    bytes += Buffer.byteLength(JSON.stringify(item));
    return at > 0 && bytes > limits.commandListBytesMax;
  });
  return cut === -1 ? { commands: items, isComplete: true } : { commands: items.slice(0, cut), isComplete: false };
}

const isoTime = (time: number): string => new Date(time).toISOString();
