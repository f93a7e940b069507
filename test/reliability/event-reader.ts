/** A small reader of the Event Hubs-compatible endpoint for tests: plain AMQP, SASL PLAIN with a policy's key. */
import { once } from 'node:events';
import rhea from 'rhea';

export interface ReadEvent {
  readonly partition: string;
  readonly sequence: number;
  readonly deviceId: string;
  readonly body: Buffer;
  readonly properties: Readonly<Record<string, string>>;
  /** Message annotations: `x-opt-enqueued-time`, `iothub-…`. */
  readonly annotations: Readonly<Record<string, unknown>>;
  /** Fields of the properties section that are set. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface ReaderPlace {
  readonly port: number;
  /** `Endpoint=...;SharedAccessKeyName=...;SharedAccessKey=...;EntityPath=...` */
  readonly connectionString: string;
  /** Consumer group; default `$Default`. */
  readonly group?: string;
}

const CREDIT = 1000;

/**
 * Reads what every partition holds now, from behind the given sequence numbers (by partition id; absent = from the start)
 * up to the last one that the hub names, and hands each event to `take`, in order per partition.
 */
export async function readToEnd(
  place: ReaderPlace,
  behind: ReadonlyMap<string, number>,
  take: (event: ReadEvent) => void,
): Promise<void> {
  const fields = new Map(
    place.connectionString
      .split(';')
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
  const entity = fields.get('EntityPath') as string;
  const container = rhea.create_container();
  // An error of one link is answered where it is awaited; without a listener here rhea would throw it out of its reader.
  container.on('error', () => {});
  const connection = container.connect({
    port: place.port,
    host: '127.0.0.1',
    username: fields.get('SharedAccessKeyName'),
    password: fields.get('SharedAccessKey'),
    reconnect: false,
  });
  const broken = new Promise<never>((_, reject) => {
    for (const event of ['disconnected', 'connection_error', 'receiver_error', 'sender_error', 'error']) {
      connection.on(event, (context: rhea.EventContext) =>
        reject(
          new Error(`reader: ${event} ${context.receiver?.error ?? context.connection?.error ?? context.error ?? ''}`),
        ),
      );
    }
  });
  broken.catch(() => {});
  try {
    await Promise.race([
      readAll(connection, `${entity}/ConsumerGroups/${place.group ?? '$Default'}`, behind, take),
      broken,
    ]);
    connection.removeAllListeners('disconnected');
  } finally {
    // Closed in any case: one that stayed open would keep its program from ending.
    connection.close();
  }
  await once(connection, 'connection_close');
}

async function readAll(
  connection: rhea.Connection,
  group: string,
  behind: ReadonlyMap<string, number>,
  take: (event: ReadEvent) => void,
): Promise<void> {
  const ask = await openManagement(connection);
  const entity = group.slice(0, group.indexOf('/'));
  const hub = await ask({ name: entity, type: 'com.microsoft:eventhub' });
  for (const id of hub.partition_ids as string[]) {
    const facts = await ask({ name: entity, type: 'com.microsoft:partition', partition: id });
    if (facts.is_partition_empty) continue;
    const last = facts.last_enqueued_sequence_number as number;
    const from = behind.get(id);
    if (from !== undefined && from >= last) continue;
    await readPartition(connection, group, id, from, last, take);
  }
}

type Ask = (properties: Record<string, string>) => Promise<Record<string, unknown>>;

/** `$management` READ (service reference 5.3). */
async function openManagement(connection: rhea.Connection): Promise<Ask> {
  const sender = connection.open_sender('$management');
  const receiver = connection.open_receiver({ source: '$management', target: 'test-reader' });
  await Promise.all([once(sender, 'sendable'), once(receiver, 'receiver_open')]);
  let asked = 0;
  return async (properties) => {
    const answered = once(receiver, 'message');
    sender.send({
      message_id: `ask-${++asked}`,
      reply_to: 'test-reader',
      application_properties: { operation: 'READ', ...properties },
      body: null,
    });
    const { message } = (await answered)[0] as { message: rhea.Message };
    const status = message.application_properties?.['status-code'];
    if (status !== 200) throw new Error(`$management answered ${status}`);
    return message.body as Record<string, unknown>;
  };
}

function readPartition(
  connection: rhea.Connection,
  group: string,
  id: string,
  behind: number | undefined,
  last: number,
  take: (event: ReadEvent) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const selector =
      behind === undefined
        ? "amqp.annotation.x-opt-offset > '-1'"
        : `amqp.annotation.x-opt-sequence-number > '${behind}'`;
    const receiver = connection.open_receiver({
      source: {
        address: `${group}/Partitions/${id}`,
        filter: rhea.filter.selector(selector) as never,
      },
      credit_window: CREDIT,
    });
    receiver.on('message', ({ message }: { message: rhea.Message }) => {
      const sequence = Number(message.message_annotations?.['x-opt-sequence-number']);
      if (sequence > last) return;
      try {
        take({
          partition: id,
          sequence,
          deviceId: String(message.message_annotations?.['iothub-connection-device-id']),
          body: bodyOf(message.body),
          properties: (message.application_properties ?? {}) as Record<string, string>,
          annotations: message.message_annotations ?? {},
          fields: Object.fromEntries(
            fieldNames.map((name) => [name, message[name]]).filter(([, value]) => value !== undefined),
          ),
        });
      } catch (error) {
        reject(error as Error);
      }
      if (sequence !== last) return;
      receiver.close();
      resolve();
    });
  });
}

const fieldNames = [
  ...(['message_id', 'correlation_id', 'user_id', 'to', 'content_type', 'content_encoding'] as const),
  'absolute_expiry_time',
] as const;

/** rhea hands a data section over as `{typecode, content}`. */
function bodyOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  const content = (body as { content?: unknown } | undefined)?.content;
  return Buffer.isBuffer(content) ? content : Buffer.alloc(0);
}
