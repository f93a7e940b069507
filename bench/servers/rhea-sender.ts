/**
 * The peer of `telemetry-out`: a plain program on rhea, the library under the vendor's JavaScript SDKs, that sends messages
 * with the hub's annotations and a body of the same length, settled, as fast as credit comes. Nothing is stored, read,
 * checked or limited. Every connection gets EVENTS messages in all, spread over its PARTITIONS links.
 *
 *     node rhea-sender.ts EVENTS PARTITIONS PAYLOAD_BYTES   prints `ready PORT`
 */
import { once } from 'node:events';
import type net from 'node:net';
import rhea from 'rhea';

const [events, partitions, payloadBytes] = process.argv.slice(2).map(Number);
const container = rhea.create_container();
container.sasl_server_mechanisms.enable_plain(() => true);
const body = rhea.message.data_section(Buffer.alloc(payloadBytes, 'x'));
const authMethod = '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}';
const left = new Map<rhea.Sender, number>();
let opened = 0;

function send({ sender }: rhea.EventContext): void {
  if (sender === undefined) return;
  let rest = left.get(sender) ?? 0;
  while (rest > 0 && sender.sendable()) {
    sender.send({ message_annotations: annotations(rest--), body });
  }
  left.set(sender, rest);
}

/** What an event of the hub carries (service reference 5.6). */
function annotations(sequence: number): Record<string, unknown> {
  return {
    'x-opt-sequence-number': sequence,
    'x-opt-offset': String(10 ** 15 + sequence),
    'x-opt-enqueued-time': rhea.types.wrap_timestamp(Date.now()),
    'iothub-connection-device-id': 'bench-0',
    'iothub-connection-auth-method': authMethod,
    'iothub-connection-auth-generation-id': '638000000000000000',
    'iothub-message-source': 'Telemetry',
  };
}

container.on('sender_open', ({ sender }: rhea.EventContext) => {
  if (sender === undefined) return;
  sender.set_source(sender.source);
  // rhea keeps what it will answer in `local`, which its types leave out.
  (sender as unknown as { local: { attach: { snd_settle_mode: number } } }).local.attach.snd_settle_mode = 1;
  const link = opened++ % partitions;
  left.set(sender, Math.floor(events / partitions) + (link < events % partitions ? 1 : 0));
});
container.on('sendable', send);
for (const event of ['disconnected', 'error', 'connection_error', 'protocol_error']) {
  container.on(event, ({ connection }: rhea.EventContext) => {
    for (const sender of left.keys()) if (sender.connection === connection) left.delete(sender);
  });
}
const server = container.listen({ port: 0, host: '127.0.0.1' }) as net.Server;
await once(server, 'listening');
process.stdout.write(`ready ${(server.address() as net.AddressInfo).port}\n`);
process.on('SIGTERM', () => process.exit(0));
