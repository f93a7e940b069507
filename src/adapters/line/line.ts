/**
 * Lines of text over TCP or TLS, to be copied. A device logs in, then each line is a message. Lines are answered in order:
 *
 *     device                              adapter
 *     login meter-1 <key>                 ok             or `no unauthorized`, and the end
 *     {"temperature":21.5}                ok             it is on a disk; or `no <code>`: it is not taken
 *     report {"firmware":"1.2"}           ok
 *     twin                                twin {"desired":{…},"reported":{…}}
 *     done <id> | reject <id> | abandon <id>          <- command <id> <text>
 *     answer <id> <status> <json>                     <- method <id> <name> <json>
 *                                         desired <version> <json>
 *                                         bye <reason>   the session has ended
 */
import { type AdapterDefinition, type Connection, type Host, Refused, readLines, z } from '../../gateway/index.ts';

const settings = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(4001),
  /** `host` = the certificate of the hub or gateway; absent = plain, which shows keys to the network. */
  tls: z.union([z.literal('host'), z.strictObject({ certificateFile: z.string(), keyFile: z.string() })]).optional(),
  format: z.enum(['json', 'text']).default('json'),
});
type Settings = z.infer<typeof settings>;
const definition: AdapterDefinition<Settings> = {
  name: 'line',
  apiVersion: 1,
  summary: 'Newline-separated JSON or text over TCP or TLS.',
  settings,
  create: (host, { host: address, port, tls, format }) => ({
    async start() {
      const options = { host: address, port, ...(tls && { tls: { certificate: tls } }) };
      const listening = await host.listeners.tcp(options, (connection) => serve(host, connection, format));
      host.metrics.gauge('port', listening.port);
    },
  }),
};
export default definition;
async function serve(host: Host, connection: Connection, format: Settings['format']): Promise<void> {
  const say = (line: string): void => void connection.write(`${line}\n`);
  const questions = new Map<string, (answer: readonly string[]) => void>();
  const ask = (id: string, question: string, signal: AbortSignal): Promise<readonly string[]> => {
    say(question);
    const answered = new Promise<readonly string[]>((resolve, reject) => {
      questions.set(id, resolve);
      signal.addEventListener('abort', reject, { once: true });
    });
    return answered.finally(() => questions.delete(id));
  };
  let calls = 0;
  const login = (device = '', key = '') =>
    host.connect(
      { kind: 'key', device, key },
      {
        async command({ id, body }, signal) {
          const text = Buffer.from(body)
            .toString()
            .replace(/[\r\n]+/g, ' ');
          const [word] = await ask(id, `command ${id} ${text}`, signal);
          return word === 'done' ? 'complete' : word === 'reject' ? 'reject' : 'abandon';
        },
        async method({ name, payload = null }, signal) {
          const id = String(++calls);
          const [, , status, ...json] = await ask(id, `method ${id} ${name} ${JSON.stringify(payload)}`, signal);
          return { status: Number(status), payload: JSON.parse(json.join(' ') || 'null') };
        },
        desired: (patch, version) => say(`desired ${version} ${JSON.stringify(patch)}`),
        closed: (reason) => void connection.end(`bye ${reason}\n`),
      },
      { peer: connection.peer },
    );

  const kind = { contentType: format === 'json' ? 'application/json' : 'text/plain', contentEncoding: 'utf-8' };
  let session: Awaited<ReturnType<typeof login>> | undefined;
  let sent: Promise<void> = Promise.resolve();
  const refuse = (error: unknown): void => say(`no ${error instanceof Refused ? error.code : 'invalid'}`);
  try {
    for await (const line of readLines(connection, host.limits.messageBytesMax)) {
      const words = line.split(' ', 2);
      if (session === undefined) {
        session = await login(...(words[0] === 'login' ? line.split(' ').slice(1) : []));
        say('ok');
      } else if (/^(done|reject|abandon|answer)$/.test(words[0])) {
        questions.get(words[1])?.(line.split(' '));
      } else if (words[0] === 'twin' || words[0] === 'report') {
        await sent;
        if (words[0] === 'twin') say(`twin ${JSON.stringify(await session.twin())}`);
        else sent = session.report(JSON.parse(line.slice(7))).then(() => say('ok'), refuse);
      } else {
        if (!session.writable) await session.drained();
        sent = session.send({ body: line, ...kind }).then(() => say('ok'), refuse);
      }
    }
  } catch (error) {
    refuse(error);
  } finally {
    await session?.close();
    connection.end();
  }
}
