/** Events of twins and identities: from the store that keeps them with the change into the event log. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { partitionOf } from '../../src/core/events/rules.ts';
import type { IdentityStore } from '../../src/core/identity/ports.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import type { TwinStore } from '../../src/core/twins/ports.ts';
import { publishTwinEvents, twinEventSources } from '../../src/core/twins/publishing.ts';
import { readReportedPatch, readTwinChange } from '../../src/core/twins/rules.ts';
import { recordCodec, twinEventCorrelation } from '../../src/records/record-codec.ts';
import { exampleIdentity } from '../../src/stores/contract/identities.ts';
import { openEmbeddedTables } from '../../src/stores/embedded/tables/tables.ts';
import { createMemoryEventLog, type MemoryEventLog } from '../../src/stores/memory/event-log.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';
import { readBareMessage } from '../../src/wire/amqp/bare-message.ts';
import { RECORD_HEADER_BYTES } from '../../src/wire/amqp/record.ts';

interface Stores {
  readonly twins: TwinStore;
  readonly identities: IdentityStore;
  close(): Promise<void>;
}

const opened: Readonly<Record<string, () => Promise<Stores>>> = {
  async memory() {
    const identities = createMemoryIdentityStore();
    return { identities, twins: createMemoryTwinStore(identities, systemClock), close: async () => {} };
  },
  async embedded() {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-twin-events-'));
    const cipher = { keys: [Buffer.alloc(32, 1)], source: 'test' };
    const tables = await openEmbeddedTables({
      ...{ file: path.join(folder, 'hub.db'), cipher, log: silentLog, clock: systemClock, keepsLifecycle: true },
    });
    const close = async (): Promise<void> => {
      await tables.close();
      rmSync(folder, { recursive: true });
    };
    return { identities: tables.identities, twins: tables.twins, close };
  },
};

const publish = (store: TwinStore, eventLog: MemoryEventLog, sources: readonly string[] = twinEventSources) =>
  publishTwinEvents({
    ...{ store, eventLog, codec: recordCodec, partitionOf, correlationOf: twinEventCorrelation, hubName: 'myhub' },
    ...{ sources: new Set(sources), clock: systemClock, log: silentLog },
  });

async function told(log: MemoryEventLog, deviceId: string) {
  const partition = partitionOf(deviceId, log.partitionCount);
  const found = [];
  for (const { bytes, start, count } of await log.read(partition, log.lastKnown(partition).firstSequence, 1e6)) {
    let at = start;
    for (let record = 0; record < count; record++) {
      const from = at + 4;
      at = from + bytes.readUInt32LE(at);
      const message = readBareMessage(bytes.subarray(from + RECORD_HEADER_BYTES, at));
      const { annotations, properties, body, contentType, contentEncoding, userId, correlationId } = message;
      found.push({
        ...{ contentType, contentEncoding, userId, correlationId },
        source: annotations.get('iothub-message-source'),
        device: annotations.get('iothub-connection-device-id'),
        properties: new Map(properties),
        body: JSON.parse(body.toString()),
      });
    }
  }
  return found;
}

const d1: IdentityKey = { deviceId: 'd1' };
const terms = { time: Date.UTC(2026, 4, 6), ifMatch: '*', withEvents: true };
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

async function history({ identities, twins }: Stores): Promise<void> {
  const identity = exampleIdentity(d1, { generationId: 'g1' });
  await identities.write([{ kind: 'create', identity, countMax: 10 }]);
  await twins.change(
    d1,
    readTwinChange(bytes({ tags: { t: 1 }, properties: { desired: { a: { b: 1 }, c: null } } }), 'merge'),
    terms,
  );
  await twins.report([{ key: d1, generationId: 'g1', patch: readReportedPatch(bytes({ r: [1] })) }], terms);
  await twins.change(d1, readTwinChange(bytes({ tags: { u: 2 } }), 'replace'), terms);
  await identities.write([{ kind: 'delete', key: d1, ifMatch: '*' }]);
}

for (const [name, open] of Object.entries(opened)) {
  test(`${name}: changes of twins and identities are told once each, in order, in the form of the service`, async () => {
    const stores = await open();
    const log = createMemoryEventLog({ name: 'myhub', partitionCount: 2 });
    const publisher = publish(stores.twins, log);
    await history(stores);
    await publisher.close();
    assert.deepEqual(await stores.twins.events(10), []);
    const events = await told(log, 'd1');
    const forms = events.map(({ source, properties }) => [
      source,
      properties.get('iothub-message-schema'),
      properties.get('opType'),
    ]);
    assert.deepEqual(forms, [
      ['deviceLifecycleEvents', 'deviceLifecycleNotification', 'createDeviceIdentity'],
      ['twinChangeEvents', 'twinChangeNotification', 'updateTwin'],
      ['twinChangeEvents', 'twinChangeNotification', 'updateTwin'],
      ['twinChangeEvents', 'twinChangeNotification', 'replaceTwin'],
      ['deviceLifecycleEvents', 'deviceLifecycleNotification', 'deleteDeviceIdentity'],
    ]);
    const [created, updated, reported, replaced, deleted] = events;
    for (const event of events) {
      assert.deepEqual(
        [event.contentType, event.contentEncoding, event.userId, event.device],
        ['application/json', 'utf-8', 'myhub', 'd1'],
      );
      assert.deepEqual([event.properties.get('deviceId'), event.properties.get('hubName')], ['d1', 'myhub']);
    }
    assert.equal(new Set(events.map(({ correlationId }) => correlationId)).size, events.length);
    const fresh = { $metadata: { $lastUpdated: '0001-01-01T00:00:00Z' }, $version: 1 };
    assert.deepEqual(created.body, {
      ...{ deviceId: 'd1', etag: 'AAAAAAAAAAE=', version: 2 },
      properties: { desired: fresh, reported: fresh },
    });
    const stamp = { $lastUpdated: '2026-05-06T00:00:00.0000000Z', $lastUpdatedVersion: 2 };
    assert.equal(updated.properties.get('operationTimestamp'), stamp.$lastUpdated);
    assert.deepEqual(updated.body, {
      version: 3,
      tags: { t: 1 },
      properties: {
        desired: { a: { b: 1 }, c: null, $metadata: { ...stamp, a: { ...stamp, b: stamp } }, $version: 2 },
      },
    });
    const { $lastUpdated } = stamp;
    assert.deepEqual(reported.body, {
      version: 4,
      properties: { reported: { r: [1], $metadata: { $lastUpdated, r: { $lastUpdated } }, $version: 2 } },
    });
    assert.deepEqual([replaced.body.deviceId, replaced.body.version, replaced.body.tags], ['d1', 5, { u: 2 }]);
    assert.deepEqual(replaced.body.properties.reported.r, [1]);
    assert.deepEqual([deleted.body.version, deleted.body.tags], [5, { u: 2 }], 'the last state');
    await stores.close();
  });

  test(`${name}: what is in the log already when the hub comes back is not told again, and what is not is`, async () => {
    const stores = await open();
    const log = createMemoryEventLog({ name: 'myhub', partitionCount: 2 });
    await history(stores);
    const kept = await stores.twins.events(10);
    // Killed between the log and the store: the first two are in the log, and nothing was dropped.
    const half = publish(
      { ...stores.twins, events: async () => kept.slice(0, 2), dropEvents: () => Promise.reject(new Error('killed')) },
      log,
    );
    await half.close();
    assert.equal((await told(log, 'd1')).length, 2);
    const publisher = publish(stores.twins, log);
    await publisher.close();
    const correlations = (await told(log, 'd1')).map(({ correlationId }) => correlationId);
    assert.deepEqual(
      correlations,
      kept.map(({ sequence }) => sequence.toString(16)),
    );
    await stores.close();
  });
}

test('what is not among the sources is dropped untold', async () => {
  const stores = await opened.memory();
  const log = createMemoryEventLog({ name: 'myhub', partitionCount: 2 });
  const publisher = publish(stores.twins, log, ['deviceLifecycleEvents']);
  await history(stores);
  await publisher.close();
  assert.deepEqual(
    (await told(log, 'd1')).map(({ source }) => source),
    ['deviceLifecycleEvents', 'deviceLifecycleEvents'],
  );
  assert.deepEqual(await stores.twins.events(10), []);
});
