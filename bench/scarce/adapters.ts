/** The adapters that ship, each with its real listener in front of a hub in memory: what is on the wire is the same. */
import { once } from 'node:events';
import net from 'node:net';
import readline from 'node:readline';
import line from '../../src/adapters/line/line.ts';
import mqttTopics from '../../src/adapters/mqtt-topics/index.ts';
import { limits } from '../../src/base/limits.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { MqttClient } from './mqtt-client.ts';
import { body, openTls, type Subject } from './subject.ts';

const ID = 'meter-1';
const KEEP_ALIVE_SECONDS = Math.floor(limits.mqttKeepAliveMsMax / 1500);

export interface AdapterSubjects {
  readonly subjects: readonly Subject[];
  stop(): Promise<void>;
}

/** Files with the certificate of the listeners and its key; `ca`, PEM, is what clients trust. */
export interface Certificate {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly ca: string;
}

export async function adapters({ ca, ...tls }: Certificate): Promise<AdapterSubjects> {
  const hub = new FakeHub();
  const key = hub.addDevice(ID);
  const running: RunningAdapter[] = [];
  const start = async (definition: Parameters<typeof runAdapter>[0], settings: object): Promise<number> => {
    const adapter = await runAdapter(definition, settings, hub);
    running.push(adapter);
    return adapter.ports[0];
  };
  const ways = [
    { protection: 'TLS 1.3', isTls: true },
    { protection: 'none', isTls: false },
  ] as const;
  const stream = async (isTls: boolean, port: number, session: Buffer | undefined) => {
    if (isTls) return openTls(port, ca, session);
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return { socket, session: () => undefined };
  };

  const subjects: Subject[] = [];
  for (const { protection, isTls } of ways) {
    subjects.push({
      ...{ name: 'adapter mqtt-topics', protection, transport: 'tcp', silenceSecondsMax: KEEP_ALIVE_SECONDS },
      port: await start(mqttTopics, {
        listen: { port: 0, ...(isTls ? { tls } : { plain: true }) },
        presets: ['tasmota'],
      }),
      async open(port, session) {
        const { socket, session: kept } = await stream(isTls, port, session);
        const client = new MqttClient(socket);
        await client.connect('plug', ID, key, KEEP_ALIVE_SECONDS);
        return {
          send: (bytes) => client.publish('tele/plug/SENSOR', body(bytes)),
          keepAlive: () => client.ping(),
          session: kept,
          close: () => client.close(),
        };
      },
    });
    subjects.push({
      ...{ name: 'adapter line', protection, transport: 'tcp', silenceSecondsMax: undefined },
      port: await start(line, { port: 0, ...(isTls && { tls }) }),
      async open(port, session) {
        const { socket, session: kept } = await stream(isTls, port, session);
        const lines = readline.createInterface({ input: socket });
        const say = async (text: string): Promise<void> => {
          const answered = once(lines, 'line');
          socket.write(`${text}\n`);
          const [answer] = await answered;
          if (answer !== 'ok') throw new Error(`${text.split(' ')[0]} was answered ${answer}`);
        };
        await say(`login ${ID} ${key}`);
        return {
          send: (bytes) => say(body(bytes)),
          keepAlive: 'tcp',
          session: kept,
          async close() {
            const closed = once(socket, 'close');
            socket.end();
            await closed;
          },
        };
      },
    });
  }
  return {
    subjects,
    async stop() {
      for (const adapter of running) await adapter.stop();
    },
  };
}
