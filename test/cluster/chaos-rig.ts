/** Three nodes, Kafka and PostgreSQL behind a balancer, every link of which can be cut; and the faults that befall them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Balancer } from '../../scripts/cluster/balancer.ts';
import { balancedEndpoints } from '../drivers/balanced.ts';
import { startCluster, type TestCluster } from '../drivers/cluster.ts';
import { freePorts } from '../drivers/free-ports.ts';
import type { TestHub } from '../drivers/hub.ts';
import { startKafka, type TestKafka } from '../drivers/kafka.ts';
import { startPostgres, type TestPostgres } from '../drivers/postgres.ts';
import { ChaosLinks } from './chaos-links.ts';
import { NodeClocks } from './node-clocks.ts';

const DATABASE = 'postgresql';
const nameOf = (at: number): string => `node-${at + 1}`;
const brokerOf = (id: number): string => `broker-${id}`;

/** How wrong a clock becomes: less than proofs of devices and back ends last. */
const WRONG_MS_MAX = 15 * 60_000;
/** A database that is promoted, or started elsewhere. */
const [AWAY_MS_MIN, AWAY_MS_MAX] = [5000, 60_000];

/** How a round breaks something: it waits for as long as the fault lasts, and makes all whole again. */
export type Fault = (ms: number) => Promise<void>;

export class ChaosRig implements AsyncDisposable {
  /** As they are now, after restarts. */
  readonly nodes: TestHub[] = [];
  /** By how much the clock of each node was wrong when it had begun, as its log shows; not more exact than its start is quick. */
  readonly clocksWrongMs: number[] = [];
  readonly #kafka: TestKafka;
  readonly #postgres: TestPostgres;
  readonly #links: ChaosLinks;
  readonly #brokers: number;
  readonly #clocks = new NodeClocks();
  #cluster: TestCluster | undefined;
  #balancer: Balancer | undefined;

