/** Stock device SDK in, stock Event Hubs SDKs out: every message once, in order, equal; from any position; after a restart. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { Client } from './support/client.ts';
import { assertAllSent, readEvents, type SeenEvent } from './support/events.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const DEVICES = 200;
const MESSAGES_EACH = 50;
const ALL = DEVICES * MESSAGES_EACH;

describe('telemetry through the stock SDKs', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let devices: readonly Device[];
  let all: readonly SeenEvent[];

  before(async () => {
    hub = await startStockHub();
    const registry = await openRegistry(hub);
    // One by one as an application would, the others in bulk.
    const single = await registry.createDevice(hub, 'single-0');
    const ids = Array.from({ length: DEVICES - 1 }, (_, at) => `bulk-${at}`);
    devices = [single, ...(await registry.createDevices(hub, ids))];
    await registry.stop();
  });

  after(async () => {
    await hub?.[Symbol.asyncDispose]();
  });

  test(`azure-iot-device: ${DEVICES} devices send ${MESSAGES_EACH} messages each over MQTT, all are accepted`, async (t) => {
    const begun = performance.now();
    const sender = Client.start('devices-send.mjs', hub.endpoints.caFile, {
      devices,
      messagesEach: MESSAGES_EACH,
      devicesAtOnce: 20,
    });
    await sender.next('done', 120_000);
    await sender.stop();
    t.diagnostic(`${ALL} messages in ${Math.round(performance.now() - begun)} ms`);
  });

  const reading = 'reads every event once, in order per device, equal in every part';
  const eventHubs = '@azure/event-hubs (npm)';

  shows({ sdk: eventHubs, transport: 'plain, port 5672', operation: reading }, undefined, async () => {
    all = await readEvents(hub, { connectionString: hub.endpoints.connectionStrings.eventHubsEmulator, count: ALL });
    assertAllSent(all, devices, MESSAGES_EACH, 'javascript');
  });

  shows({ sdk: eventHubs, transport: 'TLS, port 5671', operation: reading }, undefined, async () => {
    const events = await readEvents(hub, { connectionString: hub.endpoints.connectionStrings.eventHubs, count: ALL });
    assertAllSent(events, devices, MESSAGES_EACH, 'javascript');
    assert.deepEqual(inPlace(events), inPlace(all));
  });

  const python = { sdk: 'azure-eventhub (PyPI)', transport: 'TLS, port 5671', operation: reading };
  shows(python, missing('Python'), async () => {
    const wish = { connectionString: hub.endpoints.connectionStrings.eventHubs, count: ALL };
    const events = await readEvents(hub, wish, 'events-read.py');
    assertAllSent(events, devices, MESSAGES_EACH, 'python');
    assert.deepEqual(places(events), places(all));
  });

  const middle = 'reads on from a sequence number, an offset, a time';
  shows({ sdk: eventHubs, transport: 'TLS, port 5671', operation: middle }, undefined, () => fromTheMiddle());

  const restarted = 'reads the same after a restart of the hub';
  shows({ sdk: eventHubs, transport: 'TLS, port 5671', operation: restarted }, undefined, async () => {
    await hub.stop();
    hub = await hub.restart();
    const events = await readEvents(hub, { connectionString: hub.endpoints.connectionStrings.eventHubs, count: ALL });
    assert.deepEqual(inPlace(events), inPlace(all));
    await fromTheMiddle();
  });

  async function fromTheMiddle(): Promise<void> {
    const middles = [...Map.groupBy(all, (event) => event.partition)].map(
      ([partition, events]) => [partition, events[events.length >> 1]] as const,
    );
    const positions = (of: (middle: SeenEvent) => object): Record<string, object> =>
      Object.fromEntries(middles.map(([partition, middle]) => [partition, of(middle)]));
    const middleOf = new Map(middles);
    const behind = (match: (event: SeenEvent, middle: SeenEvent) => boolean): readonly SeenEvent[] =>
      all.filter((event) => match(event, middleOf.get(event.partition) as SeenEvent));
    const cases = [
      {
        by: 'sequence number, behind it',
        positions: positions(({ sequenceNumber }) => ({ sequenceNumber })),
        expected: behind((event, middle) => event.sequenceNumber > middle.sequenceNumber),
      },
      {
        by: 'sequence number, from it on',
        positions: positions(({ sequenceNumber }) => ({ sequenceNumber, isInclusive: true })),
        expected: behind((event, middle) => event.sequenceNumber >= middle.sequenceNumber),
      },
      {
        by: 'offset',
        positions: positions(({ offset }) => ({ offset })),
        expected: behind((event, middle) => event.sequenceNumber > middle.sequenceNumber),
      },
      {
        by: 'time',
        positions: positions(({ enqueuedTime }) => ({ time: enqueuedTime })),
        expected: behind((event, middle) => event.enqueuedTime > middle.enqueuedTime),
      },
    ];
    for (const { by, positions: from, expected } of cases) {
      const connectionString = hub.endpoints.connectionStrings.eventHubs;
      const events = await readEvents(hub, { connectionString, positions: from, count: expected.length });
      assert.deepEqual(inPlace(events), inPlace(expected), `by ${by}`);
    }
  }
});

/** The events in order of their place: readers see the partitions side by side. */
function inPlace(events: readonly SeenEvent[]): readonly SeenEvent[] {
  return events.toSorted((a, b) => Number(a.partition) - Number(b.partition) || a.sequenceNumber - b.sequenceNumber);
}

const places = (events: readonly SeenEvent[]): readonly string[] =>
  inPlace(events).map(
    (event) => `${event.partition} ${event.sequenceNumber} ${event.offset} ${event.enqueuedTime} ${event.messageId}`,
  );
