/** What `npm run cluster` has started, and what has become of each part of it. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { balancedEndpoints } from '../../test/drivers/balanced.ts';
import type { TestCluster } from '../../test/drivers/cluster.ts';
import type { TestHub } from '../../test/drivers/hub.ts';
import type { TestKafka } from '../../test/drivers/kafka.ts';
import { until } from '../../test/drivers/until.ts';
import type { Balancer, Target } from './balancer.ts';

export interface SceneParts {
  readonly cluster: TestCluster;
  readonly kafka: TestKafka;
  readonly balancer: Balancer;
  /** How many. */
  readonly brokers: number;
  /** Of the balancer, by the names of its doors. */
  readonly ports: Readonly<Record<string, number>>;
  /** Of this hub, for what clients log in with. */
  readonly folder: string;
  /** Everything is being ended. */
  readonly ending: AbortSignal;
  say(text: string): void;
}

type State = 'runs' | 'held' | 'ended';

/** How long the balancer may take to see a new node: it looks four times a second. */
const SEEN_MS = 30_000;
const LOG_LINES = 20;

export class Scene {
  readonly #parts: SceneParts;
  readonly #nodes: State[] = [];
  readonly #brokers: State[];
  /** Nodes that are to end. */
  readonly #leaving = new Set<number>();

  constructor(parts: SceneParts) {
    this.#parts = parts;
    this.#brokers = Array.from({ length: parts.brokers }, () => 'runs');
    for (const node of parts.cluster.nodes) this.#watch(node);
    this.#writeLogin();
  }

  states(of: 'node' | 'broker'): readonly State[] {
    return of === 'node' ? this.#nodes : this.#brokers;
  }