  static async start(nodes: number, brokers: 1 | 3, partitions: number): Promise<ChaosRig> {
    let rig: ChaosRig | undefined;
    const links = new ChaosLinks(() => new Map((rig?.nodes ?? []).map(({ pid }, at) => [nameOf(at), pid])));
    let broker = 0;
    const advertise = (port: number): Promise<number> => links.open(brokerOf(++broker), port);
    const [starting, database] = await Promise.allSettled([startKafka({ brokers, advertise }), startPostgres()]);
    if (starting.status === 'rejected' || database.status === 'rejected') {
      // What has started would keep this process from ending.
      const started: AsyncDisposable[] = [starting, database].flatMap((each) =>
        each.status === 'fulfilled' ? [each.value] : [],
      );
      await Promise.all([...started, links].map((each) => each[Symbol.asyncDispose]()));
      throw starting.status === 'rejected' ? starting.reason : (database as PromiseRejectedResult).reason;
    }
    const [kafka, postgres] = [starting.value, database.value];
    rig = new ChaosRig(kafka, postgres, links, brokers);
    try {
      await rig.#start(nodes, partitions);
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
    return rig;
  }

  private constructor(kafka: TestKafka, postgres: TestPostgres, links: ChaosLinks, brokers: number) {
    this.#kafka = kafka;
    this.#postgres = postgres;
    this.#links = links;
    this.#brokers = brokers;
  }

  /** The hub as clients see it, who know the balancer alone. */
  get hub(): Pick<TestHub, 'endpoints' | 'ca'> {
    const { endpoints, ca } = this.nodes[0];
    const balancer = this.#balancer as Balancer;
    const ports = Object.fromEntries(DOORS.map((door) => [door, balancer.port(door)]));
    return { ca, endpoints: balancedEndpoints(endpoints, ports) };
  }

  /** Each kind of fault, at parts that `pick` chooses. */
  faults(pick: (count: number) => number): Readonly<Record<string, Fault>> {
    const links = this.#links;
    const broker = (): number => 1 + pick(this.#brokers);
    const cut = async (one: string, other: string, ms: number): Promise<void> => {
      links.split(one, other);
      await sleep(ms);
      links.heal(pick(2) === 0);
    };
    return {
      'node killed': async (ms) => {
        const at = pick(this.nodes.length);
        await this.nodes[at].kill();
        await sleep(ms);
        this.nodes[at] = await this.nodes[at].restart({ args: this.#nodePorts[at] });
      },
      'node held': async (ms) => {
        const node = this.nodes[pick(this.nodes.length)];
        node.signal('SIGSTOP');
        await sleep(ms);
        node.signal('SIGCONT');
      },
      'broker killed': async (ms) => {
        const id = broker();
        await this.#kafka.kill(id);
        await sleep(ms);
        await this.#kafka.restart(id);
      },
      'broker held': async (ms) => {
        const id = broker();
        this.#kafka.signal(id, 'SIGSTOP');
        await sleep(ms);
        this.#kafka.signal(id, 'SIGCONT');
      },
      'PostgreSQL killed': async (ms) => {
        await this.#postgres.kill();
        await sleep(ms);
        await this.#postgres.restart();
      },
      'PostgreSQL away': async () => {
        await this.#postgres.kill();
        await sleep(AWAY_MS_MIN + pick(AWAY_MS_MAX - AWAY_MS_MIN));
        await this.#postgres.restart();
      },
      // It jumps twice, and is wrong in between, or jumps once, and is wrong for a while.
      'clock of a node set': async (ms) => {
        const name = nameOf(pick(this.nodes.length));
        this.#clocks.set(name, pick(2 * WRONG_MS_MAX) - WRONG_MS_MAX);
        await sleep(ms);
        if (pick(2) === 0) this.#clocks.set(name, 0);
      },
      'connections to PostgreSQL cut': async () => {
        links.reset(nameOf(pick(this.nodes.length)), DATABASE);
      },
      'node | node': (ms) => {
        const at = pick(this.nodes.length);
        return cut(nameOf(at), nameOf((at + 1 + pick(this.nodes.length - 1)) % this.nodes.length), ms);
      },
      'node | broker': (ms) => cut(nameOf(pick(this.nodes.length)), brokerOf(broker()), ms),
      'node | PostgreSQL': (ms) => cut(nameOf(pick(this.nodes.length)), DATABASE, ms),
    };
  }

  /** Links of each kind between a node and what is behind them, to see that a cut would cut something. */
  linkCounts(): Readonly<Record<string, number>> {
    const others = [DATABASE, ...Array.from({ length: this.#brokers }, (_, at) => brokerOf(at + 1))];
    const names = this.nodes.map((_, at) => nameOf(at));
    const pairs = names.flatMap((from) => [...others, ...names].filter((to) => to !== from).map((to) => [from, to]));
    return Object.fromEntries(pairs.map(([from, to]) => [`${from} to ${to}`, this.#links.count(from, to)]));
  }

  async areReady(): Promise<boolean> {
    const answers = this.nodes.map(({ endpoints }) =>
      fetch(`http://127.0.0.1:${endpoints.ports.admin}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    return (await Promise.all(answers)).every((isReady) => isReady);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#links.heal(true);
    for (const node of this.nodes) node.signal('SIGCONT');
    await this.#balancer?.[Symbol.asyncDispose]();
    await Promise.all(this.nodes.map((node) => node.kill()));
    await this.#cluster?.[Symbol.asyncDispose]();
    await Promise.all([this.#kafka[Symbol.asyncDispose](), this.#postgres[Symbol.asyncDispose]()]);
    await this.#links[Symbol.asyncDispose]();
    this.#clocks[Symbol.dispose]();
  }

  readonly #nodePorts: string[][] = [];

  async #start(nodes: number, partitions: number): Promise<void> {
    const url = new URL(this.#postgres.url);
    const database = await this.#links.open(DATABASE, Number(url.port));
    url.port = String(database);
    // The first one makes the tables; the others find them.
    this.#cluster = await startCluster({
      nodes: 0,
      brokers: this.#kafka.advertisedBrokers,
      args: ['--partitions', String(partitions)],
      env: { MOORING_POSTGRES_URL: url.href },
    });
    for (let at = 0; at < nodes; at++) {
      const [port] = await freePorts(1);
      // A node listens on 127.0.0.1; the others know it by this address, which is the link's.
      const address = `127.0.77.${at + 1}`;
      await this.#links.open(nameOf(at), port, { host: address, port });
      this.#nodePorts.push(['--node-port', String(port)]);
      const name = nameOf(at);
      // The first one's is right: it makes the certificates that clients look at.
      this.#clocks.set(name, at === 0 ? 0 : (at % 2 === 0 ? -1 : 1) * (WRONG_MS_MAX / 2));
      const args = [...this.#nodePorts[at], '--node-address', address];
      const node = await this.#cluster.start({ args, env: this.#clocks.env(name) });
      this.nodes.push(node);
      const { time } = JSON.parse(node.stderr().trimEnd().split('\n').at(-1) as string);
      this.clocksWrongMs.push(Date.parse(time) - Date.now());
    }
    const targets = () =>
      this.nodes.map(({ endpoints }, at) => ({
        name: nameOf(at),
        ports: endpoints.ports,
        adminPort: endpoints.ports.admin ?? 0,
      }));
    this.#balancer = await Balancer.open(
      DOORS.map((door) => ({ door, port: 0 })),
      targets,
    );
  }
}

const DOORS = ['mqtt', 'amqp', 'https'] as const;
