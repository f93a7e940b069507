// @azure/event-hubs: reads every partition from the given positions until it has `count` events, then a little longer, to
// see whether more come than should. Says what arrived, body in base64, everything else as the SDK shows it.
import * as eventHubs from '@azure/event-hubs';
import { describeError, finish, job, report } from './link.mjs';

const { connectionString, consumerGroup, positions, count, graceMs = 500, timeoutMs = 120_000 } = await job();
const client = new eventHubs.EventHubConsumerClient(consumerGroup ?? '$Default', connectionString);
const properties = await client.getEventHubProperties();
report('event hub', { name: properties.name, partitionIds: properties.partitionIds, createdOn: properties.createdOn });
const partitions = [];
for (const id of properties.partitionIds) partitions.push(await client.getPartitionProperties(id));
report('partitions', { partitions });

/** Binary values as text; the SDK makes an index-keyed object of a binary user id. */
function text(value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  const isBytes = typeof value === 'object' && value !== null && '0' in value;
  return isBytes ? Buffer.from(Object.values(value)).toString('utf8') : value;
}
/** An id that is no text as its bytes: a UUID's are sixteen. */
const id = (value) => (value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : text(value));
const base64 = (body) => Buffer.from(body ?? []).toString('base64');
const plain = (object) => Object.fromEntries(Object.entries(object ?? {}).map(([name, value]) => [name, text(value)]));

const startPosition =
  positions === undefined
    ? eventHubs.earliestEventPosition
    : Object.fromEntries(
        Object.entries(positions).map(([id, { time, ...position }]) => [
          id,
          time === undefined ? position : { ...position, enqueuedOn: new Date(time) },
        ]),
      );
let seen = 0;
await new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`${seen} of ${count} events in ${timeoutMs} ms`)), timeoutMs);
  const enough = () => {
    clearTimeout(timer);
    setTimeout(resolve, graceMs);
  };
  client.subscribe(
    {
      async processEvents(events, context) {
        for (const event of events) {
          report('event', {
            partition: context.partitionId,
            sequenceNumber: event.sequenceNumber,
            offset: event.offset,
            enqueuedTime: event.enqueuedTimeUtc.getTime(),
            body: base64(event.body),
            properties: plain(event.properties),
            system: plain(event.systemProperties),
            messageId: id(event.messageId),
            correlationId: id(event.correlationId),
            contentType: event.contentType,
          });
        }
        if (seen < count && seen + events.length >= count) enough();
        seen += events.length;
      },
      async processError(error) {
        report('error', { error: describeError(error) });
      },
    },
    { startPosition, maxBatchSize: 200, maxWaitTimeInSeconds: 1, skipParsingBodyAsJson: true },
  );
  if (count === 0) enough();
});
report('done', { count: seen });
finish();
