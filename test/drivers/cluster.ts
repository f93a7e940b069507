/**
 * Several hub processes that serve one hub, over a broker and a database that they share:
 *
 *     await using cluster = await startCluster({ nodes: 2 });
 *     const [a, b] = cluster.nodes;
 *
 * PostgreSQL is that of `scripts/postgres-for-tests.sh`; the broker that of `scripts/kafka-for-tests.ts`, else one is started. Where
 * either is missing, `clusterMissing` says why.
 */
import { randomBytes } from 'node:crypto';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from './api.ts';
import { type HubOptions, startHub, type TestHub } from './hub.ts';
import { kafkaMissing, startKafka, type TestKafka } from './kafka.ts';
import { MqttDriver } from './mqtt.ts';

const postgres = process.env.MOORING_TEST_POSTGRES;

/** Why there can be no cluster here; undefined = there can. */
export function clusterMissing(): string | undefined {
  if (postgres === undefined) return 'MOORING_TEST_POSTGRES is not set: run it by scripts/postgres-for-tests.sh';
  return process.env.MOORING_TEST_KAFKA === undefined ? kafkaMissing() : undefined;
}

export interface ClusterOptions {
  /** How many to begin with; 2 by default. */
  readonly nodes?: number;
  /** Flags of every node. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** `host:port` of brokers to use; absent = those of the environment, else one of its own. */
  readonly brokers?: readonly string[];
}

export interface TestCluster extends AsyncDisposable {
  /** In the order in which they were started; one that has ended stays. */
  readonly nodes: readonly TestHub[];
  /** Of all nodes: `postgres://…`, and the schema in it. */
  readonly database: { readonly url: string; readonly schema: string };
  /** Starts one more, as `node-N` where the flags do not name it otherwise. */
  start(options?: Omit<HubOptions, 'dataDir'>): Promise<TestHub>;
}

export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const given = options.brokers ?? process.env.MOORING_TEST_KAFKA?.split(',');
  const kafka: TestKafka | undefined = given === undefined ? await startKafka() : undefined;
  const brokers = given ?? kafka?.brokers ?? [];
  const name = randomBytes(6).toString('hex');
  const schema = `cluster_${name}`;
  const nodes: TestHub[] = [];
  const env = {
    MOORING_POSTGRES_URL: String(postgres),
    MOORING_KEY_ENCRYPTION_KEY: Buffer.alloc(32, 9).toString('base64'),
    ...options.env,
  };
  const shared = [
    ...['--storage', 'cluster', '--kafka-brokers', brokers.join(','), '--kafka-topic-prefix', `${name}-`],
    ...['--postgres-schema', schema, '--mqtt-port', '0', ...(options.args ?? [])],
    ...(brokers.length === 1 ? ['--kafka-replicas', '1', '--kafka-in-sync-min', '1'] : []),
  ];
  const start: TestCluster['start'] = async (more = {}) => {
    const own = more.args ?? [];
    const name = own.includes('--node-name') ? [] : ['--node-name', `node-${nodes.length + 1}`];
    const args = [...shared, ...name, ...own];
    const node = await startHub({ ...more, args, env: { ...env, ...more.env } });
    nodes.push(node);
    return node;
  };
  const dispose = async (): Promise<void> => {
    // One that a test has held would not hear its end.
    for (const node of nodes) node.signal('SIGCONT');
    await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    await kafka?.[Symbol.asyncDispose]();
  };
  try {
    for (let at = 0; at < (options.nodes ?? 2); at++) await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return { nodes, database: { url: String(postgres), schema }, start, [Symbol.asyncDispose]: dispose };
}

/** The key of every device that `device` makes. */
export const DEVICE_KEY = Buffer.alloc(32, 4).toString('base64');

/** Makes the device at a node, unless it is there. */
export async function makeDevice(node: Pick<TestHub, 'endpoints' | 'ca'>, deviceId: string): Promise<void> {
  const api = apiOf(node);
  const symmetricKey = { primaryKey: DEVICE_KEY, secondaryKey: DEVICE_KEY };
  await api.devices.create(deviceId, { authentication: { symmetricKey } }).catch(async (error: unknown) => {
    if ((await api.devices.get(deviceId).catch(() => undefined)) === undefined) throw error;
  });
  api.close();
}

export interface ClusterDevice {
  readonly client: MqttDriver;
  readonly returnCode: number;
}

/** Connects a device to a node over plain MQTT. The hub's answer may wait for the end of another node's lease. */
export async function connectDevice(node: Pick<TestHub, 'endpoints'>, deviceId: string): Promise<ClusterDevice> {
  const token = await signSas({
    resource: `localhost/devices/${deviceId}`,
    key: DEVICE_KEY,
    expiresAt: Date.now() + 3_600_000,
  });
  const { client, returnCode } = await MqttDriver.connect(
    { port: node.endpoints.ports.mqtt ?? 0 },
    {
      clientId: deviceId,
      username: `localhost/${deviceId}/?api-version=2021-04-12`,
      password: Buffer.from(token),
      clean: false,
    },
  );
  return { client, returnCode };
}

/** Subscribes at QoS 1 to commands, methods and what is told of the twin. */
export async function subscribeAll(client: MqttDriver, deviceId: string): Promise<void> {
  const topics = [
    `devices/${deviceId}/messages/devicebound/#`,
    '$iothub/methods/POST/#',
    '$iothub/twin/res/#',
    '$iothub/twin/PATCH/properties/desired/#',
  ];
  const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await client.next('suback');
}
