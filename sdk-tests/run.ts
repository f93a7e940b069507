/**
 * `npm run sdk-tests`: installs and builds the vendors' SDKs that the files of this folder pin, languages side by side, when
 * that is not done yet; then runs the tests one file after the other (they share the default ports). Names behind `--` narrow
 * it: `npm run sdk-tests -- registry`. A whole run writes docs/compatibility.md; with `--check` it fails when the page says
 * anything else. `--install` installs and builds only.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { whyNot } from './support/hub.ts';
import { pythonEnvironments, pythonProgram, pythonProgramOf } from './support/programs.ts';

const here = import.meta.dirname;

async function run(command: string, args: readonly string[], folder = '.'): Promise<boolean> {
  const child = spawn(command, args, { cwd: path.join(here, folder), stdio: ['ignore', 'inherit', 'inherit'] });
  try {
    const [status] = await once(child, 'close');
    return status === 0;
  } catch {
    return false; // there is no such program
  }
}

/** Carries out `install` unless it was done for this state of the files `pins`; `folder` is stamped with what is in it. */
async function installOnce(pins: readonly string[], folder: string, install: () => Promise<boolean>): Promise<boolean> {
  const hash = createHash('sha256');
  for (const pin of pins) hash.update(readFileSync(path.join(here, pin)));
  const state = hash.digest('hex');
  const stamp = path.join(here, folder, '.installed-pins');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === state) return true;
  process.stderr.write(`Installing what sdk-tests/${pins[0]} names (once) ...\n`);
  if (!(await install())) return false;
  writeFileSync(stamp, state);
  return true;
}

const sources = (pattern: string): readonly string[] => globSync(pattern, { cwd: here }).sort();

const npmPackages = (folder: string): Promise<boolean> =>
  installOnce([path.join(folder, 'package-lock.json')], path.join(folder, 'node_modules'), () =>
    run('npm', ['ci', '--loglevel=error', '--no-progress', '--ignore-scripts'], folder),
  );

const pythonPackages = (pins: string, folder: string, program: string): Promise<boolean> =>
  installOnce(
    [pins],
    folder,
    async () =>
      (await run('python3', ['-m', 'venv', folder])) &&
      (await run(program, ['-m', 'pip', 'install', '--quiet', '--requirement', pins])),
  );

/** One after the other: `npm` and `pip` share their caches. */
async function inTurn(...works: readonly (() => Promise<boolean>)[]): Promise<boolean> {
  for (const work of works) if (!(await work())) return false;
  return true;
}

/** Of each language whether its clients are there, and what it needs. */
const languages: readonly { readonly name: string; readonly needs: string; readonly done: Promise<boolean> }[] = [
  {
    name: 'JavaScript',
    needs: 'the network',
    done: inTurn(
      () => npmPackages('.'),
      ...sources('older/*/package-lock.json').map((file) => () => npmPackages(path.dirname(file))),
    ),
  },
  {
    name: 'Python',
    needs:
      'python3 with venv, up to 3.11 for the oldest, its headers, those of OpenSSL, and a C compiler (Debian: python3-venv, python3-dev, libssl-dev, gcc)',
    done: inTurn(
      () => pythonPackages('requirements.txt', '.venv', pythonProgram),
      ...pythonEnvironments.map(
        (name) => () => pythonPackages(`requirements-${name}.txt`, `.venv-${name}`, pythonProgramOf(name)),
      ),
    ),
  },
  {
    name: 'Java',
    needs: 'a JDK from 17 on and Maven',
    done: installOnce(['java/pom.xml', ...sources('java/src/**/*.java')], 'java/target', () => {
      // Libraries of another state of the file would lie beside those of this one.
      rmSync(path.join(here, 'java', 'target'), { recursive: true, force: true });
      return run('mvn', ['--batch-mode', '--quiet', '--file', 'java/pom.xml', 'process-classes']);
    }),
  },
  {
    name: 'Go',
    needs: 'Go from 1.25 on, or one from 1.21 on that may load it',
    done: installOnce(['go/go.mod', 'go/go.sum', ...sources('go/*.go')], 'go/build', () =>
      // Some distributions keep Go from loading the version that go.mod names.
      run('env', ['GOTOOLCHAIN=auto', 'go', 'build', '-o', 'build/clients', '.'], 'go'),
    ),
  },
  {
    name: 'Rust',
    needs: 'Rust from 1.88 on, with Cargo and a C compiler',
    done: installOnce(['rust/Cargo.toml', 'rust/Cargo.lock', ...sources('rust/src/*.rs')], 'rust/target', () =>
      run('cargo', ['build', '--locked', '--quiet'], 'rust'),
    ),
  },
];
let isComplete = true;
for (const { name, needs, done } of languages) {
  if (await done) continue;
  isComplete = false;
  process.stderr.write(`NOT TESTED: the ${name} SDKs, which need ${needs}; see above\n`);
  if (name === 'JavaScript') process.exit(1);
}
if (process.argv.includes('--install')) process.exit(0);

const wanted = process.argv.slice(2).filter((argument) => argument !== '--check');
const files = globSync('*.test.ts', { cwd: here })
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
  .map((file) => path.join(here, file));
if (files.length === 0) {
  process.stderr.write(`No test file has one of these in its name: ${wanted.join(', ')}\n`);
  process.exit(1);
}
// What one process has compiled, the next ones load, as in test/all.ts.
process.env.NODE_COMPILE_CACHE ??= path.join(here, '..', 'node_modules', '.cache', 'compiled');
const results = path.join(mkdtempSync(path.join(tmpdir(), 'mooring-sdk-results-')), 'results.jsonl');
const tests = spawnSync(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files], {
  stdio: 'inherit',
  env: { ...process.env, MOORING_SDK_RESULTS: results },
});
if (tests.status !== 0) process.exit(tests.status ?? 1);
// Part of the tests says nothing of the rest.
if (wanted.length > 0) process.exit(0);
const check = process.argv.includes('--check');
if ((await whyNot()) !== undefined || !isComplete) {
  process.stderr.write('docs/compatibility.md stays as it is: not every test could run\n');
  process.exit(check ? 1 : 0);
}
const args = [path.join(here, 'compatibility.ts'), results, ...(check ? ['--check'] : [])];
process.exit(spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1);
