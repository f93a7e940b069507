// @azure/event-hubs: reads every partition to the last event that the hub names, and says of each device the numbers of its messages, in the
// order in which they lie there.
import * as eventHubs from '@azure/event-hubs';
import { describeError, finish, job, report } from './link.mjs';

const { connectionString } = await job();
const client = new eventHubs.EventHubConsumerClient('$Default', connectionString);
const left = new Map();
for (const id of await client.getPartitionIds()) {
  const { lastEnqueuedSequenceNumber, isEmpty } = await client.getPartitionProperties(id);
  if (!isEmpty) left.set(id, lastEnqueuedSequenceNumber);
}
const numbers = {};
await new Promise((resolve) => {
  if (left.size === 0) resolve();
  client.subscribe(
    {
      async processEvents(events, { partitionId }) {
        for (const { properties, systemProperties, sequenceNumber } of events) {
          numbers[systemProperties['iothub-connection-device-id']] ??= [];
          numbers[systemProperties['iothub-connection-device-id']].push(Number(properties.n));
          if (sequenceNumber >= left.get(partitionId)) left.delete(partitionId);
        }
        if (left.size === 0) resolve();
      },
      async processError(error) {
        report('error', { error: describeError(error) });
      },
    },
    { startPosition: eventHubs.earliestEventPosition, maxBatchSize: 500, maxWaitTimeInSeconds: 1 },
  );
});
report('numbers', { numbers });
finish();
