/** A hub on Kafka and PostgreSQL, and what is compared with it. Both engines run already: the two scripts for tests start them. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { Admin } from '@platformatic/kafka';
import pg from 'pg';
import { type HubOptions, type RunningHub, startHub } from './hub.ts';
import { anonymousLogins, plainEnvironment, type ServerKind, startProgram, stopProgram } from './server.ts';

export interface Engines {
  /** `host:port` of a broker. */
  readonly broker: string;
  readonly postgresUrl: string;
}

/** @throws Error that says how the bench is run */
export function enginesOf(environment = process.env): Engines {
  const { MOORING_TEST_KAFKA: kafka, MOORING_TEST_POSTGRES: postgresUrl } = environment;
  if (kafka === undefined || postgresUrl === undefined) {
    throw new Error(
      'Run it by scripts/postgres-for-tests.sh node scripts/kafka-for-tests.ts: they start both engines.',
    );
  }
  return { broker: kafka.split(',')[0], postgresUrl };
}

/** With topics and a schema of its own, which go with it. */
export async function startHubOnCluster({ broker, postgresUrl }: Engines, options: HubOptions): Promise<RunningHub> {
  const name = `bench_${randomBytes(6).toString('hex')}`;
  const flags = {
    storage: 'cluster',
    'kafka-brokers': broker,
    'kafka-replicas': '1',
    'kafka-in-sync-min': '1',
    'kafka-topic-prefix': `${name}.`,
    'postgres-schema': name,
    'node-port': '0',
  };
  const hub = await startHub({
    ...options,
    environment: { ...plainEnvironment(), MOORING_POSTGRES_URL: postgresUrl },
    flags: [...(options.flags ?? []), ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])],
  });
  return {
    ...hub,
    async stop() {
      await hub.stop();
      const { hubName } = hub.endpoints;
      await removeTopics(broker, [`${name}.${hubName}`, `${name}.${hubName}-monitoring`]);
      const client = new pg.Client(postgresUrl);
      await client.connect();
      await client.query(`drop schema ${name} cascade`);
      await client.end();
    },
  };
}

export function hubOnCluster(engines: Engines, flags: readonly string[] = []): ServerKind {
  return {
    name: 'mooring on Kafka',
    acknowledges: 'when all replicas in sync have it',
    start: (options) => startHubOnCluster(engines, { ...options, flags }),
  };
}

/** The bare process of `bare-kafka.ts`. */
export function bareKafka({ broker }: Engines, partitions: number): ServerKind {
  return {
    name: 'bare on Kafka',
    acknowledges: 'when all replicas in sync have it; nothing else is done with the message',
    async start({ connections, bag }) {
      const topic = `bench-${randomBytes(6).toString('hex')}`;
      const args = [path.join(import.meta.dirname, 'bare-kafka.ts'), broker, topic, String(partitions)];
      const { child, ready } = await startProgram(process.execPath, args, /^ready (\d+)$/m, 30_000);
      return {
        ...{ pid: child.pid as number, host: '127.0.0.1', port: Number(ready[1]) },
        logins: anonymousLogins(connections, bag),
        async stop() {
          await stopProgram(child);
          await removeTopics(broker, [topic]);
        },
      };
    },
  };
}

export interface LibraryRound {
  readonly perCpuSecond: number;
  readonly recordsPerSecond: number;
}

/** One round of the bare producer of `kafka-library.ts`. */
export async function runLibrary(
  { broker }: Engines,
  of: {
    /** Of headers; see there. */
    readonly names: 'kept' | 'anew';
    readonly partitions: number;
    readonly bodyBytes: number;
    readonly warmupSeconds: number;
    readonly seconds: number;
  },
): Promise<LibraryRound> {
  const topic = `bench-${randomBytes(6).toString('hex')}`;
  await withAdmin(broker, (admin) => admin.createTopics({ topics: [topic], partitions: of.partitions, replicas: 1 }));
  const numbers = [of.partitions, of.bodyBytes, of.warmupSeconds, of.seconds].map(String);
  const args = [path.join(import.meta.dirname, 'kafka-library.ts'), broker, topic, of.names, ...numbers];
  const timeoutMs = 1000 * (of.warmupSeconds + of.seconds + 30);
  const { child, ready } = await startProgram(process.execPath, args, /^(\{.*\})$/m, timeoutMs);
  await stopProgram(child);
  await removeTopics(broker, [topic]);
  const { records, cpuSeconds } = JSON.parse(ready[1]) as { readonly records: number; readonly cpuSeconds: number };
  return { perCpuSecond: records / cpuSeconds, recordsPerSecond: records / of.seconds };
}

async function removeTopics(broker: string, topics: readonly string[]): Promise<void> {
  await withAdmin(broker, (admin) => admin.deleteTopics({ topics: [...topics] }));
}

async function withAdmin(broker: string, work: (admin: Admin) => Promise<unknown>): Promise<void> {
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: [broker] });
  try {
    await work(admin);
  } finally {
    await admin.close();
  }
}
