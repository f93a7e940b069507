import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { RouteTestJson } from '../../api/routes.ts';
import { Failure } from '../failure.ts';
import { facts, printable, table } from '../output/table.ts';
import { count, duration, localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';
import { json } from './twin.ts';

interface AddOptions extends CommonOptions {
  readonly source: string;
  readonly condition: string;
  readonly disabled?: boolean;
}

interface TestOptions extends CommonOptions {
  readonly source?: string;
  readonly property: readonly string[];
  readonly system: readonly string[];
  readonly body?: string;
  readonly device?: string;
  readonly twin?: unknown;
  readonly condition?: string;
}

/** Only the owner's policy may change routes. */
const credentials: readonly string[] = [];
const readers = ['registryRead'];

const sources = [
  'DeviceMessages',
  'TwinChangeEvents',
  'DeviceLifecycleEvents',
  'DeviceConnectionStateEvents',
  'DeviceJobLifecycleEvents',
  'DigitalTwinChangeEvents',
];

export function addRouteCommands(program: Command, terminal: Terminal): void {
  const route = program
    .command('route')
    .summary('where events go')
    .description('Routes: which events go to which endpoints, and how delivery goes.');

  withLogin(route.command('list'))
    .description('Lists the routes in order, and what becomes of messages that none takes.')
    .action((options: CommonOptions) => list(options, terminal));

  const add = withLogin(route.command('add'))
    .argument('<name>')
    .argument('<endpoint>', 'name of an endpoint, or events: the built-in event hub')
    .description('Adds a route, or replaces the one of this name.')
    .option('--condition <text>', 'which events it takes', 'true')
    .addOption(new Option('--source <source>', 'what it takes events of').choices(sources).default(sources[0]))
    .option('--disabled', 'it takes nothing until it is replaced by one that is not')
    .action((name: string, endpoint: string, options: AddOptions) => addRoute(name, endpoint, options, terminal));
  examples(add, [
    'mooring route add alarms ops --condition "level = \'alarm\'"',
    'mooring route add hot lake --condition "$body.temperature > 80 AND $twin.tags.site = \'north\'"',
  ]);

  withLogin(route.command('remove'))
    .argument('<name>')
    .description('Removes a route.')
    .action((name: string, options: CommonOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        const { number } = await api.routes.remove('routes', name);
        return done(
          `Removed the route ${printable(name)}; routes number ${number} are in force.`,
          { number },
          terminal,
        );
      }),
    );

  const test = withLogin(route.command('test'))
    .argument('[route]', 'only this one')
    .description('Says which routes take a message that is made up, and why others do not.')
    .option('--property <name=value>', 'an application property; may be repeated', collect, [])
    .option('--system <name=value>', 'a system property, as contentType=application/json; may be repeated', collect, [])
    .option('--body <text>', 'the body; with @ before it, a file that holds it')
    .option('--device <id>', 'the device that sends it, whose twin $twin is')
    .option('--twin <json>', 'tags and properties, in place of the twin of the device', json)
    .option('--condition <text>', 'try this condition, in place of the routes in force')
    .addOption(new Option('--source <source>', 'what it is an event of').choices(sources))
    .action((name: string | undefined, options: TestOptions) => testRoutes(name, options, terminal));
  examples(test, [
    'mooring route test --property level=alarm',
    'mooring route test --condition "$body.t > 20" --system contentType=application/json --system contentEncoding=utf-8 --body \'{"t": 21}\'',
  ]);

  withLogin(route.command('set'))
    .argument('<file>', 'JSON with routes, fallback, enrichments and endpoints; - reads it from the standard input')
    .description('Replaces routes, enrichments and endpoints by those of a file.')
    .action((file: string, options: CommonOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        const { number, routes, endpoints } = await api.routes.replace(objectFrom(file));
        const what = `Routes: ${count(routes.length)}, endpoints: ${count(endpoints.length)}`;
        return done(`${what}; they are in force, number ${number}.`, { number }, terminal);
      }),
    );

  withLogin(route.command('endpoints'))
    .description('Shows how delivery to each endpoint goes: its health, why, since when, how far it is behind.')
    .action((options: CommonOptions) => endpoints(options, terminal));
}

function collect(value: string, before: readonly string[]): readonly string[] {
  if (!value.includes('=')) throw new Failure(`'${value}' is no name=value.`, { usage: true });
  return [...before, value];
}

const pairs = (texts: readonly string[]): Record<string, string> =>
  Object.fromEntries(texts.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]));

function textFrom(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new Failure(`${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`, { usage: true });
  }
}

