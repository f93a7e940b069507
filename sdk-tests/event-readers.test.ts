/** Event Hubs SDKs of every language read the same telemetry: each event once, in order, equal in every part. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import { Client } from './support/client.ts';
import { assertAllSent, type SeenEvent } from './support/events.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { type ReaderSdk, type ReaderTransport, readerSdks } from './support/readers.ts';
import { shows } from './support/shows.ts';

const DEVICES = 20;
const MESSAGES_EACH = 25;
const ALL = DEVICES * MESSAGES_EACH;

describe('readers of every language', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let devices: readonly Device[];
  /** Where each event lies, as the first reader saw it. */
  let places: readonly string[] | undefined;

  before(async () => {
    hub = await startStockHub();
    const registry = await openRegistry(hub);
    devices = await registry.createDevices(
      hub,
      Array.from({ length: DEVICES }, (_, at) => `reader-${at}`),
    );
    await registry.stop();
  });

  after(async () => {
    await hub?.[Symbol.asyncDispose]();
  });

  test('azure-iot-device sends what they read', async () => {
    const job = { devices, messagesEach: MESSAGES_EACH, devicesAtOnce: 10 };
    const sender = Client.start('devices-send.mjs', hub.endpoints.caFile, job);
    await sender.next('done', 120_000);
    await sender.stop();
  });

  for (const sdk of readerSdks) {
    for (const transport of sdk.transports) {
      const operation =
        transport.connection === 'service'
          ? "is redirected from the hub's connection string and reads every event once, in order per device"
          : 'reads every event once, in order per device, equal in every part';
      shows({ sdk: sdk.name, transport: transport.name, operation }, missing(sdk.language), async () => {
        const { events } = await read(sdk, transport, {});
        assertAllSent(events, devices, MESSAGES_EACH, sdk.language === 'JavaScript' ? 'javascript' : 'python');
        const seen = placesOf(events);
        places ??= seen;
        assert.deepEqual(seen, places, 'all readers see the same places');
      });
    }
    if (sdk.processor === undefined) continue;
    const operation = `${sdk.processor}: stops in the middle; another goes on from its checkpoints`;
    const cell = { sdk: sdk.name, transport: sdk.transports[0].name, operation };
    shows(cell, missing(sdk.language), async () => {
      const { events, stopped } = await read(sdk, sdk.transports[0], { mode: 'processor', stopAfter: ALL / 2 });
      assert.ok(
        stopped !== undefined && stopped >= ALL / 2 && stopped < ALL,
        `the first stopped behind ${stopped} events`,
      );
      assertAllSent(events, devices, MESSAGES_EACH, 'python');
    });
  }

  async function read(
    sdk: ReaderSdk,
    transport: ReaderTransport,
    more: object,
  ): Promise<{ readonly events: readonly SeenEvent[]; readonly stopped?: number }> {
    const client = Client.start(sdk.script, hub.endpoints.caFile, {
      connectionString: hub.endpoints.connectionStrings[transport.connection],
      transport: transport.transport,
      folder: sdk.folder,
      count: ALL,
      ...more,
    });
    try {
      const end = await client.next(['done', 'too few', 'error'], 180_000);
      assert.equal(end.kind, 'done', JSON.stringify(end));
      assert.deepEqual(client.seen('error'), [], 'the reader saw errors');
      const [stopped] = client.seen('stopped');
      return { events: client.seen('event') as readonly SeenEvent[], stopped: stopped?.count };
    } finally {
      await client.stop();
    }
  }
});

const placesOf = (events: readonly SeenEvent[]): readonly string[] =>
  events
    .map(({ partition, sequenceNumber, offset, enqueuedTime, messageId }) =>
      [partition, String(sequenceNumber).padStart(8, '0'), offset, enqueuedTime, messageId].join(' '),
    )
    .toSorted();
