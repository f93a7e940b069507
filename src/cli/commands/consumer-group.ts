import type { Command } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import { Failure } from '../failure.ts';
import type { Login } from '../login/login.ts';
import { printable, table } from '../output/table.ts';
import { localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

interface GroupOptions extends CommonOptions {
  readonly eventHub?: string;
}

export function addConsumerGroupCommands(program: Command, terminal: Terminal): void {
  const group = program
    .command('consumer-group')
    .summary('independent readers of the events')
    .description('Consumer groups: independent readers of a hub’s events, each with its own place.');
  const hubFlag = ['--event-hub <name>', 'whose groups (default: the hub’s telemetry)'] as const;

  const create = withLogin(group.command('create'))
    .argument('<name>')
    .description('Creates a consumer group.')
    .option(...hubFlag)
    .action((name: string, options: GroupOptions) =>
      createGroup(name, loginFrom(options, terminal), options, terminal),
    );
  examples(create, ['mooring consumer-group create dashboard']);

  withLogin(group.command('list'))
    .description('Lists the consumer groups.')
    .option(...hubFlag)
    .action((options: GroupOptions) => listGroups(loginFrom(options, terminal), options, terminal));

  withLogin(group.command('delete'))
    .argument('<name>')
    .description('Deletes a consumer group; its readers are cut off. Events are not touched.')
    .option(...hubFlag)
    .action((name: string, options: GroupOptions) =>
      deleteGroup(name, loginFrom(options, terminal), options, terminal),
    );
}

async function createGroup(name: string, login: Login, options: GroupOptions, terminal: Terminal): Promise<void> {
  await withApi(login, ['registryReadWrite'], async (api) => {
    const created = await api.consumerGroups.create(await eventHubOf(api, login, options), name);
    if (terminal.json) await print(terminal, JSON.stringify(created));
    else note(terminal, `Created the consumer group ${created.name}.`);
  });
}

async function listGroups(login: Login, options: GroupOptions, terminal: Terminal): Promise<void> {
  // Reading groups needs ServiceConnect, asking for the hub’s name RegistryRead: only the owner surely has both.
  const groups = await withApi(login, login.hubName === undefined ? [] : ['service'], async (api) =>
    api.consumerGroups.list(await eventHubOf(api, login, options)),
  );
  if (terminal.json) return print(terminal, JSON.stringify(groups, undefined, 2));
  const columns = [
    { title: 'name', cell: (row: (typeof groups)[number]) => printable(row.name) },
    { title: 'created', cell: (row: (typeof groups)[number]) => localTime(Date.parse(row.createdTime)) },
  ];
  return print(terminal, table(terminal.out, columns, groups));
}

async function deleteGroup(name: string, login: Login, options: GroupOptions, terminal: Terminal): Promise<void> {
  await withApi(login, ['registryReadWrite'], async (api) => {
    await api.consumerGroups.delete(await eventHubOf(api, login, options), name);
    if (terminal.json) await print(terminal, JSON.stringify({ deleted: name }));
    else note(terminal, `Deleted the consumer group ${name}.`);
  });
}

/** The telemetry of a hub is the event hub of the same name. */
async function eventHubOf(api: ApiClient, login: Login, options: GroupOptions): Promise<string> {
  const name = options.eventHub ?? login.hubName ?? (await api.hub()).name;
  if (name === '') throw new Failure('The name of an event hub cannot be empty.', { usage: true });
  return name;
}
