/** Archives of events: what is in them, and whether it is. */
import { type Command, Option } from 'commander';
import type { ArchiveFileJson, ArchiveJson, ArchiveReportJson } from '../../api/archives.ts';
import type { ApiClient } from '../../api/client.ts';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import { type Column, printable, table } from '../output/table.ts';
import { withApi } from '../registry/with-api.ts';
import { print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

/** Narrowest credentials. */
const callers = ['service', 'iothubowner'];

const partitionOption = (): Option =>
  new Option('--partition <n>', 'only of this partition').argParser(wholeNumber(0, limits.partitionsMax - 1));

interface ListOptions extends CommonOptions {
  readonly partition?: number;
}

interface VerifyOptions extends ListOptions {
  readonly content?: true;
  readonly repair?: true;
}

export function addArchiveCommands(program: Command, terminal: Terminal): void {
  const archive = program
    .command('archive')
    .summary('files of events, for years')
    .description('Archives: files of events in a store of objects (docs/archive.md).');

  const list = withLogin(archive.command('list'))
    .argument('[archive]', 'an archive, to list its files')
    .description('Shows the archives of the hub, or the files of one.')
    .addOption(partitionOption())
    .action((name: string | undefined, options: ListOptions) =>
      withApi(loginFrom(options, terminal), callers, async (api) => {
        if (name === undefined) return printArchives(await api.archives.list(), terminal);
        const files: ArchiveFileJson[] = [];
        for await (const page of pages(options, (each) => api.archives.files(name, each))) files.push(...page.files);
        await printFiles(files, terminal);
      }),
    );
  examples(list, [
    'mooring archive list',
    'mooring archive list cold --partition 0',
    'mooring archive list cold --json',
  ]);

  const verify = withLogin(archive.command('verify'))
    .argument('<archive>')
    .description('Looks whether every file that is listed is in the store. Ends with 1 where one is not.')
    .addOption(partitionOption())
    .option('--content', 'read what is in files of Parquet, too')
    .option('--repair', 'write files again that are not as they must be, where the event hub still has their events')
    .action((name: string, options: VerifyOptions) =>
      withApi(loginFrom(options, terminal), callers, (api) => verifyAll(api, name, options, terminal)),
    );
  examples(verify, ['mooring archive verify cold', 'mooring archive verify cold --content --repair']);
}

async function verifyAll(api: ApiClient, name: string, options: VerifyOptions, terminal: Terminal): Promise<void> {
  const how = { content: options.content === true, repair: options.repair === true };
  const { partitionCount } = await api.archives.files(name, { partition: 0, limit: 1 });
  const whole = { files: 0, events: 0, bytes: 0, moreProblems: 0, problems: [] as ArchiveReportJson['problems'] };
  const asked = async (page: { partition: number; after?: number }) => ({
    ...(await api.archives.verify(name, page, how)),
    partitionCount,
  });
  for await (const report of pages(options, asked)) {
    whole.files += report.files;
    whole.events += report.events;
    whole.bytes += report.bytes;
    whole.moreProblems += report.moreProblems;
    whole.problems.push(...report.problems);
  }
  const count = whole.problems.length + whole.moreProblems;
  if (terminal.json) await print(terminal, JSON.stringify(whole, undefined, 2));
  else {
    const sums = `${whole.files} files, ${whole.events} events, ${whole.bytes} bytes`;
    const found = whole.problems.map(
      ({ path, problem, detail }) => `${printable(path)}: ${problem}. ${printable(detail)}`,
    );
    const more = whole.moreProblems === 0 ? [] : [`and ${whole.moreProblems} more`];
    await print(terminal, [...found, ...more, count === 0 ? `${sums}: all there` : sums].join('\n'));
  }
  if (count > 0) throw new Failure(`The archive ${name} is not whole: ${count} problems.`);
}

/** All pages of all partitions, or of the one that is wanted. */
async function* pages<Page extends { readonly next?: number; readonly partitionCount: number }>(
  { partition }: ListOptions,
  ask: (page: { partition: number; after?: number }) => Promise<Page>,
): AsyncGenerator<Page> {
  for (let at = partition ?? 0, count = at + 1; at < count; at++) {
    let after: number | undefined;
    do {
      const page: Page = await ask({ partition: at, ...(after !== undefined && { after }) });
      yield page;
      after = page.next;
      if (partition === undefined) count = page.partitionCount;
    } while (after !== undefined);
  }
}

const archiveColumns: readonly Column<ArchiveJson>[] = [
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'FORMAT', cell: ({ format }) => format },
  { title: 'STORE', cell: ({ store }) => store },
  { title: 'STATE', cell: ({ status }) => status?.state ?? 'not open' },
  { title: 'LAG', cell: ({ status }) => (status === undefined ? '' : `${status.lagEvents} events`) },
  { title: 'REASON', cell: ({ status }) => status?.reason ?? '' },
];

const fileColumns: readonly Column<ArchiveFileJson>[] = [
  { title: 'PATH', cell: ({ path }) => path },
  { title: 'FIRST', cell: ({ firstSequenceNumber }) => String(firstSequenceNumber) },
  { title: 'LAST', cell: ({ lastSequenceNumber }) => String(lastSequenceNumber) },
  { title: 'FROM', cell: ({ firstEnqueuedTimeUtc }) => firstEnqueuedTimeUtc },
  { title: 'TO', cell: ({ lastEnqueuedTimeUtc }) => lastEnqueuedTimeUtc },
  { title: 'EVENTS', cell: ({ events }) => String(events) },
  { title: 'BYTES', cell: ({ bytes }) => (bytes === undefined ? 'on its way' : String(bytes)) },
];

async function printArchives(archives: readonly ArchiveJson[], terminal: Terminal): Promise<void> {
  if (terminal.json) return print(terminal, JSON.stringify(archives, undefined, 2));
  await print(terminal, table(terminal.out, archiveColumns, archives));
}

async function printFiles(files: readonly ArchiveFileJson[], terminal: Terminal): Promise<void> {
  if (terminal.json) return print(terminal, JSON.stringify(files, undefined, 2));
  await print(terminal, table(terminal.out, fileColumns, files));
}
