/**
 * `npm run cluster`: a hub of three nodes with Kafka, PostgreSQL and a balancer, all on loopback, to try what happens when a part
 * of it dies. Everything is new each time and is removed at the end.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { balancedEndpoints } from '../../test/drivers/balanced.ts';
import { clusterMissing, startCluster, type TestCluster } from '../../test/drivers/cluster.ts';
import { startKafka, type TestKafka } from '../../test/drivers/kafka.ts';
import { Balancer, type Target } from './balancer.ts';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '3' },
    brokers: { type: 'string', default: '1' },
    /** Any free ports, not those of a hub: for tests, and where a hub runs already. */
    'free-ports': { type: 'boolean', default: false },
  },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const fail = (text: string): never => {
  process.stderr.write(`cluster: ${text}\n`);
  process.exit(2);
};

const nodes = Number(values.nodes);
if (!Number.isInteger(nodes) || nodes < 1 || nodes > 9) fail('--nodes takes a number from 1 to 9');
if (values.brokers !== '1' && values.brokers !== '3') fail('--brokers takes 1 or 3');
const missing = clusterMissing();
if (missing !== undefined) fail(missing);

const doors = (['mqtts', 'amqps', 'https', 'amqp', 'mqtt'] as const).map((door) => ({
  door,
  port: values['free-ports'] ? 0 : { mqtts: 8883, amqps: 5671, https: 8443, amqp: 5672, mqtt: 1883 }[door],
}));

say('Starting Kafka ...');
const kafka = await startKafka({ brokers: values.brokers === '3' ? 3 : 1 });
say(`Starting ${nodes} nodes ...`);
const cluster = await startCluster({ nodes, brokers: kafka.brokers }).catch(async (error) => {
  await kafka[Symbol.asyncDispose]();
  throw error;
});
const folder = mkdtempSync(path.join(tmpdir(), 'mooring-cluster-'));
const gone = new Set<number>();
const targets = (): readonly Target[] =>
  cluster.nodes
    .map(({ endpoints }, at) => ({
      name: `node-${at + 1}`,
      ports: endpoints.ports,
      adminPort: endpoints.ports.admin ?? 0,
    }))
    .filter((_, at) => !gone.has(at + 1));
const balancer = await Balancer.open(doors, targets);
const loginFile = writeLogin();
introduce();
await obey(cluster, kafka);
await balancer[Symbol.asyncDispose]();
await cluster[Symbol.asyncDispose]();
await kafka[Symbol.asyncDispose]();
rmSync(folder, { recursive: true, force: true });
process.stdin.destroy();

/** What clients of the whole hub log in with: as a node has it, with the balancer's ports. */
function writeLogin(): string {
  const ports = Object.fromEntries(doors.map(({ door }) => [door, balancer.port(door)]));
  const file = path.join(folder, 'endpoints.json');
  const endpoints = balancedEndpoints(cluster.nodes[0].endpoints, ports);
  writeFileSync(file, JSON.stringify(endpoints), { mode: 0o600 });
  return file;
}

function introduce(): void {
  const { caFile } = cluster.nodes[0].endpoints;
  const mooring = 'npm run --silent mooring --';
  say(`
${nodes} nodes, ${values.brokers} ${values.brokers === '1' ? 'broker' : 'brokers'} of Kafka and PostgreSQL serve one hub behind a balancer:
${doors.map(({ door }) => `  ${door.padEnd(6)} ${balancer.port(door)}`).join('\n')}
${cluster.nodes.map(({ endpoints }, at) => `  node-${at + 1}  http://127.0.0.1:${endpoints.ports.admin}  (its own portal, health, metrics)`).join('\n')}

In another terminal, in this folder:
  export MOORING_LOGIN_FILE=${loginFile} NODE_EXTRA_CA_CERTS=${caFile}
  ${mooring} device create d1 --login-file $MOORING_LOGIN_FILE
  ${mooring} monitor events --login-file $MOORING_LOGIN_FILE
  ${mooring} simulate --devices 30 --rate 10 --login-file $MOORING_LOGIN_FILE

Here, while they run:
  status        which nodes are ready, and how many connections each has
  kill 2        ends node 2 at once (kill -9): its devices come to the others when its lease is over, at most 10 seconds
  drain 2       ends node 2 gently: its devices leave spread over some seconds
  hold 2        stops node 2 as a machine that hangs (SIGSTOP); \`go 2\` lets it go on
  start         starts one more node
  kill-broker 1 ends a broker at once; \`start-broker 1\` starts it again
  quit          ends everything and removes it

ready`);
}

async function obey({ nodes: all, start }: TestCluster, brokers: TestKafka): Promise<void> {
  const commands: Readonly<Record<string, (at: number) => unknown>> = {
    status: () => {
      for (const [at, { pid }] of all.entries()) {
        const name = `node-${at + 1}`;
        const state = gone.has(at + 1) ? 'ended' : balancer.isReady(name) ? 'ready' : 'not ready';
        say(`  ${name}  ${state.padEnd(9)}  ${String(balancer.connections(name)).padStart(5)} connections  pid ${pid}`);
      }
    },
    kill: async (at) => {
      gone.add(at);
      await all[at - 1].kill();
      say(`node ${at} is killed`);
    },
    drain: async (at) => {
      say(`node ${at} drains ...`);
      await all[at - 1].stop();
      gone.add(at);
      say(`node ${at} has ended`);
    },
    hold: (at) => {
      all[at - 1].signal('SIGSTOP');
      say(`node ${at} is held`);
    },
    go: (at) => {
      all[at - 1].signal('SIGCONT');
      say(`node ${at} goes on`);
    },
    start: async () => {
      const { endpoints } = await start();
      say(`node ${all.length} is there: http://127.0.0.1:${endpoints.ports.admin}`);
    },
    'kill-broker': async (id) => {
      await brokers.kill(id);
      say(`broker ${id} is killed`);
    },
    'start-broker': async (id) => {
      await brokers.restart(id);
      say(`broker ${id} is there`);
    },
  };
  const lines = createInterface({ input: process.stdin });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => lines.close());
  for await (const line of lines) {
    const [word = '', text = ''] = line.trim().split(/\s+/);
    if (word === 'quit') break;
    const known = Object.hasOwn(commands, word) ? commands[word] : undefined;
    const at = Number(text);
    const ofNode = ['kill', 'drain', 'hold', 'go'].includes(word);
    if (word === '') continue;
    if (known === undefined) say(`'${word}' is none of: ${Object.keys(commands).join(', ')}, quit`);
    else if (ofNode && (all[at - 1] === undefined || gone.has(at)))
      say(`${word} which node? One of 1 to ${all.length} that runs`);
    else if (word.endsWith('broker') && !(at >= 1 && at <= Number(values.brokers)))
      say(`${word} which broker? 1 to ${values.brokers}`);
    else await Promise.resolve(known(at)).catch((error: Error) => say(`${word} ${text} failed: ${error.message}`));
  }
}
