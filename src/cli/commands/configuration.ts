/** Configurations and Edge deployments, with verbs and flags as `az iot hub configuration` and `az iot edge` have them. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import type { ConfigurationDraftJson, ConfigurationJson } from '../../api/configurations.ts';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import { type Column, facts, printable, table } from '../output/table.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, wholeNumber, withLogin } from './options.ts';
import { json } from './twin.ts';

interface DraftOptions extends CommonOptions {
  readonly content?: unknown;
  readonly targetCondition?: string;
  readonly priority?: number;
  readonly labels?: unknown;
  readonly metrics?: unknown;
  readonly etag?: string;
  readonly wait?: true;
}

interface MetricOptions extends CommonOptions {
  readonly metricType: 'user' | 'system';
}

/** Narrowest credentials for reading and for the rest. */
const readers = ['registryRead', 'iothubowner'];
const writers = ['registryReadWrite', 'iothubowner'];
const WAIT_EVERY_MS = 500;

export function addConfigurationCommands(program: Command, terminal: Terminal): void {
  const configuration = program
    .command('configuration')
    .summary('settings for many devices')
    .description('Configurations: what devices of a kind are set to, for as long as they are of it.');
  addVerbs(configuration, { isEdge: false, name: 'configuration' }, terminal);

  const edge = program.command('edge').summary('deployments to edge devices').description('Modules of edge devices.');
  const deployment = edge.command('deployment').description('Edge deployments: modules of many edge devices.');
  addVerbs(deployment, { isEdge: true, name: 'edge deployment' }, terminal);
  const setModules = withLogin(edge.command('set-modules'))
    .argument('<device>')
    .description('Sets the modules of one edge device once, and makes those that it does not have.')
    .requiredOption('--content <json|file>', 'modulesContent, as JSON or a file of it', content)
    .action((deviceId: string, options: CommonOptions & { readonly content: unknown }) =>
      withApi(loginFrom(options, terminal), writers, async (api) => {
        await api.configurations.apply(deviceId, contentOf(options.content, true));
        const modules = await api.modules.list(deviceId);
        if (terminal.json) return print(terminal, JSON.stringify(modules, undefined, 2));
        await print(terminal, modules.map(({ moduleId }) => printable(moduleId)).join('\n'));
      }),
    );
  examples(setModules, ['mooring edge set-modules edge-01 --content deployment.json']);
}

interface Kind {
  readonly isEdge: boolean;
  readonly name: string;
}

