/** Commands, their messages and trails as rows, and back. */
import type {
  Command,
  CommandHead,
  CommandMessage,
  CommandState,
  ReceiptWish,
  TrailEntry,
} from '../../core/commands/types.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { CommandMessageRow, CommandRow } from './schema.ts';

/** A due time that never comes. */
export const NEVER = Number.MAX_SAFE_INTEGER;

/** The column `state`: the place in this list. What is stored says what it means, so entries are only ever added. */
export const states = [
  'enqueued',
  'locked',
  'completed',
  'rejected',
  'expired',
  'deliveryCountExceeded',
  'purged',
] as const;

/** A command without its message, but with what its receipt needs. */
export interface StoredCommand extends CommandHead {
  readonly messageId: string | null;
  readonly ack: ReceiptWish;
  readonly trail: readonly TrailEntry[];
}

export function toStored(row: CommandRow): StoredCommand {
  return {
    target: keyOfRow(row),
    generationId: row.generation_id,
    sequence: Number(row.sequence),
    messageId: row.message_id,
    ack: row.ack as ReceiptWish,
    enqueuedTime: Number(row.enqueued_time),
    expiresAt: Number(row.expires_at),
    deliveryCount: row.delivery_count,
    handedOver: row.handed_over,
    state: toState(row),
    trail: toTrail(row.trail),
  };
}

/** The column `trail`, and back. */
export function toTrail(text: string): readonly TrailEntry[] {
  const entries = JSON.parse(text) as [number, TrailEntry['step'], string][];
  return entries.map(([time, step, detail]) => ({ time, step, detail }));
}

export function trailText(trail: readonly TrailEntry[]): string {
  return JSON.stringify(trail.map(({ time, step, detail }) => [time, step, detail]));
}

export function keyOfRow(row: { readonly device_id: string; readonly module_id: string }): IdentityKey {
  return row.module_id === '' ? { deviceId: row.device_id } : { deviceId: row.device_id, moduleId: row.module_id };
}

function toState(row: CommandRow): CommandState {
  const kind = states[row.state];
  switch (kind) {
    case 'enqueued':
      return { kind };
    case 'locked':
      return { kind, lockToken: row.lock_token!, lockedUntil: Number(row.due), holder: row.holder! };
    default:
      return { kind: 'ended', outcome: kind, endedTime: Number(row.ended_time) };
  }
}

/** The columns that a command's life changes. */
export function changingColumns(command: StoredCommand) {
  const { state } = command;
  return {
    delivery_count: command.deliveryCount,
    handed_over: command.handedOver,
    state: states.indexOf(state.kind === 'ended' ? state.outcome : state.kind),
    due: dueOf(command) ?? null,
    lock_token: state.kind === 'locked' ? state.lockToken : null,
    holder: state.kind === 'locked' ? state.holder : null,
    ended_time: state.kind === 'ended' ? state.endedTime : null,
    trail: trailText(command.trail),
  };
}

/** UTC milliseconds at which time does something to the command; undefined once it has ended. */
export function dueOf({ state, expiresAt }: CommandHead): number | undefined {
  if (state.kind === 'ended') return undefined;
  return state.kind === 'locked' ? state.lockedUntil : expiresAt;
}

type Header = [
  correlationId: string | null,
  userId: string | null,
  contentType: string | null,
  contentEncoding: string | null,
  expiry: number | null,
  properties: CommandMessage['properties'],
  /** Only where an id is no text. */
  idTypes?: CommandMessage['idTypes'],
];

/** Message id and receipt wish are not in it: they stand with the command. */
export function toMessageColumns(message: CommandMessage): Pick<CommandMessageRow, 'header' | 'body'> {
  const header: Header = [
    message.correlationId ?? null,
    message.userId ?? null,
    message.contentType ?? null,
    message.contentEncoding ?? null,
    message.expiry ?? null,
    message.properties,
    ...(message.idTypes === undefined ? ([] as const) : ([message.idTypes] as const)),
  ];
  return { header: JSON.stringify(header), body: message.body };
}

export function toCommand(stored: StoredCommand, row: Pick<CommandMessageRow, 'header' | 'body'>): Command {
  const { messageId, ack, trail: _kept, ...head } = stored;
  const [correlationId, userId, contentType, contentEncoding, expiry, properties, idTypes] = JSON.parse(
    row.header,
  ) as Header;
  const message: CommandMessage = {
    ...(messageId !== null && { messageId }),
    ...(correlationId !== null && { correlationId }),
    ...(idTypes !== undefined && { idTypes }),
    ...(userId !== null && { userId }),
    ...(contentType !== null && { contentType }),
    ...(contentEncoding !== null && { contentEncoding }),
    ...(expiry !== null && { expiry }),
    ack,
    properties,
    body: row.body,
  };
  return { ...head, message };
}
