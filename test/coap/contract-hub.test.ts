/** The contract of adapters, kept by coap inside a real hub's machine, in a process of its own. */
import { after, before, describe, test } from 'node:test';
import coap from '../../src/adapters/coap/index.ts';
import { adapterContract, type ContractDriver, type ContractRig } from '../../src/gateway/testing/index.ts';
import { type AdapterHub, hubRig, startAdapterHub } from '../drivers/adapter-hub.ts';
import { coapDriver, oscoreDriver } from '../drivers/coap-device.ts';

/** A host keeps a shared key for a minute; so each case has devices of other names. */
let names = 0;
const named = (device: string): string => `${device}-${names}`;

function ownNames(driver: ContractDriver): ContractDriver {
  return { ...driver, connect: (port, device, key) => driver.connect(port, named(device), key) };
}

async function ownNamesRig(rig: Promise<ContractRig>): Promise<ContractRig> {
  names++;
  const of = await rig;
  return {
    ...of,
    addDevice: (device) => of.addDevice(named(device)),
    texts: (device) => of.texts(named(device)),
    sendCommand: (device, text) => of.sendCommand(named(device), text),
    callMethod: (device, name, payload) => of.callMethod(named(device), name, payload),
    setDesired: (device, patch) => of.setDesired(named(device), patch),
    reported: (device) => of.reported(named(device)),
    disable: (device) => of.disable(named(device)),
  };
}

describe("the contract of adapters: coap in the hub's machine", () => {
  let open: AdapterHub;
  before(async () => {
    open = await startAdapterHub([{ adapter: 'coap', settings: { udp: { port: 0 } }, sharedKeysOf: ['*'] }]);
  });
  after(() => open[Symbol.asyncDispose]());
  for (const [name, driver] of [
    ['without protection', coapDriver],
    ['by OSCORE', oscoreDriver],
  ] as const)
    for (const { title, run } of adapterContract(coap, ownNames(driver), () => ownNamesRig(hubRig(open, 'coap')())))
      test(`${name}: ${title}`, { timeout: 30_000 }, run);
});
