/** Adapters that ship, inside a real hub's machine: in processes of their own, and beside the hub's loop. */
import { after, before, describe, test } from 'node:test';
import line from '../../src/adapters/line/line.ts';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { adapterContract } from '../../src/gateway/testing/index.ts';
import { type AdapterHub, hubRig, startAdapterHub } from '../drivers/adapter-hub.ts';
import { lineDriver } from '../drivers/line-device.ts';
import { mqttTopicsDriver } from '../drivers/mqtt-topics-device.ts';

for (const run of ['process', 'hub'] as const) {
  describe(`the contract of adapters, run: ${run}`, () => {
    let open: AdapterHub;
    before(async () => {
      open = await startAdapterHub([
        { adapter: 'line', settings: { port: 0 }, run },
        { adapter: 'mqtt-topics', settings: mqttTopicsDriver.settings, run },
      ]);
    });
    after(() => open[Symbol.asyncDispose]());
    for (const [name, cases] of [
      ['line', adapterContract(line, lineDriver, () => hubRig(open, 'line')())],
      ['mqtt-topics', adapterContract(mqttTopics, mqttTopicsDriver, () => hubRig(open, 'mqtt-topics')())],
    ] as const) {
      for (const { title, run: check } of cases) test(`${name}: ${title}`, { timeout: 30_000 }, check);
    }
  });
}
