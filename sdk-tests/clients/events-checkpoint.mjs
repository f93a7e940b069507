// @azure/event-hubs with the file-based CheckpointStore of examples/: as an application would use it, a checkpoint after
// each batch. Reports each event's place as it is given, and `kept` for each once its checkpoint is.
import * as eventHubs from '@azure/event-hubs';
import { FileCheckpointStore } from '../../examples/checkpoint-store/file-checkpoint-store.ts';
import { describeError, job, report } from './link.mjs';

const { connectionString, directory, consumerGroup = '$Default' } = await job();
const client = new eventHubs.EventHubConsumerClient(
  consumerGroup,
  connectionString,
  new FileCheckpointStore(directory),
  {
    loadBalancingOptions: {
      strategy: 'greedy',
      updateIntervalInMs: 500,
      partitionOwnershipExpirationIntervalInMs: 2000,
    },
  },
);
client.subscribe(
  {
    async processEvents(events, context) {
      if (events.length === 0) return;
      for (const { sequenceNumber } of events) report('given', { partition: context.partitionId, sequenceNumber });
      await context.updateCheckpoint(events[events.length - 1]);
      for (const _ of events) report('kept');
    },
    async processError(error) {
      report('error', { error: describeError(error) });
    },
  },
  { startPosition: eventHubs.earliestEventPosition, maxBatchSize: 20, maxWaitTimeInSeconds: 1 },
);
report('ready');
