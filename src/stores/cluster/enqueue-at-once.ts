/** A command's way into its queue in one statement, which is a transaction by itself: what `enqueueCommand` needs four for. */
import { type Kysely, sql } from 'kysely';
import type { EnqueueOutcome, NewCommand } from '../../core/commands/ports.ts';
import type { CommandLimits } from '../../core/commands/types.ts';
import { changingColumns, toMessageColumns } from '../tables/command-rows.ts';
import type { Ended } from '../tables/commands.ts';
import type { Tables } from '../tables/schema.ts';

/** @returns undefined = nothing was done: the queue is full, something of it is due, or the command was sent before */
export async function enqueueAtOnce(
  database: Kysely<Tables>,
  command: NewCommand,
  bounds: CommandLimits,
  now: number,
): Promise<Ended<EnqueueOutcome> | undefined> {
  if (command.sentAgain !== undefined) return undefined;
  const { target, generationId, message, expiresAt } = command;
  const { deviceId, moduleId = '' } = target;
  const { header, body } = toMessageColumns(message);
  const fresh = changingColumns({
    ...{ target, generationId, expiresAt, sequence: 0, enqueuedTime: now, deliveryCount: 0, handedOver: 0 },
    ...{ messageId: message.messageId ?? null, ack: message.ack, state: { kind: 'enqueued' } },
    trail: [{ time: now, step: 'enqueued', detail: '' }],
  });
  // The identity stays until the statement has ended: a deletion waits for it, and then takes the command along.
  const { rows } = await sql<{ generation: string | null; sequence: number | null }>`
    with there as (
      select generation_id from identities where device_id = ${deviceId} and module_id = ${moduleId} for key share
    ), place as (
      insert into command_queues as queue (device_id, module_id, last_sequence, waiting, locked, next_due)
      select ${deviceId}, ${moduleId}, 1, 1, 0, ${expiresAt}::bigint from there where generation_id = ${generationId}
      on conflict (device_id, module_id) do update set
        last_sequence = queue.last_sequence + 1, waiting = queue.waiting + 1,
        next_due = least(queue.next_due, excluded.next_due)
      where queue.waiting + queue.locked < ${bounds.queueDepthMax} and queue.next_due > ${now}
      returning last_sequence
    ), command as (
      insert into commands (device_id, module_id, sequence, generation_id, message_id, ack, enqueued_time, expires_at,
        delivery_count, handed_over, state, due, trail)
      select ${deviceId}, ${moduleId}, last_sequence, ${generationId}, ${message.messageId ?? null}::text, ${message.ack},
        ${now}::bigint, ${expiresAt}::bigint, 0, 0, ${fresh.state}::integer, ${fresh.due}::bigint, ${fresh.trail}
      from place
    ), message as (
      insert into command_messages (device_id, module_id, sequence, header, body)
      select ${deviceId}, ${moduleId}, last_sequence, ${header}, ${body}::bytea from place
    )
    select (select generation_id from there) as generation, (select last_sequence from place) as sequence`.execute(
    database,
  );
  const [{ generation, sequence }] = rows;
  if (generation !== generationId) return { value: { kind: 'gone' }, ended: [] };
  return sequence === null ? undefined : { value: { kind: 'enqueued', sequence }, ended: [] };
}
