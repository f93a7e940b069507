/** The contract of adapters, kept by coap: with a hub in memory, and beside the devices with a real hub. */
import { after, before, describe, test } from 'node:test';
import coap from '../../src/adapters/coap/index.ts';
import { adapterContract, fakeRig } from '../../src/gateway/testing/index.ts';
import { coapDriver, oscoreDriver } from '../drivers/coap-device.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { remoteRig } from '../drivers/remote-rig.ts';

for (const [name, driver] of [
  ['without protection', coapDriver],
  ['by OSCORE', oscoreDriver],
] as const)
  describe(`the contract of adapters: coap ${name}, fake hub`, () => {
    for (const { title, run } of adapterContract(coap, driver, fakeRig)) test(title, { timeout: 20_000 }, run);
  });

describe('the contract of adapters: coap, beside the devices', () => {
  let hub: TestHub;
  before(async () => {
    hub = await startHub();
  });
  after(() => hub[Symbol.asyncDispose]());
  for (const [name, driver] of [
    ['without protection', coapDriver],
    ['by OSCORE', oscoreDriver],
  ] as const)
    for (const { title, run } of adapterContract(coap, driver, () => remoteRig(hub, { sharedKeysOf: ['*'] })))
      test(`${name}: ${title}`, { timeout: 20_000 }, run);
});
