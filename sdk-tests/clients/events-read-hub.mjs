// @azure/event-hubs of the years before 5, from the *hub's* connection string: it puts a token for the hub's own address, is
// redirected from there to the event hub, and reads every partition from its start as events-read.mjs does.
import { createRequire } from 'node:module';
import { describeError, finish, job, report } from './link.mjs';

const { connectionString, folder, count, graceMs = 500, timeoutMs = 120_000 } = await job();
const load = createRequire(new URL(`../older/${folder}/`, import.meta.url));
const { EventHubClient, EventPosition } = load('@azure/event-hubs');
const client = await EventHubClient.createFromIotHubConnectionString(connectionString);
const hub = await client.getHubRuntimeInformation();
report('event hub', { name: hub.path, partitionIds: hub.partitionIds });

const text = (value) => (value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : value);
const plain = (object) => Object.fromEntries(Object.entries(object ?? {}).map(([key, value]) => [key, text(value)]));
const milliseconds = (time) => (time instanceof Date ? time.getTime() : time);

/** This SDK parses a body that is JSON; the bytes are those that made it. */
function bodyOf(body) {
  if (body === undefined || body === null) return Buffer.alloc(0);
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

let seen = 0;
await new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`${seen} of ${count} events in ${timeoutMs} ms`)), timeoutMs);
  const take = (partition) => (event) => {
    const properties = event._raw_amqp_mesage ?? {};
    const annotations = Object.entries(event.annotations ?? {});
    report('event', {
      partition,
      sequenceNumber: event.sequenceNumber,
      offset: event.offset,
      enqueuedTime: event.enqueuedTimeUtc.getTime(),
      body: bodyOf(event.body).toString('base64'),
      properties: plain(event.applicationProperties),
      system: {
        ...Object.fromEntries(annotations.map(([key, value]) => [key, milliseconds(text(value))])),
        contentEncoding: properties.content_encoding,
        userId: text(properties.user_id),
      },
      messageId: text(properties.message_id),
      correlationId: text(properties.correlation_id),
      contentType: properties.content_type,
    });
    seen += 1;
    if (seen !== count) return;
    clearTimeout(timer);
    setTimeout(resolve, graceMs);
  };
  const failed = (error) => report('error', { error: describeError(error) });
  for (const id of hub.partitionIds) {
    client.receive(id, take(id), failed, { eventPosition: EventPosition.fromStart() });
  }
});
report('done', { count: seen });
finish();