function addVerbs(of: Command, { isEdge, name }: Kind, terminal: Terminal): void {
  const withContent = isEdge ? 'modulesContent' : 'deviceContent or moduleContent';
  const asked = (options: CommonOptions, work: (api: ApiClient) => Promise<void>, who = readers): Promise<void> =>
    withApi(loginFrom(options, terminal), who, work);

  const create = withDraft(withLogin(of.command('create')))
    .argument('<id>')
    .description('Creates one; its content stays.')
    .requiredOption('--content <json|file>', `${withContent}, as JSON or a file of it`, content)
    .action((id: string, options: DraftOptions) =>
      asked(
        options,
        async (api) => {
          const draft = { ...draftOf(options), content: contentOf(options.content, isEdge) };
          await shown(api, await api.configurations.create(id, draft), options, terminal);
        },
        writers,
      ),
    );
  examples(
    create,
    isEdge
      ? [`mooring ${name} create base --content base.json --target-condition "tags.site = 'north'" --priority 5`]
      : [
          `mooring ${name} create slow --content '{"deviceContent": {"properties.desired.interval": 60}}' --target-condition "tags.battery = true"`,
          `mooring ${name} create slow --content slow.json --target-condition '*' --wait`,
        ],
  );

  const list = withLogin(of.command('list'))
    .description('Shows which there are.')
    .addOption(new Option('--top <n>', 'how many at most').argParser(wholeNumber(1, limits.configurationsMax)))
    .action((options: CommonOptions & { readonly top?: number }) =>
      asked(options, async (api) => {
        const all = (await api.configurations.list()).filter((each) => isDeployment(each) === isEdge);
        await printList(all.slice(0, options.top), terminal);
      }),
    );
  examples(list, [`mooring ${name} list`]);

  const show = withLogin(of.command('show'))
    .argument('<id>')
    .description('Shows one, and whom it has reached.')
    .action((id: string, options: CommonOptions) =>
      asked(options, async (api) => printOne(await api.configurations.get(id), terminal)),
    );
  examples(show, [`mooring ${name} show slow`, `mooring ${name} show slow --json | jq .systemMetrics.results`]);

  const update = withDraft(withLogin(of.command('update')))
    .argument('<id>')
    .description('Changes one: what is not named stays.')
    .option('--etag <etag>', 'only if it still has this ETag')
    .action((id: string, options: DraftOptions) =>
      asked(
        options,
        async (api) => {
          const before = await api.configurations.get(id);
          const ifMatch = options.etag ?? before.etag;
          const updated = await api.configurations.update(id, { ...before, ...draftOf(options) }, { ifMatch });
          await shown(api, updated, options, terminal);
        },
        writers,
      ),
    );
  examples(update, [`mooring ${name} update slow --priority 7`, `mooring ${name} update slow --target-condition '*'`]);

  const remove = withLogin(of.command('delete'))
    .argument('<id>')
    .description('Deletes one: what it has set is taken away, and the next priority applies.')
    .option('--etag <etag>', 'only if it still has this ETag')
    .action((id: string, options: CommonOptions & { readonly etag?: string }) =>
      asked(
        options,
        async (api) => {
          await api.configurations.delete(id, options.etag === undefined ? {} : { ifMatch: options.etag });
          note(terminal, `${printable(id)} is deleted.`);
        },
        writers,
      ),
    );
  examples(remove, [`mooring ${name} delete slow`]);

  const metric = withLogin(of.command('show-metric'))
    .argument('<id>')
    .argument('<metric>', 'its name, as appliedCount')
    .description('Asks the query of a metric, and shows its rows.')
    .addOption(new Option('--metric-type <type>').choices(['user', 'system']).default('user'))
    .action((id: string, metricName: string, options: MetricOptions) =>
      withApi(loginFrom(options, terminal), ['iothubowner'], (api) =>
        showMetric(api, id, metricName, options, terminal),
      ),
    );
  examples(metric, [`mooring ${name} show-metric slow appliedCount --metric-type system`]);
}

function withDraft(command: Command): Command {
  return command
    .option('--target-condition <condition>', "for whom: *, tags.site = 'north', FROM devices.modules WHERE …")
    .addOption(
      new Option('--priority <n>', 'the higher one wins').argParser(wholeNumber(0, limits.configurationPriorityMax)),
    )
    .option('--labels <json>', 'texts by name', json)
    .option('--metrics <json|file>', '{"queries": {"name": "SELECT …"}}, as JSON or a file of it', content)
    .option('--wait', 'until the whole fleet has been looked at');
}