function objectFrom(file: string): object {
  try {
    const value = JSON.parse(textFrom(file)) as unknown;
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    if (error instanceof Failure) throw error;
  }
  throw new Failure(`${file} holds no JSON object.`, { usage: true });
}

function done(sentence: string, value: object, terminal: Terminal): Promise<void> | void {
  return terminal.json ? print(terminal, JSON.stringify(value)) : note(terminal, sentence);
}

function list(options: CommonOptions, terminal: Terminal): Promise<void> {
  return withApi(loginFrom(options, terminal), readers, async (api) => {
    const found = await api.routes.get();
    if (terminal.json) return print(terminal, JSON.stringify(found, undefined, 2));
    type Row = (typeof found.routes)[number];
    const columns = [
      { title: 'name', cell: ({ name }: Row) => printable(name) },
      { title: 'source', cell: ({ source }: Row) => source },
      { title: 'condition', cell: ({ condition }: Row) => printable(condition) },
      { title: 'endpoint', cell: ({ endpoint }: Row) => printable(endpoint) },
      { title: 'enabled', cell: ({ isEnabled }: Row) => (isEnabled ? 'yes' : 'no') },
    ];
    const { fallback } = found;
    const otherwise = fallback.isEnabled ? `go to ${printable(fallback.endpoint)}` : 'go nowhere';
    await print(terminal, table(terminal.out, columns, found.routes));
    note(terminal, `Messages of devices that no route takes ${otherwise}.`);
  });
}

function addRoute(name: string, endpoint: string, options: AddOptions, terminal: Terminal): Promise<void> {
  const { condition, source, disabled = false } = options;
  return withApi(loginFrom(options, terminal), credentials, async (api) => {
    const { number } = await api.routes.put('routes', name, { endpoint, condition, source, isEnabled: !disabled });
    return done(`The route ${printable(name)} is in force with routes number ${number}.`, { number }, terminal);
  });
}

function testRoutes(route: string | undefined, options: TestOptions, terminal: Terminal): Promise<void> {
  const { source, property, system, body, device, twin, condition } = options;
  const event: RouteTestJson = {
    properties: pairs(property),
    systemProperties: pairs(system),
    ...(body !== undefined && { body: body.startsWith('@') ? textFrom(body.slice(1)) : body }),
    ...(source !== undefined && { source }),
    ...(device !== undefined && { deviceId: device }),
    ...(twin !== undefined && { twin: twin as Record<string, unknown> }),
    ...(route !== undefined && { route }),
    ...(condition !== undefined && { condition }),
  };
  return withApi(loginFrom(options, terminal), readers, async (api) => {
    const trial = await api.routes.test(event);
    if (terminal.json) return print(terminal, JSON.stringify(trial, undefined, 2));
    type Row = (typeof trial.routes)[number];
    const columns = [
      { title: 'route', cell: (row: Row) => printable(row.route) },
      { title: 'endpoint', cell: (row: Row) => printable(row.endpoint) },
      { title: 'takes it', cell: ({ matches }: Row) => (matches ? 'yes' : 'no') },
      { title: 'why', cell: ({ reason }: Row) => printable(reason) },
    ];
    await print(terminal, table(terminal.out, columns, trial.routes));
    if (condition !== undefined || route !== undefined) return;
    const where = trial.endpoints.length === 0 ? 'nowhere' : `to ${trial.endpoints.map(printable).join(', ')}`;
    note(terminal, `It goes ${where}${trial.byFallback ? ', by the fallback route' : ''}.`);
  });
}

function endpoints(options: CommonOptions, terminal: Terminal): Promise<void> {
  return withApi(loginFrom(options, terminal), readers, async (api) => {
    const found = await api.routes.endpoints();
    if (terminal.json) return print(terminal, JSON.stringify(found, undefined, 2));
    const blocks = found.map((each) =>
      facts(terminal.out, [
        ['endpoint', `${printable(each.name)} (${each.kind})`],
        ['health', each.health],
        ['since', localTime(Date.parse(each.since))],
        ...(each.reason === '' ? [] : [['because', printable(each.reason)] as const]),
        ['behind', `${each.lagEvents} events, ${duration(each.lagSeconds * 1000)}`],
        ['delivered', String(each.delivered)],
        ['refused for ever', String(each.refused)],
        ['lost to retention', String(each.missed)],
      ]),
    );
    const { endpoints: declared } = await api.routes.get();
    if (blocks.length > 0) await print(terminal, blocks.join('\n'));
    if (declared.some(({ kind }) => kind === 'archive')) note(terminal, "Archives: see 'mooring archive list'.");
    else if (blocks.length === 0) note(terminal, 'There are no endpoints.');
  });
}
