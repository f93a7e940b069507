import { HubError } from '../../../core/errors.ts';
import type { EventLog } from '../../../core/events/ports.ts';
import { OFFSET_BASE } from '../../../core/events/types.ts';
import { boolean, int, long, map, string, strings, timestamp } from '../../../wire/amqp/fields.ts';
import type { Message } from '../../../wire/amqp/message.ts';
import type { Answer } from '../request-node.ts';

/** The text of an offset; `-1` where there is no event. */
export function offsetText(sequence: number): string {
  return sequence < 0 ? '-1' : String(OFFSET_BASE + sequence);
}

/** Reads which partition a text names. @throws HubError PartitionNotFound */
export function partitionNumber(text: unknown, log: EventLog): number {
  const partition = typeof text === 'string' && /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : Number.NaN;
  if (!(partition < log.partitionCount)) {
    throw new HubError(
      'PartitionNotFound',
      `The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and ${log.partitionCount - 1}.`,
    );
  }
  return partition;
}

/**
 * Answers a READ of the event hub or of one partition (service reference 5.3). `open` says whether the peer may look; it
 * gets the token that the request carries, if it carries one.
 * @throws HubError
 */
export async function readEntity(
  request: Message,
  open: (eventHub: string, token: string | undefined) => Promise<EventLog>,
): Promise<Answer> {
  const properties = request.applicationProperties;
  if (properties.get('operation') !== 'READ')
    throw new HubError('ArgumentInvalid', 'This node knows the operation READ.');
  const name = properties.get('name');
  const type = properties.get('type');
  if (typeof name !== 'string') throw new HubError('ArgumentInvalid', 'The name of the event hub is missing.');
  const token = properties.get('security_token');
  const log = await open(name, typeof token === 'string' ? token : undefined);
  if (type === 'com.microsoft:eventhub') return describeEventHub(log);
  if (type === 'com.microsoft:partition') {
    return describePartition(log, partitionNumber(properties.get('partition'), log));
  }
  throw new HubError('ArgumentInvalid', 'The type is neither com.microsoft:eventhub nor com.microsoft:partition.');
}

function describeEventHub(log: EventLog): Answer {
  const partitionIds = Array.from({ length: log.partitionCount }, (_, partition) => String(partition));
  return {
    status: 200,
    description: 'OK',
    body: map(string, [
      ['name', string(log.name)],
      ['type', string('com.microsoft:eventhub')],
      ['created_at', timestamp(log.createdTime)],
      ['partition_count', int(log.partitionCount)],
      ['partition_ids', strings(partitionIds)],
      ['georeplication_factor', int(1)],
    ]),
  };
}

async function describePartition(log: EventLog, partition: number): Promise<Answer> {
  const { firstSequence, lastSequence, lastTime } = await log.partition(partition);
  return {
    status: 200,
    description: 'OK',
    body: map(string, [
      ['name', string(log.name)],
      ['type', string('com.microsoft:partition')],
      ['partition', string(String(partition))],
      ['begin_sequence_number', long(firstSequence)],
      ['last_enqueued_sequence_number', long(lastSequence)],
      // Of a hub that is one place only; Rust's SDK takes no answer without it.
      ['last_enqueued_sequence_number_epoch', int(0)],
      ['last_enqueued_offset', string(offsetText(lastSequence))],
      ['last_enqueued_time_utc', timestamp(lastTime)],
      ['is_partition_empty', boolean(lastSequence < firstSequence)],
    ]),
  };
}
