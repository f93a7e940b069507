/** An adapter that asks its host for what a test says, a line each: what it may do, and what it may not. */
import {
  type AdapterDefinition,
  type Connection,
  type Host,
  type Proof,
  Refused,
  readLines,
  z,
} from '../../src/gateway/index.ts';

const definition: AdapterDefinition<{ port: number }> = {
  name: 'rights',
  apiVersion: 1,
  settings: z.strictObject({ port: z.int() }),
  create: (host, { port }) => ({
    start: async () => void (await host.listeners.tcp({ port }, (connection) => serve(host, connection))),
  }),
};
export default definition;

/** `vouched NAME`, `psk NAME`: a session, which sends a message, then three that have the same head, and completes commands. `key NAME`: its shared key. */
async function serve(host: Host, connection: Connection): Promise<void> {
  for await (const line of readLines(connection, 1000)) {
    const [kind, device] = line.split(' ');
    try {
      if (kind === 'key') {
        const key = await host.sharedKey(device);
        connection.write(`${key === undefined ? 'none' : Buffer.from(key).toString('hex')}\n`);
        continue;
      }
      const options = { peer: '192.0.2.7', address: `eui-${device}` };
      const session = await host.connect({ kind, device } as Proof, { command: async () => 'complete' }, options);
      await session.send({
        body: '{"n":1}',
        messageId: 'm1',
        address: `port/${device}/7`,
        properties: { level: 'low' },
      });
      for (let sent = 0; sent < 3; sent++) await session.send({ body: '{"n":2}', address: `port/${device}/8` });
      connection.write(`sent ${session.device}\n`);
    } catch (error) {
      connection.write(`${error instanceof Refused ? error.code : String(error)}\n`);
    }
  }
}
