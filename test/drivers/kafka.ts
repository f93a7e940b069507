/**
 * Real brokers of Apache Kafka on loopback, for tests: one, or three that hold each record three times. The jars are those of
 * `test-servers/kafka`, which `test-servers/install.sh` brings; where they are not there, `kafkaMissing` says why.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from './free-ports.ts';
import { kafkaJars, kafkaJava, kafkaTool } from './kafka-tool.ts';

const START_MS = 180_000;
const STOP_MS = 20_000;

/** Why there can be no broker here; undefined = there can. */
export function kafkaMissing(): string | undefined {
  if (!existsSync(path.join(kafkaJars, '.installed-pins')))
    return 'its jars are not installed: test-servers/install.sh';
  return spawnSync('java', ['-version']).status === 0 ? undefined : 'there is no Java';
}

export interface KafkaOptions {
  /** 1 (default) or 3. */
  readonly brokers?: 1 | 3;
  /** After so long without a sign of life a broker counts as dead. */
  readonly sessionMs?: number;
  /** Further lines of each broker's file of settings. */
  readonly settings?: readonly string[];
  /**
   * Asked for each broker with a port of its own for clients: the port of loopback by which clients are to reach it, e.g. of a link
   * that fails. Not together with `secured`.
   */
  readonly advertise?: (port: number) => Promise<number>;
  /** Told when the process of a broker has ended, for whatever reason. */
  readonly ended?: (id: number, how: NodeJS.Signals | number | null) => void;
  /** A listener beside the plain one that wants a login by any mechanism, by TLS where there is a certificate. */
  readonly secured?: {
    readonly user: string;
    readonly password: string;
    readonly certificate?: { readonly certPem: string; readonly keyPem: string };
    /** The authority (PEM) of certificates that clients must show. */
    readonly clientAuthority?: string;
  };
}

