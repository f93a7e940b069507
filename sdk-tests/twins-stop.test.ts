/**
 * The hub stops in good order while devices wait for answers about their twins, and comes back: all go on. Java's SDK sends each
 * request again that had no answer; those of npm and Python wait for ever for an answer that went down with its connection.
 */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { TestHub } from '../test/drivers/hub.ts';
import type { Answer } from './support/client.ts';
import { DeviceProcess, type DeviceSdk, type DeviceTransport, deviceSdks } from './support/device-sdks.ts';
import { type Device, openRegistry, startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const REQUESTS = 20;
/** Java's asks again every three seconds, and comes back to a hub that was away after some more; a busy machine starts three nodes in a minute. */
const END_MS_MAX = 180_000;
const operations = {
  again: 'the hub stops while twin requests wait, and comes back: each is answered, and the device goes on',
  on: 'the hub stops while twin requests wait, and comes back: the device goes on',
} as const;

const pairs = deviceSdks.flatMap((sdk) =>
  sdk.transports.filter(({ requests }) => requests !== true).map((transport) => [sdk, transport] as const),
);
const idOf = (sdk: DeviceSdk, transport: DeviceTransport): string => `${sdk.language}-${transport.name}`.toLowerCase();

describe('a stop under twin requests', { skip: await whyNot() }, () => {
  let hub: TestHub;
  const processes = new Map<DeviceSdk, DeviceProcess>();
  const devices = new Map<string, Device>();
  /** Of each device, how its requests ended. */
  const ended = new Map<string, Promise<readonly Answer[]>>();

  before(async () => {
    hub = await startStockHub();
    const registry = await openRegistry(hub);
    const ids = pairs.map(([sdk, transport]) => idOf(sdk, transport));
    for (const device of await registry.createDevices(hub, ids)) devices.set(device.deviceId, device);
    await registry.stop();
    for (const sdk of deviceSdks) {
      if (missing(sdk.language) === undefined) processes.set(sdk, await DeviceProcess.start(sdk, hub));
    }
    const ready = pairs.map(async ([sdk, transport]) => {
      const process = processes.get(sdk);
      if (process === undefined) return;
      const deviceId = idOf(sdk, transport);
      await process.open(devices.get(deviceId) as Device, transport);
      await process.client.must('watchTwin', deviceId);
      await process.client.must('report', deviceId, { before: 1 });
    });
    await Promise.all(ready);
    for (const [sdk, transport] of pairs) {
      const client = processes.get(sdk)?.client;
      if (client === undefined) continue;
      const deviceId = idOf(sdk, transport);
      const calls = Array.from({ length: REQUESTS }, () => client.callWithin(END_MS_MAX, 'getTwin', deviceId));
      const all = Promise.all(calls);
      all.catch(() => {});
      ended.set(deviceId, all);
    }
    await hub.stop();
    hub = await hub.restart();
  });

  after(async () => {
    for (const process of processes.values()) await process[Symbol.asyncDispose]();
    await hub?.[Symbol.asyncDispose]();
  });

  describe('after the stop', { concurrency: pairs.length }, () => {
    for (const [sdk, transport] of pairs) {
      const operation = operations[sdk.language === 'Java' ? 'again' : 'on'];
      shows({ sdk: sdk.name, transport: transport.name, operation }, missing(sdk.language), async () => {
        const { client } = processes.get(sdk) as DeviceProcess;
        const deviceId = idOf(sdk, transport);
        if (sdk.language === 'Java') {
          for (const { value, error } of (await ended.get(deviceId)) ?? []) {
            assert.equal(error, undefined);
            assert.equal(value.reported.before, 1);
          }
        }
        await client.must('report', deviceId, { after: 1 });
        const { reported } = await client.must('getTwin', deviceId);
        assert.partialDeepStrictEqual(reported, { before: 1, after: 1 });
      });
    }
  });
});
