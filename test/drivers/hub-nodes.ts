/**
 * A hub of several nodes that looks like one to a test: a balancer has the ports that the test asks for. Each node has an address of
 * the loopback network for its TLS ports, with the same numbers, so that what a node tells of itself is right at the balancer, too.
 */
import { Balancer, type Target } from '../../scripts/cluster/balancer.ts';
import { balancedEndpoints } from './balanced.ts';
import { freePorts } from './free-ports.ts';
import type { Exit } from './hub-process.ts';
import { clusterOf, type HubOptions, launch, type TestHub } from './one-hub.ts';

/** They listen on the addresses of `bindAddress`; the other doors on 127.0.0.1. */
const TLS_DOORS = ['mqtts', 'amqps', 'https'] as const;
const PLAIN_DOORS = ['amqp', 'mqtt'] as const;
type BalancedDoor = (typeof TLS_DOORS)[number] | (typeof PLAIN_DOORS)[number];
const KEY = Buffer.alloc(32, 9).toString('base64');

/** How many nodes a hub with these options is to have: `MOORING_TEST_NODES` where it keeps all in Kafka and PostgreSQL, else one. */
export function nodesWanted(options: HubOptions & { readonly dataDir: string }): number {
  const { dataDir, args = [] } = options;
  const isAlone = ['--bind-address', '--node-name', '--node-port'].some((flag) => args.includes(flag));
  const count = Number(process.env.MOORING_TEST_NODES ?? 1);
  return isAlone || clusterOf(dataDir, args).args.length === 0 ? 1 : count;
}

export interface NodesHub extends TestHub {
  readonly count: number;
  /** Stops a node (1, 2, …) by SIGTERM, which empties it, and starts it again. */
  restartNode(nth: number): Promise<void>;
}

/** @param ownFolder removed when the hub is disposed of */
export async function launchNodes(
  options: HubOptions & { readonly dataDir: string },
  ownFolder: string | undefined,
  count: number,
): Promise<NodesHub> {
  const { dataDir, args = [], env = {} } = options;
  const started = performance.now();
  const ports = await doorsOf(args);
  const cluster = clusterOf(dataDir, args);
  // Folders that all nodes share.
  const files = args.includes('--files-folder') ? [] : ['--files-folder', `${dataDir}/files`];
  const isArchiveSaid = args.includes('--archive-folder') || env.MOORING_ARCHIVE_FOLDER !== undefined;
  const archive = isArchiveSaid ? [] : ['--archive-folder', `${dataDir}/archive`];
  const start = (nth: number): Promise<TestHub> =>
    launch(
      {
        dataDir: nth === 1 ? dataDir : `${dataDir}-${nth}`,
        args: [
          ...['--node-name', `node-${nth}`, '--node-port', '0', '--bind-address', `127.0.78.${nth}`],
          ...TLS_DOORS.flatMap((door) => [`--${door}-port`, String(ports[door] ?? 'off')]),
          ...PLAIN_DOORS.flatMap((door) => (ports[door] === null ? [`--${door}-port`, 'off'] : [])),
          ...[...cluster.args, ...files, ...archive, ...withoutDoors(args), '--host-name', 'localhost'],
        ],
        env: { MOORING_KEY_ENCRYPTION_KEY: KEY, ...cluster.env, ...env },
      },
      nth === 1 ? ownFolder : undefined,
    );
  const nodes: TestHub[] = [];
  let balancer: Balancer;
  try {
    // The first one makes topics and tables; the others find them.
    nodes.push(await start(1));
    const others = await Promise.allSettled(Array.from({ length: count - 1 }, (_, at) => start(at + 2)));
    nodes.push(...others.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])));
    for (const each of others) if (each.status === 'rejected') throw each.reason;
    balancer = await balance(ports, nodes);
  } catch (error) {
    await Promise.all(nodes.map((node) => node.kill()));
    throw error;
  }
  const [first] = nodes;
  const all = async (what: (node: TestHub) => Promise<Exit>): Promise<Exit> => {
    const exits = Promise.all(nodes.map(what));
    // As where one process ends: its ports are closed.
    await balancer[Symbol.asyncDispose]();
    return (await exits).find(({ code }) => code !== 0) ?? (await exits)[0];
  };
  const said = (): string => nodes.map((node) => node.stderr()).join('');
  return {
    ...first,
    nodes,
    endpoints: balancedEndpoints(first.endpoints, ports),
    count,
    async restartNode(nth) {
      await nodes[nth - 1].stop();
      nodes[nth - 1] = await nodes[nth - 1].restart();
    },
    readyMs: performance.now() - started,
    stderr: said,
    logged: (pattern) => Promise.any(nodes.map((node) => node.logged(pattern))),
    ended: Promise.all(nodes.map(({ ended }) => ended)).then(([exit]) => exit),
    // Devices leave spread over some seconds; one node's are not let in by the next one that stops.
    stop: (signal) => all((node) => node.stop(signal)),
    kill: () => all((node) => node.kill()),
    signal: (signal) => {
      for (const node of nodes) node.signal(signal);
    },
    restart: (changes = {}) => {
      const pinned = Object.entries(ports).flatMap(([door, port]) => [`--${door}-port`, String(port ?? 'off')]);
      const next = {
        dataDir,
        args: [...withoutDoors(args), ...(changes.args ?? []), ...pinned],
        env: { ...env, ...changes.env },
      };
      return launchNodes(next, ownFolder, count);
    },
    async [Symbol.asyncDispose]() {
      await balancer[Symbol.asyncDispose]();
      await Promise.all(nodes.slice(1).map((node) => node[Symbol.asyncDispose]()));
      await nodes[0][Symbol.asyncDispose]();
    },
  };
}

/** The balancer's port of each door: what the flags say, else a free one; null = off. */
async function doorsOf(args: readonly string[]): Promise<Record<BalancedDoor, number | null>> {
  const doors = [...TLS_DOORS, ...PLAIN_DOORS];
  const free = await freePorts(doors.length);
  const wanted = doors.map((door, at) => {
    const said = args[args.indexOf(`--${door}-port`) + 1];
    const isSaid = args.includes(`--${door}-port`) && said !== '0';
    return [door, isSaid ? (said === 'off' ? null : Number(said)) : free[at]];
  });
  return Object.fromEntries(wanted);
}

function balance(ports: Record<BalancedDoor, number | null>, nodes: readonly TestHub[]): Promise<Balancer> {
  const targets = (): readonly Target[] =>
    nodes.map(({ endpoints }, at) => ({
      name: `node-${at + 1}`,
      ports: endpoints.ports,
      adminPort: endpoints.ports.admin ?? 0,
      hosts: Object.fromEntries(TLS_DOORS.map((door) => [door, `127.0.78.${at + 1}`])),
    }));
  const doors = Object.entries(ports).flatMap(([door, port]) => (port === null ? [] : [{ door, port }]));
  return Balancer.open(doors, targets);
}

/** The flags without those of doors that the balancer has. */
function withoutDoors(args: readonly string[]): readonly string[] {
  const isDoor = (flag: string | undefined): boolean => /^--(mqtts|amqps|https|amqp|mqtt)-port$/.test(flag ?? '');
  return args.filter((argument, at) => !isDoor(argument) && !isDoor(args[at - 1]));
}
