// What modules of azure-iot-device do beside what they share with devices.
import { report } from './link.mjs';

/**
 * @param clients by the names that the test gives
 * @param message makes the SDK's message of what the test wants
 */
export function moduleOperations(clients, message) {
  return {
    async sendOutput(device, output, wanted) {
      await clients.get(device).sendOutputEvent(output, message(wanted));
    },
    listenInputs(device) {
      clients.get(device).on('inputMessage', (name) => report('input', { device, name }));
    },
  };
}
