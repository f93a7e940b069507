// What devices and modules of azure-iot-device do with their twins and methods.
import { promisify } from 'node:util';
import { report } from './link.mjs';

/** Time for an answer that must not come in time; behind it the SDK may say it. */
const SILENT = 'silent';

/** @param clients by the names that the test gives */
export function twinOperations(clients) {
  const twins = new Map();
  const twinOf = async (device) => {
    const twin = twins.get(device) ?? (await clients.get(device).getTwin());
    twins.set(device, twin);
    return twin;
  };
  const plain = (value) => JSON.parse(JSON.stringify(value));
  return {
    async getTwin(device) {
      const twin = await twinOf(device);
      await promisify(twin.get.bind(twin))();
      return plain(twin.properties);
    },
    async report(device, patch) {
      const twin = await twinOf(device);
      await promisify(twin.properties.reported.update)(patch);
    },
    /** The SDK hands over what is there already, then every change, as an event `desired`. */
    async watchTwin(device) {
      const twin = await twinOf(device);
      // A listener enables the pushes, too, but tells nobody when that is done.
      await promisify(twin.enableTwinDesiredPropertiesUpdates.bind(twin))();
      twin.on('properties.desired', (patch) => report('desired', { device, patch: plain(patch) }));
    },
    /** Each name with how it is answered: `echo` with what came, a number with that status, `silent` not at all. */
    async answerMethods(device, answers) {
      const client = clients.get(device);
      const listen = (client.onDeviceMethod ?? client.onMethod).bind(client);
      for (const [name, how] of Object.entries(answers)) {
        listen(name, (request, response) => {
          report('method', { device, name, payload: request.payload });
          if (how === SILENT) return;
          const status = how === 'echo' ? 200 : how;
          response.send(status, request.payload, (error) => error && report('client error', { error: String(error) }));
        });
      }
    },
  };
}