export interface TestKafka extends AsyncDisposable {
  /** `host:port` of each broker. */
  readonly brokers: readonly string[];
  /** The same of the secured listener; empty where there is none. */
  readonly securedBrokers: readonly string[];
  /** The same by the ports that `advertise` gave; empty without it. */
  readonly advertisedBrokers: readonly string[];
  /** Ends a broker (1, 2, 3) at once. */
  kill(id: number): Promise<void>;
  /** Holds a broker, or lets it go on. */
  signal(id: number, signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts a broker that was ended, on its data. */
  restart(id: number): Promise<void>;
  /** Runs one of Kafka's own programs by its class, and gives what it prints. */
  tool(name: string, ...args: readonly string[]): Promise<string>;
  /** Lines as records, by Kafka's own console producer. */
  produce(topic: string, lines: readonly string[], options: readonly string[]): Promise<void>;
}

export async function startKafka(options: KafkaOptions = {}): Promise<TestKafka> {
  const count = options.brokers ?? 1;
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-kafka-'));
  const ids = Array.from({ length: count }, (_, at) => at + 1);
  const ports = await freePorts(3 * count);
  const places = ids.map((id, at) => ({
    id,
    port: ports[3 * at],
    controller: ports[3 * at + 1],
    secured: ports[3 * at + 2],
  }));
  const running = new Map<number, ChildProcess>();
  writeFileSync(path.join(folder, 'log4j2.properties'), logging);
  const voters = places.map(({ id, controller }) => `${id}@127.0.0.1:${controller}`).join(',');
  const advertised: number[] = [];
  for (const place of places) {
    const outer = await options.advertise?.(place.secured);
    if (outer !== undefined) advertised.push(outer);
    const text = settingsOf(place, { folder, voters, count, options, ...(outer !== undefined && { outer }) });
    writeFileSync(path.join(folder, `${place.id}.properties`), text);
  }
  const logged = `-Dlog4j2.configurationFile=${path.join(folder, 'log4j2.properties')}`;
  const start = (id: number): void => {
    const log = openSync(path.join(folder, `${id}.log`), 'a');
    const args = [logged, ...kafkaJava('-Xmx256m'), 'kafka.Kafka', path.join(folder, `${id}.properties`)];
    const child = spawn('java', args, { stdio: ['ignore', log, log] });
    child.once('exit', (code, signal) => options.ended?.(id, signal ?? code));
    running.set(id, child);
  };
  const isUp = async (id: number): Promise<void> => {
    const until = Date.now() + START_MS;
    const { port } = places[id - 1];
    while (!(await accepts(port))) {
      const ended = running.get(id)?.exitCode ?? null;
      if (ended !== null || Date.now() > until) {
        throw new Error(`broker ${id} is not up: ${readFileSync(path.join(folder, `${id}.log`), 'utf8').slice(-3000)}`);
      }
      await sleep(50);
    }
  };
  const end = async (id: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    const child = running.get(id);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(timer);
  };
  const tool = (name: string, ...args: readonly string[]): Promise<string> => kafkaTool(name, args);
  const dispose = async (): Promise<void> => {
    for (const child of running.values()) child.kill('SIGCONT');
    await Promise.all(ids.map((id) => end(id, 'SIGKILL')));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all(
      ids.map((id) => {
        const file = path.join(folder, `${id}.properties`);
        return tool('kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', file, ...scramUsers(options));
      }),
    );
    for (const id of ids) start(id);
    await Promise.all(ids.map(isUp));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    brokers: places.map(({ port }) => `127.0.0.1:${port}`),
    securedBrokers: options.secured === undefined ? [] : places.map(({ secured }) => `127.0.0.1:${secured}`),
    advertisedBrokers: advertised.map((port) => `127.0.0.1:${port}`),
    kill: (id) => end(id, 'SIGKILL'),
    signal: (id, signal) => void running.get(id)?.kill(signal),
    async restart(id) {
      start(id);
      await isUp(id);
    },
    tool,
    async produce(topic, lines, more) {
      const server = ['--bootstrap-server', `127.0.0.1:${places[0].port}`, '--topic', topic];
      const input = lines.map((line) => `${line}\n`).join('');
      await kafkaTool('org.apache.kafka.tools.ConsoleProducer', [...server, ...more], input);
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** Any 16 bytes. */
const CLUSTER_ID = 'AAAAAAAAAAAAAAAAAAAAAQ';

const logging = `rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1} %m%n
`;

interface BrokerPlace {
  readonly id: number;
  readonly port: number;
  readonly controller: number;
  readonly secured: number;
}

function settingsOf(
  { id, port, controller, secured }: BrokerPlace,
  hub: {
    readonly folder: string;
    readonly voters: string;
    readonly count: number;
    readonly options: KafkaOptions;
    readonly outer?: number;
  },
): string {
  const { folder, voters, count, options, outer } = hub;
  const inSync = count === 3 ? 2 : 1;
  const listeners = [`PLAINTEXT://127.0.0.1:${port}`];
  const protocols = ['PLAINTEXT:PLAINTEXT', 'CONTROLLER:PLAINTEXT'];
  if (options.secured !== undefined) {
    listeners.push(`SECURED://127.0.0.1:${secured}`);
    protocols.push(`SECURED:${options.secured.certificate === undefined ? 'SASL_PLAINTEXT' : 'SASL_SSL'}`);
  }
  const advertised = [...listeners];
  if (outer !== undefined) {
    listeners.push(`OUTER://127.0.0.1:${secured}`);
    advertised.push(`OUTER://127.0.0.1:${outer}`);
    protocols.push('OUTER:PLAINTEXT');
  }
  return [
    'process.roles=broker,controller',
    `node.id=${id}`,
    `controller.quorum.voters=${voters}`,
    `listeners=${[...listeners, `CONTROLLER://127.0.0.1:${controller}`].join(',')}`,
    `advertised.listeners=${advertised.join(',')}`,
    `listener.security.protocol.map=${protocols.join(',')}`,
    'controller.listener.names=CONTROLLER',
    'inter.broker.listener.name=PLAINTEXT',
    `log.dirs=${path.join(folder, `data-${id}`)}`,
    'auto.create.topics.enable=false',
    `default.replication.factor=${count}`,
    `min.insync.replicas=${inSync}`,
    ...['offsets.topic', 'transaction.state.log', 'share.coordinator.state.topic'].flatMap((name) => [
      `${name}.replication.factor=${count}`,
      `${name}.num.partitions=1`,
    ]),
    `transaction.state.log.min.isr=${inSync}`,
    `share.coordinator.state.topic.min.isr=${inSync}`,
    'num.network.threads=2',
    'num.io.threads=2',
    'num.replica.fetchers=1',
    // By default 128 MB of heap.
    'log.cleaner.dedupe.buffer.size=8388608',
    'broker.heartbeat.interval.ms=500',
    `broker.session.timeout.ms=${options.sessionMs ?? 3000}`,
    'controller.quorum.election.timeout.ms=500',
    'controller.quorum.fetch.timeout.ms=1000',
    'replica.lag.time.max.ms=5000',
    ...securedSettings(folder, options),
    ...(options.settings ?? []),
    '',
  ].join('\n');
}

function scramUsers({ secured }: KafkaOptions): readonly string[] {
  if (secured === undefined) return [];
  const { user, password } = secured;
  return ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${user},password=${password}]`,
  ]);
}

function securedSettings(folder: string, { secured }: KafkaOptions): readonly string[] {
  if (secured === undefined) return [];
  const { user, password, certificate } = secured;
  const security = 'org.apache.kafka.common.security';
  const at = 'listener.name.secured';
  const scram = `${security}.scram.ScramLoginModule required;`;
  const lines = [
    'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    `${at}.plain.sasl.jaas.config=${security}.plain.PlainLoginModule required user_${user}="${password}";`,
    `${at}.scram-sha-256.sasl.jaas.config=${scram}`,
    `${at}.scram-sha-512.sasl.jaas.config=${scram}`,
  ];
  if (certificate !== undefined) {
    const file = path.join(folder, 'secured.pem');
    writeFileSync(file, `${certificate.keyPem.trimEnd()}\n${certificate.certPem}`, { mode: 0o600 });
    lines.push(`${at}.ssl.keystore.type=PEM`, `${at}.ssl.keystore.location=${file}`);
    if (secured.clientAuthority !== undefined) {
      const trusted = path.join(folder, 'trusted.pem');
      writeFileSync(trusted, secured.clientAuthority, { mode: 0o600 });
      lines.push(`${at}.ssl.truststore.type=PEM`, `${at}.ssl.truststore.location=${trusted}`);
      lines.push(`${at}.ssl.client.auth=required`);
    }
  }
  return lines;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('close', () => socket.destroy());
    socket.once('connect', () => socket.end());
  });
}