  targets(): readonly Target[] {
    return this.#parts.cluster.nodes.flatMap(({ endpoints: { ports } }, at) =>
      this.#nodes[at] === 'ended' ? [] : [{ name: `node-${at + 1}`, ports, adminPort: ports.admin ?? 0 }],
    );
  }

  status(): readonly string[] {
    const { cluster, balancer } = this.#parts;
    const nodes = cluster.nodes.map(({ pid, endpoints }, at) => {
      const name = `node-${at + 1}`;
      const state = this.#nodes[at] === 'runs' ? (balancer.isReady(name) ? 'ready' : 'not ready') : this.#nodes[at];
      const connections = `${String(balancer.connections(name)).padStart(5)} connections`;
      const where = state === 'ended' ? '' : `  pid ${pid}  http://127.0.0.1:${endpoints.ports.admin}`;
      return `  ${name}  ${state.padEnd(9)}  ${connections}${where}`;
    });
    return [...nodes, ...this.#brokers.map((state, at) => `  broker-${at + 1}  ${state}`)];
  }

  async killNode(nth: number): Promise<void> {
    this.#leaving.add(nth);
    await this.#node(nth).kill();
    this.#leave(nth);
  }

  async drainNode(nth: number): Promise<void> {
    this.#leaving.add(nth);
    await this.#node(nth).stop();
    this.#leave(nth);
  }

  holdNode(nth: number): void {
    this.#node(nth).signal('SIGSTOP');
    this.#nodes[nth - 1] = 'held';
    this.#writeLogin();
  }

  letNodeGo(nth: number): void {
    this.#node(nth).signal('SIGCONT');
    this.#nodes[nth - 1] = 'runs';
    this.#writeLogin();
  }

  /** The end of what a node has logged. */
  logOf(nth: number): string {
    return this.#node(nth).stderr().trimEnd().split('\n').slice(-LOG_LINES).join('\n');
  }

  /** @returns the number of the new one, and where its admin port is */
  async startNode(): Promise<{ readonly nth: number; readonly admin: string }> {
    const node = await this.#parts.cluster.start();
    const nth = this.#watch(node);
    this.#writeLogin();
    await this.seen();
    return { nth, admin: `http://127.0.0.1:${node.endpoints.ports.admin}` };
  }

  /** Resolves when the balancer leads to the newest node: it looks at all of them at a time. */
  async seen(): Promise<void> {
    const { balancer, cluster } = this.#parts;
    await until('the balancer has seen the newest node', () => balancer.isReady(`node-${cluster.nodes.length}`), {
      withinMs: SEEN_MS,
    });
  }

  async killBroker(id: number): Promise<void> {
    this.#brokers[id - 1] = 'ended';
    await this.#parts.kafka.kill(id);
  }

  async startBroker(id: number): Promise<void> {
    await this.#parts.kafka.restart(id);
    this.#brokers[id - 1] = 'runs';
  }

  /** A broker's process has ended, by an order or by itself. */
  brokerEnded(id: number, how: string | number | null): void {
    if (this.#brokers[id - 1] === 'ended' || this.#parts.ending.aborted) return;
    this.#brokers[id - 1] = 'ended';
    this.#parts.say(`broker ${id} has ended by itself (${how})`);
  }

  holdBroker(id: number): void {
    this.#parts.kafka.signal(id, 'SIGSTOP');
    this.#brokers[id - 1] = 'held';
  }

  letBrokerGo(id: number): void {
    this.#parts.kafka.signal(id, 'SIGCONT');
    this.#brokers[id - 1] = 'runs';
  }

  introduce(): void {
    const { cluster, brokers, ports, say } = this.#parts;
    const { caFile } = cluster.nodes[0].endpoints;
    const mooring = 'npm run --silent mooring --';
    const login = '--login-file $MOORING_LOGIN_FILE';
    const count = (many: number, what: string): string => `${many} ${what}${many === 1 ? '' : 's'}`;
    say(`
${count(cluster.nodes.length, 'node')}, ${count(brokers, 'broker')} of Kafka and PostgreSQL serve one hub behind a balancer:
${Object.entries(ports)
  .map(([door, port]) => `  ${door.padEnd(6)} ${port}`)
  .join('\n')}
${cluster.nodes.map(({ endpoints }, at) => `  node-${at + 1}  http://127.0.0.1:${endpoints.ports.admin}  (its own portal, health, metrics)`).join('\n')}

In another terminal, in this folder:
  export MOORING_LOGIN_FILE=${this.#loginFile} NODE_EXTRA_CA_CERTS=${caFile}
  ${mooring} device create d1 ${login}
  ${mooring} monitor events ${login}
  ${mooring} simulate --devices 30 --rate 10 ${login}
  ${mooring} node list ${login}

Here, while they run:
  status         which nodes are ready, and how many connections each has; which brokers run
  kill 2         ends node 2 at once (kill -9): its devices come to the others when its lease is over, at most 10 seconds
  drain 2        ends node 2 gently: its devices leave spread over some seconds
  hold 2         stops node 2 as a machine that hangs (SIGSTOP); \`go 2\` lets it go on
  start          starts one more node
  log 2          the end of what node 2 has logged
  kill-broker 1  ends a broker at once; \`start-broker 1\` starts it again
  hold-broker 1  stops a broker as a machine that hangs; \`go-broker 1\` lets it go on
  quit           ends everything and removes it; Ctrl-C does the same
${brokers === 1 ? '\nWhile the one broker is away no node is ready, so that the balancer lets nobody in. With --brokers 3 the hub goes on.\n' : ''}
ready`);
  }

  get #loginFile(): string {
    return path.join(this.#parts.folder, 'endpoints.json');
  }

  #node(nth: number): TestHub {
    return this.#parts.cluster.nodes[nth - 1];
  }

  /** @returns its number */
  #watch(node: TestHub): number {
    const nth = this.#nodes.push('runs');
    void node.ended.then(({ code, signal }) => {
      if (this.#leaving.has(nth) || this.#parts.ending.aborted) return;
      this.#leave(nth);
      this.#parts.say(`node ${nth} has ended by itself (${signal ?? code})`);
    });
    return nth;
  }

  #leave(nth: number): void {
    this.#nodes[nth - 1] = 'ended';
    this.#writeLogin();
  }

  /** What clients of the whole hub log in with: as a node that runs has it, with the balancer's ports. */
  #writeLogin(): void {
    const { cluster, ports } = this.#parts;
    const nthOf = (wanted: State): number => this.#nodes.indexOf(wanted) + 1;
    const { endpoints } = this.#node(nthOf('runs') || nthOf('held') || cluster.nodes.length);
    const ca = cluster.nodes[0].endpoints.caFile;
    writeFileSync(this.#loginFile, JSON.stringify({ ...balancedEndpoints(endpoints, ports), caFile: ca }), {
      mode: 0o600,
    });
  }
}
