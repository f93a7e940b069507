/** Starts the nodes, Kafka and the balancer, and carries out what is typed; `main.ts` runs it as a process of its own. */
import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { clusterMissing, startCluster } from '../../test/drivers/cluster.ts';
import { startKafka } from '../../test/drivers/kafka.ts';
import { Balancer } from './balancer.ts';
import { obey } from './orders.ts';
import { Scene } from './scene.ts';

const options = {
  nodes: { type: 'string', default: '3' },
  brokers: { type: 'string', default: '1' },
  /** Any free ports, not those of a hub: for tests, and where a hub runs already. */
  'free-ports': { type: 'boolean', default: false },
  /** For everything that is kept while it runs; removed at the end. */
  folder: { type: 'string', default: '' },
} as const;
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const fail = (text: string): never => {
  process.stderr.write(`cluster: ${text}\n`);
  process.exit(2);
};

const read = () => {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
};

const values = read();
const nodes = Number(values.nodes);
if (!Number.isInteger(nodes) || nodes < 1 || nodes > 9) fail('--nodes takes a number from 1 to 9');
if (values.brokers !== '1' && values.brokers !== '3') fail('--brokers takes 1 or 3');
const missing = clusterMissing();
if (missing !== undefined) fail(missing);
const brokers = values.brokers === '3' ? 3 : 1;
const { folder } = values;
if (folder === '') fail('is started by main.ts, which gives it a folder');
process.env.TMPDIR = folder;

const doors = (['mqtts', 'amqps', 'https', 'amqp', 'mqtt'] as const).map((door) => ({
  door,
  port: values['free-ports'] ? 0 : { mqtts: 8883, amqps: 5671, https: 8443, amqp: 5672, mqtt: 1883 }[door],
}));

// Whatever ends it, from here on: what has been started is ended and removed first.
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ending.abort());
ending.signal.addEventListener('abort', () => say('Ending everything ...'));
// The end of the process that clears up behind this one; the channel to it keeps nothing waiting.
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();
// Who reads it may have gone, as a terminal that has been closed: what has been started is ended all the same.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

try {
  await run();
} catch (error) {
  // A signal ends nodes at once, so that a start that is under way fails by it.
  if (!ending.signal.aborted) {
    process.stderr.write(`cluster: ${explained(error as NodeJS.ErrnoException)}\n`);
    process.exitCode = 1;
  }
}
process.stdin.destroy();

async function run(): Promise<void> {
  await using opened = new AsyncDisposableStack();
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  // First, so that a port that is taken is known at once.
  let scene: Scene | undefined;
  const balancer = opened.use(await Balancer.open(doors, () => scene?.targets() ?? []));

  say(brokers === 1 ? 'Starting Kafka ...' : `Starting Kafka, ${brokers} brokers ...`);
  const kafka = opened.use(await startKafka({ brokers, ended: (id, how) => scene?.brokerEnded(id, how) }));
  if (ending.signal.aborted) return;
  say(`Starting ${nodes} ${nodes === 1 ? 'node' : 'nodes'} ...`);
  const cluster = opened.use(await startCluster({ nodes, brokers: kafka.brokers }));
  if (ending.signal.aborted) return;
  const ports = Object.fromEntries(doors.map(({ door }) => [door, balancer.port(door)]));
  scene = new Scene({ cluster, kafka, balancer, brokers, ports, folder, say, ending: ending.signal });
  await scene.seen();
  scene.introduce();
  await obey(scene, say, ending.signal);
  ending.abort();
  // Before the nodes, which have nobody to empty themselves of then.
  await balancer[Symbol.asyncDispose]();
  await opened.disposeAsync();
  say('Everything has ended, and nothing of it is left.');
}

function explained({ code, message, port }: NodeJS.ErrnoException & { readonly port?: number }): string {
  if (code !== 'EADDRINUSE') return message;
  return `port ${port} is taken, by another hub perhaps. End what has it, or take any free ports: npm run cluster -- --free-ports`;
}
