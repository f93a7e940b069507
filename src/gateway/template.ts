/** What `mooring gateway init` writes: an adapter for lines of text, its test and its page. */

const ADAPTER = `/** Lines of text over TCP: the first one is the name of the device and its key, each other one is a message. */
import { type AdapterDefinition, type Connection, type Host, readLines, Refused, z } from 'mooring/gateway';

const settings = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(4100),
});

const definition: AdapterDefinition<z.infer<typeof settings>> = {
  name: 'NAME',
  apiVersion: 1,
  summary: 'Lines of text over TCP.',
  settings,
  create: (host, { host: address, port }) => ({
    async start() {
      await host.listeners.tcp({ host: address, port }, (connection) => serve(host, connection));
    },
  }),
};
export default definition;

async function serve(host: Host, connection: Connection): Promise<void> {
  const say = (line: string): void => void connection.write(\`\${line}\\n\`);
  const login = (device = '', key = '') =>
    host.connect(
      { kind: 'key', device, key },
      {
        // What a handler returns settles the command. This device is told, and asked nothing.
        async command({ body }) {
          say(\`command \${Buffer.from(body).toString()}\`);
          return 'complete';
        },
        closed: (reason) => void connection.end(\`bye \${reason}\\n\`),
      },
      { peer: connection.peer },
    );
  let session: Awaited<ReturnType<typeof login>> | undefined;
  try {
    for await (const line of readLines(connection, host.limits.messageBytesMax)) {
      if (session === undefined) {
        session = await login(...line.split(' '));
        say('ok');
        continue;
      }
      // Nothing is read of a device that is to be slowed.
      if (!session.writable) await session.drained();
      // Resolves when the message is on a disk: only then may the device forget it.
      session.send({ body: line, contentType: 'text/plain', contentEncoding: 'utf-8' }).then(
        () => say('ok'),
        (error) => say(\`no \${error.code}\`),
      );
    }
  } catch (error) {
    say(\`no \${error instanceof Refused ? error.code : 'invalid'}\`);
  } finally {
    await session?.close();
    connection.end();
  }
}
`;

/** Of the test, in words that are not taken for an import of this file. */
const OWN = './adapter.ts';

const TEST = `/** The contract of adapters, against a hub in memory: \`mooring gateway test .\` */
import { once } from 'node:events';
import net from 'node:net';
import readline from 'node:readline';
import { test } from 'node:test';
import { adapterContract, type ContractDriver, fakeRig } from 'mooring/gateway/testing';
import adapter from '${OWN}';

/** Speaks the protocol as a device does. */
const driver: ContractDriver = {
  settings: { port: 0 },
  async connect(port, device, key) {
    const socket = net.connect(port, '127.0.0.1');
    const waiting: ((line: string) => void)[] = [];
    const ended = once(socket, 'close').then(() => {});
    readline.createInterface({ input: socket }).on('line', (line) => {
      if (/^(ok|no)/.test(line)) waiting.shift()?.(line);
    });
    const send = async (line: string): Promise<void> => {
      socket.write(\`\${line}\\n\`);
      const answer = await Promise.race([new Promise<string>((resolve) => waiting.push(resolve)), ended]);
      if (answer !== 'ok') throw new Error(\`refused: \${answer}\`);
    };
    await send(\`\${device} \${key}\`);
    return {
      send,
      ended,
      async leave() {
        socket.end();
        await ended;
      },
    };
  },
};

for (const { title, run } of adapterContract(adapter, driver, fakeRig)) test(title, run);
`;

const PAGE = `# NAME

    mooring gateway test .                     # the contract, against a hub in memory
    mooring gateway describe ./adapter.ts      # its settings

In a hub: \`{ "adapters": [{ "adapter": "./NAME/adapter.ts", "name": "NAME", "settings": { "port": 4100 } }] }\` in the file of \`--config\`.
Beside the devices: \`mooring gateway run ./adapter.ts\`.
`;

/** Files by their names. @param name Of the adapter, as `ADAPTER_NAME` has it */
export function templateFiles(name: string): Readonly<Record<string, string>> {
  const named = (text: string): string => text.replaceAll('NAME', name);
  return { 'adapter.ts': named(ADAPTER), 'adapter.test.ts': named(TEST), 'README.md': named(PAGE) };
}
