/** `gateway init`, `test` and `describe`: what an author of adapters needs, and no hub. */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { Failure } from '../failure.ts';
import { print, type Terminal } from '../terminal.ts';
import { examples } from './options.ts';

export function addGatewayAuthor(gateway: Command, terminal: Terminal): void {
  const init = gateway
    .command('init <folder>')
    .summary('begin an adapter: a folder with one that works, and its test')
    .description(
      'Writes adapter.ts, adapter.test.ts and README.md into a new folder, whose name is that of the adapter.',
    )
    .action((folder: string) => initAdapter(folder, terminal));
  examples(init, ['mooring gateway init meter']);
  const run = gateway
    .command('test <place...>')
    .summary('run tests of adapters, which find mooring/gateway wherever they lie')
    .description(
      'Runs files, or the files *.test.ts, *.test.js and *.test.mjs of folders, with the test runner of Node.',
    )
    .action((places: readonly string[]) => testAdapters(places, terminal));
  examples(run, ['mooring gateway test meter']);
  const describe = gateway
    .command('describe [adapter]')
    .summary('which adapters there are, and the settings of one')
    .description(
      'Without a name the built-in adapters; with one (or the path of a module) its settings, as JSON Schema.',
    )
    .option('--json', 'print JSON')
    .action((adapter: string | undefined) => describeAdapters(adapter, terminal));
  examples(describe, [
    'mooring gateway describe',
    'mooring gateway describe line',
    'mooring gateway describe ./meter/adapter.ts',
  ]);
}

async function initAdapter(folder: string, terminal: Terminal): Promise<void> {
  const { ADAPTER_NAME } = await import('../../gateway/load.ts');
  const { templateFiles } = await import('../../gateway/template.ts');
  const place = path.resolve(terminal.cwd, folder);
  const name = path.basename(place);
  if (!ADAPTER_NAME.test(name)) {
    throw new Failure(`${name} is no name of an adapter.`, {
      hint: 'It has lower-case letters, digits and -, 32 at most.',
    });
  }
  if (existsSync(place)) throw new Failure(`${folder} exists already.`, { hint: 'Name another folder, or remove it.' });
  mkdirSync(place, { recursive: true });
  for (const [file, text] of Object.entries(templateFiles(name))) writeFileSync(path.join(place, file), text);
  print(terminal, `${folder}/adapter.ts is an adapter that works. Try it: mooring gateway test ${folder}`);
}

async function testAdapters(places: readonly string[], terminal: Terminal): Promise<void> {
  const files = places.flatMap((place) => {
    const absolute = path.resolve(terminal.cwd, place);
    if (!existsSync(absolute)) throw new Failure(`There is no ${place}.`);
    if (!statSync(absolute).isDirectory()) return [absolute];
    return globSync('**/*.test.{ts,js,mjs}', { cwd: absolute }).map((name) => path.join(absolute, name));
  });
  if (files.length === 0)
    throw new Failure(`No tests are in ${places.join(', ')}.`, { hint: 'Their names end in .test.ts.' });
  const source = new URL('../../gateway/resolve.ts', import.meta.url);
  // The published package holds JavaScript, and the names of such files are not rewritten by the compiler.
  const resolve = import.meta.url.endsWith('.ts') ? source : new URL(source.href.replace(/\.ts$/, '.js'));
  // A device that a failed case has left connected must not keep its result waiting.
  const args = ['--import', resolve.href, '--test', '--test-force-exit', ...files];
  const tests = spawn(process.execPath, args, { stdio: 'inherit' });
  const code = await new Promise<number | null>((done) => tests.once('exit', done));
  if (code !== 0) throw new Failure('Some tests have failed.');
}

async function describeAdapters(adapter: string | undefined, terminal: Terminal): Promise<void> {
  const { builtInAdapters } = await import('../../adapters/built-in.ts');
  const { AdapterFault, loadAdapter } = await import('../../gateway/load.ts');
  const { describeSettings } = await import('../../gateway/settings.ts');
  const names = adapter === undefined ? Object.keys(builtInAdapters) : [adapter];
  try {
    const found = await Promise.all(names.map((name) => loadAdapter(name, builtInAdapters, terminal.cwd)));
    const facts = found.map((each) => ({
      name: each.name,
      summary: each.summary ?? '',
      settings: describeSettings(each),
    }));
    if (terminal.json) print(terminal, JSON.stringify(adapter === undefined ? facts : facts[0]));
    else if (adapter === undefined)
      for (const { name, summary } of facts) print(terminal, `${name.padEnd(16)} ${summary}`);
    else
      print(
        terminal,
        `${facts[0].name}: ${facts[0].summary}\n${JSON.stringify(facts[0].settings ?? {}, undefined, 2)}`,
      );
  } catch (error) {
    if (error instanceof AdapterFault) throw new Failure(error.message);
    throw error;
  }
}
