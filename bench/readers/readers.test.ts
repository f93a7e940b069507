import assert from 'node:assert/strict';
import { once } from 'node:events';
import type net from 'node:net';
import { test } from 'node:test';
import rhea from 'rhea';
import { countingReader } from './counting.ts';
import type { ReadAll } from './reader.ts';
import { rheaReader } from './rhea.ts';

const PARTITIONS = 3;
const EACH = 5000;

/** An AMQP server of another make: sends `EACH` messages on every link as credit allows. */
async function startSender(settled: boolean): Promise<net.Server> {
  const container = rhea.create_container();
  container.sasl_server_mechanisms.enable_plain((user: string, password: string) => user === 'p' && password === 'k=');
  const sent = new Map<rhea.Sender, number>();
  const send = ({ sender }: rhea.EventContext): void => {
    if (sender === undefined) return;
    for (let n = sent.get(sender) ?? 0; n < EACH && sender.sendable(); n++) {
      // Some are longer than a frame: a delivery of several transfers counts once.
      const size = n % 1000 === 999 ? 100_000 : 200;
      sender.send({ body: rhea.message.data_section(Buffer.alloc(size)) });
      sent.set(sender, n + 1);
    }
  };
  container.on('sendable', send);
  container.on('disconnected', () => {});
  container.on('sender_open', ({ sender }: rhea.EventContext) => {
    sender?.set_source(sender.source);
    // rhea keeps what it will answer in `local`, which its types leave out.
    const { local } = sender as unknown as { local: { attach: { snd_settle_mode: number } } };
    if (settled) local.attach.snd_settle_mode = 1;
  });
  const server = container.listen({ port: 0, host: '127.0.0.1', max_frame_size: 16_384 });
  await once(server, 'listening');
  return server;
}

for (const [name, read] of [
  ['counting', countingReader],
  ['rhea', rheaReader],
] as readonly (readonly [string, ReadAll])[]) {
  for (const settled of [true, false]) {
    test(`the ${name} reader counts every event once, ${settled ? 'settled' : 'unsettled'}`, async () => {
      const server = await startSender(settled);
      try {
        const milliseconds = await read(
          {
            host: '127.0.0.1',
            port: (server.address() as net.AddressInfo).port,
            connectionString: 'Endpoint=sb://localhost/;SharedAccessKeyName=p;SharedAccessKey=k=;EntityPath=hub',
            consumerGroup: '$Default',
            partitions: PARTITIONS,
          },
          PARTITIONS * EACH,
        );
        assert.ok(milliseconds > 0);
      } finally {
        server.close();
      }
    });
  }
}

test('the counting reader is refused with a wrong key, and says so', async () => {
  const server = await startSender(true);
  const place = { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port, partitions: 1 };
  const connectionString = 'Endpoint=sb://localhost/;SharedAccessKeyName=p;SharedAccessKey=no;EntityPath=hub';
  await assert.rejects(
    countingReader({ ...place, connectionString, consumerGroup: '$Default' }, 1),
    /refused the login/,
  );
  server.close();
});
