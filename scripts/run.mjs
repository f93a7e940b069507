// Runs the hub, its tools or its tests in a fresh clone, on a machine with any Node from 20 on: installs what
// package-lock.json names when that is not there yet, then hands over to the Node that the project pins.
//   node scripts/run.mjs serve --mqtts-port 0        -> src/main.ts with these arguments
//   node scripts/run.mjs --script bench/main.ts ...  -> that script with the arguments behind it
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.installed-lock');

function install() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  process.stderr.write('Installing the packages that package-lock.json names (once) ...\n');
  const npm = spawnSync('npm', ['ci', '--loglevel=error', '--no-progress'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  });
  if (npm.status !== 0) {
    process.stderr.write('The packages could not be installed: see above. Check the network, then try again.\n');
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}

install();
const [first, ...others] = process.argv.slice(2);
const [script, args] = first === '--script' ? [others[0], others.slice(1)] : ['src/main.ts', process.argv.slice(2)];
const pinned = join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
const node = existsSync(pinned) ? pinned : process.execPath;
const child = spawn(node, [join(root, script), ...args], {
  // The channel ends with this process, whatever ends it: the program behind it stops then, and is not left behind.
  stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
});
// The page of the portal, beside the start of the hub, which does not wait for it and runs without it.
if (first === 'serve' && !args.includes('--help')) {
  const build = spawn(node, [join(root, 'scripts', 'build-portal.mjs')], { stdio: ['ignore', 'ignore', 'inherit'] });
  build.on('error', () => {});
  build.unref();
  try {
    setPriority(build.pid ?? 0, build.pid === undefined ? 0 : constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already, or the system does not know such a thing.
  }
  process.on('exit', () => build.kill());
}
// A terminal sends Ctrl-C to the whole group; a service manager tells only this process. The hub takes it once.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
// npm tells its shell alone of a SIGTERM, and that ends without a word to what it has started: this process sees that it has another parent.
if (process.env.npm_lifecycle_event !== undefined && process.platform !== 'win32') {
  const shell = process.ppid;
  setInterval(() => process.ppid !== shell && child.kill('SIGTERM'), 500).unref();
}
child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