/** JSON, or the name of a file of it. */
function content(text: string): unknown {
  if (/^\s*[{[]/.test(text)) return json(text);
  let read: string;
  try {
    read = readFileSync(text, 'utf8');
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? error.code : error;
    throw new InvalidArgumentError(`It is not JSON, and no file of that name can be read (${why}).`);
  }
  return json(read);
}

type Content = NonNullable<ConfigurationDraftJson['content']>;

/** As it is, or inside of a whole configuration, as tools save it. */
function contentOf(given: unknown, isEdge: boolean): Content {
  const whole = given as { readonly content?: Content } & Content;
  const own = whole.content ?? whole;
  if ((own.modulesContent != null) !== isEdge) {
    const kinds = isEdge ? 'modulesContent' : 'deviceContent or moduleContent';
    throw new Failure(`The content has no ${kinds}.`, { usage: true });
  }
  return own;
}

function draftOf({ targetCondition, priority, labels, metrics }: DraftOptions): ConfigurationDraftJson {
  const queries = (metrics as { readonly queries?: unknown } | undefined)?.queries ?? metrics;
  return {
    ...(targetCondition !== undefined && { targetCondition }),
    ...(priority !== undefined && { priority }),
    ...(labels !== undefined && { labels: labels as Record<string, string> }),
    ...(metrics !== undefined && { metrics: { queries: queries as Record<string, string> } }),
  };
}

const isDeployment = ({ content: of }: ConfigurationJson): boolean => of.modulesContent != null;

async function shown(
  api: ApiClient,
  written: ConfigurationJson,
  { wait }: DraftOptions,
  terminal: Terminal,
): Promise<void> {
  let now = written;
  while (wait && !now.evaluated) {
    await sleep(WAIT_EVERY_MS);
    now = await api.configurations.get(written.id);
  }
  await printOne(now, terminal);
}

async function printList(all: readonly ConfigurationJson[], terminal: Terminal): Promise<void> {
  if (terminal.json) return print(terminal, JSON.stringify(all, undefined, 2));
  if (all.length === 0) return note(terminal, 'There is none.');
  const number = (title: string, cell: (row: ConfigurationJson) => number): Column<ConfigurationJson> => {
    return { title, align: 'right', cell: (row) => String(cell(row)) };
  };
  await print(
    terminal,
    table(
      terminal.out,
      [
        { title: 'id', cell: ({ id }) => printable(id) },
        number('priority', ({ priority }) => priority),
        number('targeted', ({ systemMetrics }) => systemMetrics.results.targetedCount),
        number('applied', ({ systemMetrics }) => systemMetrics.results.appliedCount),
        { title: 'for', cell: ({ targetCondition }) => printable(targetCondition) },
      ],
      all,
    ),
  );
}

async function printOne(one: ConfigurationJson, terminal: Terminal): Promise<void> {
  if (terminal.json) return print(terminal, JSON.stringify(one, undefined, 2));
  const counted = { ...one.systemMetrics.results, ...one.metrics.results };
  await print(
    terminal,
    facts(terminal.out, [
      ['id', printable(one.id)],
      ['for', printable(one.targetCondition) || 'nobody'],
      ['priority', String(one.priority)],
      ['content', printable(JSON.stringify(one.content))],
      ['last changed', one.lastUpdatedTimeUtc],
      ['etag', one.etag],
      ['looked at', one.evaluated ? 'the whole fleet' : 'not all of the fleet yet'],
      ...Object.entries(counted).map(([name, value]) => [printable(name), String(value)] as const),
    ]),
  );
}

async function showMetric(
  api: ApiClient,
  id: string,
  metric: string,
  { metricType }: MetricOptions,
  terminal: Terminal,
): Promise<void> {
  const one = await api.configurations.get(id);
  const { queries, results } = metricType === 'system' ? one.systemMetrics : one.metrics;
  const query = Object.hasOwn(queries, metric) ? queries[metric] : undefined;
  if (query === undefined) {
    const names = Object.keys(queries).map(printable).join(', ') || 'none';
    throw new Failure(`${printable(id)} has no such metric of that type.`, { hint: `It has: ${names}.`, usage: true });
  }
  const rows: unknown[] = [];
  for await (const row of api.queries.rows(query, { countMax: limits.queryPageMax })) rows.push(row);
  if (terminal.json)
    return print(terminal, JSON.stringify({ metric, query, count: results[metric], result: rows }, undefined, 2));
  note(terminal, `${printable(metric)}: ${results[metric]}, counted. ${printable(query)}`);
  await print(terminal, rows.map((row) => printable(JSON.stringify(row))).join('\n'));
}
