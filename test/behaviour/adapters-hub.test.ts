/** The adapter `line` inside a real hub's machine: in a process of its own, and beside the hub's loop. */
import { after, before, describe, test } from 'node:test';
import line from '../../src/adapters/line/line.ts';
import { adapterContract } from '../../src/gateway/testing/index.ts';
import { type AdapterHub, hubRig, startAdapterHub } from '../drivers/adapter-hub.ts';
import { lineDriver } from '../drivers/line-device.ts';

for (const run of ['process', 'hub'] as const) {
  describe(`the contract of adapters: line, run: ${run}`, () => {
    let open: AdapterHub;
    before(async () => {
      open = await startAdapterHub([{ adapter: 'line', settings: { port: 0 }, run }]);
    });
    after(() => open[Symbol.asyncDispose]());
    for (const { title, run: check } of adapterContract(line, lineDriver, () => hubRig(open, 'line')())) {
      test(title, { timeout: 30_000 }, check);
    }
  });
}
