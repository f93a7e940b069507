/**
 * `npm run sdk-tests`: installs the vendors' SDKs that package-lock.json and requirements.txt pin, when that is not done
 * yet, then runs the tests one file after the other (they share the default ports). Names behind `--` narrow it:
 * `npm run sdk-tests -- registry`. A whole run writes docs/compatibility.md; with `--check` it fails when the page says
 * anything else.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { whyNot } from './support/hub.ts';
import { pythonProgram } from './support/programs.ts';

const here = import.meta.dirname;

function run(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { cwd: here, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
}

/** Carries out `install` unless it was done for this state of the files `pins`; `folder` is stamped with what is in it. */
function installOnce(pins: readonly string[], folder: string, install: () => boolean): boolean {
  const hash = createHash('sha256');
  for (const pin of pins) hash.update(readFileSync(path.join(here, pin)));
  const state = hash.digest('hex');
  const stamp = path.join(here, folder, '.installed-pins');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === state) return true;
  process.stderr.write(`Installing what sdk-tests/${pins[0]} names (once) ...\n`);
  if (!install()) return false;
  writeFileSync(stamp, state);
  return true;
}

const npmDone = installOnce(['package-lock.json'], 'node_modules', () =>
  run('npm', ['ci', '--loglevel=error', '--no-progress', '--ignore-scripts']),
);
if (!npmDone) {
  process.stderr.write('The SDKs could not be installed: see above. Check the network, then try again.\n');
  process.exit(1);
}
const pythonDone = installOnce(
  ['requirements.txt'],
  '.venv',
  () =>
    run('python3', ['-m', 'venv', '.venv']) &&
    run(pythonProgram, ['-m', 'pip', 'install', '--quiet', '--requirement', 'requirements.txt']),
);
if (!pythonDone) {
  process.stderr.write('NOT TESTED: the Python SDKs (they need python3 with venv, Debian: python3-venv; see above)\n');
}
const javaDone = installOnce(
  ['java/pom.xml', ...globSync('java/src/**/*.java', { cwd: here }).sort()],
  'java/target',
  () => run('mvn', ['--batch-mode', '--quiet', '--file', 'java/pom.xml', 'process-classes']),
);
if (!javaDone) {
  process.stderr.write('NOT TESTED: the Java SDKs (they need a JDK from 17 on and Maven; see above)\n');
}

const wanted = process.argv.slice(2).filter((argument) => argument !== '--check');
const files = globSync('*.test.ts', { cwd: here })
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
  .map((file) => path.join(here, file));
if (files.length === 0) {
  process.stderr.write(`No test file has one of these in its name: ${wanted.join(', ')}\n`);
  process.exit(1);
}
const results = path.join(mkdtempSync(path.join(tmpdir(), 'mooring-sdk-results-')), 'results.jsonl');
const tests = spawnSync(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files], {
  stdio: 'inherit',
  env: { ...process.env, MOORING_SDK_RESULTS: results },
});
if (tests.status !== 0) process.exit(tests.status ?? 1);
// Part of the tests says nothing of the rest.
if (wanted.length > 0) process.exit(0);
const check = process.argv.includes('--check');
if ((await whyNot()) !== undefined || !pythonDone || !javaDone) {
  process.stderr.write('docs/compatibility.md stays as it is: not every test could run\n');
  process.exit(check ? 1 : 0);
}
const args = [path.join(here, 'compatibility.ts'), results, ...(check ? ['--check'] : [])];
process.exit(spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1);
