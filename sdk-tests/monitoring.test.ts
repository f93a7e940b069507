/** The monitoring stream as the stock @azure/event-hubs reads it, from its start: what a scripted day has done, event for event. */
import { describe, test } from 'node:test';
import { Day, dayArgs, dayByVariables } from '../test/drivers/fleet-day.ts';
import type { Told } from '../test/drivers/monitoring.ts';
import { Client } from './support/client.ts';
import type { SeenEvent } from './support/events.ts';
import { startStockHub, whyNot } from './support/hub.ts';

const size = dayByVariables();

describe('the monitoring stream through @azure/event-hubs', { skip: await whyNot() }, () => {
  test(`a day of ${size.devices} devices (seed ${size.seed})`, async (t) => {
    const hub = await startStockHub(dayArgs);
    await using day = new Day(hub, { ...size, note: (text) => t.diagnostic(text) });
    await day.play();
    const connectionString = day.hub.endpoints.connectionStrings.monitoring;
    const endless = { count: Number.MAX_SAFE_INTEGER, timeoutMs: 2 ** 31 - 1 };
    const reader = Client.start('events-read.mjs', day.hub.endpoints.caFile, { connectionString, ...endless });
    try {
      const told: Told[] = [];
      while (!day.isComplete(told)) {
        const { body } = (await reader.next('event')) as SeenEvent;
        told.push(JSON.parse(Buffer.from(body, 'base64').toString()) as Told);
      }
      await day.checkTold(told);
    } finally {
      await reader.stop();
    }
  });
});
