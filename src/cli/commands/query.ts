import { type Command, Option } from 'commander';
import type { QueryRowJson } from '../../api/queries.ts';
import { limits } from '../../base/limits.ts';
import type { Login } from '../login/login.ts';
import { type Column, printable, table } from '../output/table.ts';
import { count } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, wholeNumber, withLogin } from './options.ts';
import { watchQuery } from './query-watch.ts';

interface QueryOptions extends CommonOptions {
  readonly top: number;
  readonly watch?: true;
  readonly explain?: true;
}

const ROWS_DEFAULT = 100;
const ROWS_MAX = 1_000_000;
/** Characters of one cell: a twin is many lines long. */
const CELL_MAX = 60;

export function addQueryCommand(program: Command, terminal: Terminal): void {
  const query = withLogin(program.command('query'))
    .argument('<query>', 'as SELECT deviceId FROM devices WHERE tags.site = "north"')
    .summary('queries of the fleet')
    .description('Asks for devices or devices.modules by their twins, and shows the rows.')
    .addOption(
      new Option('--top <n>', 'how many rows at most').argParser(wholeNumber(1, ROWS_MAX)).default(ROWS_DEFAULT),
    )
    .option('--explain', 'show how the rows are found, and what would find them faster')
    .option('--watch', 'go on: show which rows enter (+), change (~) and leave (-), until Ctrl-C')
    .action((text: string, options: QueryOptions) => {
      const login = loginFrom(options, terminal);
      if (options.explain === true) return explain(text, login, options, terminal);
      if (options.watch !== true) return ask(text, login, options, terminal);
      return terminal.untilStopped((stop) => watchQuery(text, login, stop, terminal));
    });
  examples(query, [
    'mooring query "SELECT deviceId, tags.site FROM devices WHERE connectionState = \'Connected\'"',
    'mooring query "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site"',
    'mooring query "SELECT * FROM devices WHERE properties.reported.battery < 20" --json | jq -r ".[].deviceId"',
    'mooring query "SELECT * FROM devices WHERE tags.site = \'north\'" --explain',
    'mooring query "SELECT deviceId FROM devices WHERE connectionState = \'Connected\'" --watch',
  ]);
}

async function ask(text: string, login: Login, { top }: QueryOptions, terminal: Terminal): Promise<void> {
  const { rows, hasMore } = await withApi(login, ['service'], async (api) => {
    const found: QueryRowJson[] = [];
    for await (const row of api.queries.rows(text, { countMax: Math.min(top, limits.queryPageMax) })) {
      if (found.length === top) return { rows: found, hasMore: true };
      found.push(row);
    }
    return { rows: found, hasMore: false };
  });
  if (terminal.json) await print(terminal, JSON.stringify(rows, undefined, 2));
  else if (rows.length === 0) note(terminal, 'No row is like that.');
  else await print(terminal, table(terminal.out, columnsOf(rows), rows));
  if (hasMore) note(terminal, `These are the first ${count(rows.length)} rows. Ask for more with --top.`);
}

async function explain(text: string, login: Login, { top }: QueryOptions, terminal: Terminal): Promise<void> {
  const countMax = Math.min(top, limits.queryPageMax);
  const explanation = await withApi(login, ['service'], (api) => api.queries.explain(text, { countMax }));
  if (terminal.json) return print(terminal, JSON.stringify(explanation, undefined, 2));
  const { summary, advice, database } = explanation;
  const lines = [summary, ...advice, ...database.map((line) => `  database: ${line}`)];
  return print(terminal, lines.map(printable).join('\n'));
}

/** Of a whole twin what tells it apart; of other rows all that they have. */
function columnsOf(rows: readonly QueryRowJson[]): readonly Column<QueryRowJson>[] {
  // In the order of the query, which a row shows that has all of them: a value that is not there has no name.
  const whole = rows.reduce((most, row) => (Object.keys(row).length > Object.keys(most).length ? row : most));
  const names = new Set([whole, ...rows].flatMap((row) => Object.keys(row)));
  const isOfTwins = names.has('deviceEtag') && names.has('properties');
  const shown = isOfTwins
    ? ['deviceId', 'moduleId', 'status', 'connectionState', 'version', 'tags'].filter((name) => names.has(name))
    : [...names];
  return shown.map((name) => ({
    title: printable(name),
    ...(rows.every((row) => row[name] === undefined || typeof row[name] === 'number') && { align: 'right' as const }),
    cell: (row) => cellOf(row[name]),
  }));
}

function cellOf(value: unknown): string {
  if (value === undefined) return '';
  const text = printable(typeof value === 'string' ? value : JSON.stringify(value));
  return text.length > CELL_MAX ? `${text.slice(0, CELL_MAX)}…` : text;
}
