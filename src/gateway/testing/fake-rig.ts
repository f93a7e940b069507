import type { ContractRig } from './contract.ts';
import { FakeHub } from './fake-hub.ts';
import { type RunningAdapter, runAdapter } from './run-adapter.ts';

/** The contract against the fake hub: no process, milliseconds. */
export async function fakeRig(): Promise<ContractRig> {
  const hub = new FakeHub();
  let running: RunningAdapter | undefined;
  return {
    async start(definition, settings) {
      running = await runAdapter(definition, settings, hub);
      return running.ports[0];
    },
    addDevice: async (device) => hub.addDevice(device),
    texts: async (device) => hub.textsOf(device),
    sendCommand: (device, text) => hub.sendCommand(device, text),
    callMethod: (device, name, payload) => hub.callMethod(device, name, payload),
    setDesired: async (device, patch) => hub.setDesired(device, patch),
    reported: async (device) => hub.reportedBy(device),
    giveFile: async (device, name, bytes) => hub.putFile(device, name, bytes),
    uploaded: async (device, name) => hub.fileOf(device, name),
    disable: async (device) => hub.end(device, 'disabled'),
    stop: async () => running?.stop(),
  };
}
