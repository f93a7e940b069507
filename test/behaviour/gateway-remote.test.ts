/** A gateway beside the devices, with a real hub as a process of its own. */
import { after, before, describe, test } from 'node:test';
import line from '../../src/adapters/line/line.ts';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { adapterContract } from '../../src/gateway/testing/contract.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { lineDriver } from '../drivers/line-device.ts';
import { mqttTopicsDriver } from '../drivers/mqtt-topics-device.ts';
import { remoteRig } from '../drivers/remote-rig.ts';

describe('the contract of adapters, beside the devices', () => {
  let hub: TestHub;
  before(async () => {
    hub = await startHub();
  });
  after(() => hub[Symbol.asyncDispose]());
  for (const [name, cases] of [
    ['line', adapterContract(line, lineDriver, () => remoteRig(hub))],
    ['mqtt-topics', adapterContract(mqttTopics, mqttTopicsDriver, () => remoteRig(hub))],
  ] as const) {
    for (const { title, run } of cases) test(`${name}: ${title}`, { timeout: 20_000 }, run);
  }
});
