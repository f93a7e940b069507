// @azure/event-hubs: counts events of every partition at a speed that the test sets; sees gaps and repetitions itself.
// `delayMs` after each batch makes it slow; `pauseMs` once, after `pauseAfter` events, makes it stop.
import * as eventHubs from '@azure/event-hubs';
import { describeError, job, report } from './link.mjs';

const { connectionString, consumerGroup, delayMs = 0, pauseAfter, pauseMs = 0 } = await job();
const client = new eventHubs.EventHubConsumerClient(consumerGroup, connectionString);
const last = new Map();
const perDevice = new Map();
let count = 0;
let paused;
let wrong = 0;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

client.subscribe(
  {
    async processEvents(events, { partitionId }) {
      for (const { sequenceNumber, systemProperties } of events) {
        if (sequenceNumber !== (last.get(partitionId) ?? -1) + 1) wrong++;
        last.set(partitionId, sequenceNumber);
        const device = systemProperties['iothub-connection-device-id'];
        perDevice.set(device, (perDevice.get(device) ?? 0) + 1);
      }
      count += events.length;
      if (pauseAfter !== undefined && count >= pauseAfter) {
        // All partitions wait for the same pause.
        paused ??= sleep(pauseMs).then(() => report('resumed', { count }));
        await paused;
      }
      if (delayMs > 0 && events.length > 0) await sleep(delayMs);
      report('progress', { count, wrong });
    },
    async processError(error) {
      report('error', { error: describeError(error) });
    },
  },
  { startPosition: eventHubs.earliestEventPosition, maxBatchSize: 500, maxWaitTimeInSeconds: 1 },
);
report('ready');
