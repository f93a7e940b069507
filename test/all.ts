/**
 * `npm test`: types, format and lint, then every test file, on the pinned Node. Names behind `npm test --` narrow it:
 * `npm test -- mqtt` runs the files whose path holds "mqtt", without the checks.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const wanted = process.argv.slice(2);

function check(label: string, command: string, args: readonly string[]): void {
  process.stdout.write(`${label} ...\n`);
  const run = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (run.status !== 0) {
    process.stderr.write(`${label}: failed\n`);
    process.exit(run.status ?? 1);
  }
}

const running: ChildProcess[] = [];
// `scripts/run.mjs`, which started this, is gone.
process.on('disconnect', () => {
  for (const run of running) run.kill();
  process.exit(1);
});
// A listener would keep the channel, and the channel this process.
process.channel?.unref();

const bin = (name: string): string => path.join(root, 'node_modules', '.bin', name);
if (wanted.length === 0) {
  check('types', bin('tsc'), ['--noEmit']);
  check('types of the portal', bin('tsc'), ['--noEmit', '-p', 'portal']);
  check('format and lint', bin('biome'), ['check', '--error-on-warnings', '.']);
}
const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts', 'examples/**/*.test.ts'], {
  cwd: root,
})
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  process.stderr.write(`No test file has one of these in its path: ${wanted.join(', ')}\n`);
  process.exit(1);
}
// Every test file, hub and client is a process of its own: what one of them has compiled, the next ones load. An entry has the name of
// its source, so the folder does not grow. A start of a hub takes 2.0 s of CPU with it, 3.8 s without.
process.env.NODE_COMPILE_CACHE ??= path.join(root, 'node_modules', '.cache', 'compiled');

/** Runs test files, so many at a time; true when all have passed. */
async function tests(files: readonly string[], concurrency: number, output: 'inherit' | number): Promise<boolean> {
  if (files.length === 0) return true;
  const run = spawn(process.execPath, ['--test', `--test-concurrency=${concurrency}`, ...files], {
    cwd: root,
    stdio: ['ignore', output, output],
  });
  running.push(run);
  const [code] = await once(run, 'close');
  return code === 0;
}

// Tests of nodes and brokers wait most of their time, for leases to end and brokers to come back. In a run of everything they go one after
// the other beside the rest, and what they say stands behind it: they are a quarter of the time that all tests take, added up.
const waits = (file: string): boolean => wanted.length === 0 && /^test\/(cluster|kafka)\//.test(file);
process.stdout.write('tests ...\n');
const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-tests-'));
const said = path.join(folder, 'said');
const passed = await Promise.all([
  tests(
    files.filter((file) => !waits(file)),
    2,
    'inherit',
  ),
  tests(files.filter(waits), 1, openSync(said, 'w')),
]);
process.stdout.write(readFileSync(said));
rmSync(folder, { recursive: true });
if (passed.includes(false)) {
  process.stderr.write('tests: failed\n');
  process.exit(1);
}
