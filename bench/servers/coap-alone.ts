/** The adapter coap in a process of its own with a hub in memory that keeps nothing: what the protocol and its protections cost. */
import coap from '../../src/adapters/coap/index.ts';
import { FakeHub, runAdapter } from '../../src/gateway/testing/index.ts';

/** Arguments: settings, and devices as pairs of id and key. Prints the ports of the listeners. */
const [settings, devices] = process.argv.slice(2).map((text) => JSON.parse(text));
const hub = new FakeHub();
for (const [id, key] of devices) hub.addDevice(id, key);
setInterval(() => hub.messages.splice(0), 100);
const { ports } = await runAdapter(coap, settings, hub);
process.stdout.write(`${JSON.stringify(ports)}\n`);
