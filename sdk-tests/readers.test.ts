/** Readers of different speeds beside a busy writer, and readers that keep their place in a file. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { sendMessages } from '../bench/load/load.ts';
import { residentMiB, residentPeakMiB } from '../bench/process-facts.ts';
import { createDevices } from '../bench/servers/hub.ts';
import { readToCheckpoints } from './support/checkpoints.ts';
import { Client } from './support/client.ts';
import { openRegistry, startStockHub, whyNot } from './support/hub.ts';

const EVENTS = Number(process.env.MOORING_TEST_EVENTS ?? 200_000);
const EVENTS_PER_SECOND = 20_000;
const PAUSE_MS = Number(process.env.MOORING_TEST_PAUSE_MS ?? 20_000);
const PAYLOAD_BYTES = 256;
const DEVICES = 50;
/** What a process of the hub may grow by under this load: its batches, its readers' windows, and the heap's own slack. */
const GROWTH_MIB_MAX = 256;
const CATCH_UP_MS = 180_000;

describe('readers through @azure/event-hubs', { skip: await whyNot() }, () => {
  test(`two groups, one slow and one that stops for ${PAUSE_MS / 1000} s, while ${EVENTS} events come in: memory stays bounded, nothing is missing`, async (t) => {
    await using hub = await startStockHub(['--consumer-groups', 'slow,stopping']);
    const logins = await createDevices(hub.endpoints, hub.ca, DEVICES, '');
    const read = (consumerGroup: string, job: object): Client =>
      Client.start('events-count.mjs', hub.endpoints.caFile, {
        connectionString: hub.endpoints.connectionStrings.eventHubs,
        consumerGroup,
        ...job,
      });
    const readers = {
      $Default: read('$Default', {}),
      slow: read('slow', { delayMs: 50 }),
      stopping: read('stopping', { pauseAfter: 1000, pauseMs: PAUSE_MS }),
    };
    try {
      await Promise.all(Object.values(readers).map((reader) => reader.next('ready')));
      const before = hub.nodes.map(({ pid }) => residentMiB(pid));
      const target = {
        host: '127.0.0.1',
        port: hub.endpoints.ports.mqtt as number,
        inFlight: 20,
        payloadBytes: PAYLOAD_BYTES,
      };
      await sendMessages(EVENTS, EVENTS_PER_SECOND, target, logins);
      const afterWrites = hub.nodes.map(({ pid }) => residentMiB(pid));
      await readers.stopping.next('resumed', PAUSE_MS + 60_000);
      await Promise.all(Object.entries(readers).map(([name, reader]) => readsAll(name, reader, EVENTS)));
      for (const [nth, { pid }] of hub.nodes.entries()) {
        const peak = residentPeakMiB(pid);
        const mib = (value: number): string => `${value.toFixed(0)} MiB`;
        t.diagnostic(
          `${EVENTS} events; RSS ${mib(before[nth])} before, ${mib(afterWrites[nth])} after the writes, peak ${mib(peak)}`,
        );
        assert.ok(peak - before[nth] < GROWTH_MIB_MAX, `memory grew by ${mib(peak - before[nth])}`);
      }
    } finally {
      await Promise.all(Object.values(readers).map((reader) => reader.stop()));
    }
  });

  test('a reader with the file-based CheckpointStore of examples/ goes on where it was', async () => {
    await using hub = await startStockHub();
    const directory = mkdtempSync(path.join(tmpdir(), 'mooring-checkpoints-'));
    try {
      const registry = await openRegistry(hub);
      const ids = Array.from({ length: 10 }, (_, at) => `c-${at}`);
      const devices = await registry.createDevices(hub, ids);
      await registry.stop();
      const send = async (): Promise<void> => {
        const job = { devices, messagesEach: 20, devicesAtOnce: 10 };
        const sender = Client.start('devices-send.mjs', hub.endpoints.caFile, job);
        await sender.next('done');
        await sender.stop();
      };
      await send();
      // Not at the end of what is there, and not after a pause: in the middle of the work.
      const first = await readToCheckpoints(hub, directory, 60);
      await send();
      const second = await readToCheckpoints(hub, directory, 400 - first.length);
      const seen = [...first, ...second].map(({ partition, sequenceNumber }) => `${partition}/${sequenceNumber}`);
      assert.equal(new Set(seen).size, seen.length, 'no event was given twice');
      assert.equal(seen.length, 400);
      const idle = await readToCheckpoints(hub, directory, 0);
      assert.deepEqual(idle, [], 'a third reader finds nothing new');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

/** Waits until the reader has exactly `count` events, in their order and without a gap. */
async function readsAll(name: string, reader: Client, count: number): Promise<void> {
  const deadline = performance.now() + CATCH_UP_MS;
  for (;;) {
    const progress = await reader.next('progress', deadline - performance.now());
    assert.equal(progress.wrong, 0, `${name}: gaps or repetitions`);
    assert.ok(progress.count <= count, `${name}: ${progress.count} of ${count} events`);
    if (progress.count === count) break;
  }
  assert.deepEqual(reader.seen('error'), [], name);
}
