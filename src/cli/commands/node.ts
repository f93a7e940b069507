import type { Command } from 'commander';
import type { NodeJson } from '../../api/nodes.ts';
import { Failure } from '../failure.ts';
import type { Login } from '../login/login.ts';
import { printable, table } from '../output/table.ts';
import { duration, localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

const LOOK_MS = 1000;

interface DrainOptions extends CommonOptions {
  readonly wait?: boolean;
}

export function addNodeCommands(program: Command, terminal: Terminal): void {
  const node = program
    .command('node')
    .summary('the processes that serve a hub together')
    .description('Nodes: the processes that serve a hub together (storage cluster).');

  withLogin(node.command('list'))
    .description('Lists the nodes: where they are, which program they run, how many devices are connected to each.')
    .action((options: CommonOptions) => listNodes(loginFrom(options, terminal), terminal));

  const drain = withLogin(node.command('drain'))
    .argument('<name>')
    .description(
      'Empties a node before it is stopped: it takes no connections any more, and its devices go to the other nodes a few at a time.',
    )
    .option('--wait', 'until no device is connected to it')
    .action((name: string, options: DrainOptions) => drainNode(name, loginFrom(options, terminal), options, terminal));
  examples(drain, ['mooring node drain node-2 --wait && systemctl restart mooring']);
}

async function listNodes(login: Login, terminal: Terminal): Promise<void> {
  const nodes = await withApi(login, ['registryRead'], (api) => api.nodes.list());
  if (terminal.json) return print(terminal, JSON.stringify(nodes, undefined, 2));
  const columns = [
    { title: 'name', cell: ({ name }: NodeJson) => printable(name) },
    { title: 'status', cell: ({ status }: NodeJson) => status },
    { title: 'devices', cell: ({ devices }: NodeJson) => String(devices) },
    { title: 'at', cell: ({ address, port }: NodeJson) => printable(`${address}:${port}`) },
    { title: 'version', cell: ({ version }: NodeJson) => printable(version) },
    { title: 'since', cell: ({ startedTime }: NodeJson) => localTime(Date.parse(startedTime)) },
    { title: 'lease', cell: ({ leaseMs }: NodeJson) => duration(leaseMs) },
  ];
  return print(terminal, table(terminal.out, columns, nodes));
}

async function drainNode(name: string, login: Login, options: DrainOptions, terminal: Terminal): Promise<void> {
  await withApi(login, [], async (api) => {
    let node: NodeJson | undefined = await api.nodes.drain(name);
    while (options.wait === true && node !== undefined && node.devices > 0) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      node = (await api.nodes.list()).find((each) => each.name === name);
      if (node?.status === 'serving') throw new Failure(`${name} was started again meanwhile, and serves.`);
    }
    if (terminal.json) await print(terminal, JSON.stringify(node ?? { name, status: 'ended' }));
    else if (node === undefined) note(terminal, `${name} has ended.`);
    else if (node.devices > 0) note(terminal, `${name} lets go of ${node.devices} devices, and takes no more.`);
    else note(terminal, `No device is connected to ${name} any more; it can be stopped.`);
  });
}
