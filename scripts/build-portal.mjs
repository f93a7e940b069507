// Builds the page of the portal with Vite when its sources or packages are others than those of the last build:
//   node scripts/build-portal.mjs               -> portal/dist, for a checkout
//   node scripts/build-portal.mjs --out FOLDER  -> FOLDER, for the package
// It ends with 1 when it could not; `portal/dist.state` then holds why, for the hub to show at `/`. No network.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const portal = join(root, 'portal');
const flag = process.argv.indexOf('--out');
const dist = flag === -1 ? join(portal, 'dist') : resolve(process.argv[flag + 1]);
const state = join(portal, 'dist.state');
const lock = join(portal, 'dist.lock');
const LOCK_MS_MAX = 5 * 60_000;
const LOOK_MS = 100;

/** Of everything that the build reads: sources, settings, and the packages by their lock. */
function sources() {
  const hash = createHash('sha256');
  const files = globSync('**/*', { cwd: portal, exclude: (name) => /^(?:dist|node_modules)(?:$|[/.])/.test(name) })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => !name.startsWith('dist') && statSync(join(portal, name)).isFile())
    .sort();
  for (const name of files)
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(portal, name)))
      .update('\0');
  // What the page takes from the rest of the project.
  const examples = globSync('examples/devices/*', { cwd: root }).sort();
  for (const name of ['package-lock.json', 'src/api/sas.ts', ...examples]) hash.update(readFileSync(join(root, name)));
  return hash.digest('hex');
}

const stampOf = (folder) => join(folder, '.stamp');
const isBuilt = (stamp) => existsSync(stampOf(dist)) && readFileSync(stampOf(dist), 'utf8') === stamp;

function failed(text) {
  writeFileSync(state, `failed\n${text}\n`);
  process.stderr.write(`The portal could not be built:\n${text}\n`);
  process.exit(1);
}

/** Whether the process that has written the lock still builds. One that was killed leaves it behind. */
function isHeld() {
  try {
    if (Date.now() - statSync(lock).mtimeMs > LOCK_MS_MAX) return false;
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Takes the lock, which appears with its owner in it: there is no moment at which it is empty. */
function isTaken() {
  const own = `${lock}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  try {
    if (existsSync(lock) && !isHeld()) rmSync(lock, { recursive: true, force: true });
    linkSync(own, lock);
    process.on('exit', () => rmSync(lock, { force: true }));
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(own, { force: true });
  }
}

/** One build at a time, whoever starts it; who comes second waits, and finds the page built or builds it. */
async function waitForLock() {
  let isTold = false;
  while (!isTaken()) {
    if (!isTold) process.stderr.write('The portal is being built by another process: waiting for it.\n');
    isTold = true;
    await sleep(LOOK_MS);
  }
}

if (!existsSync(join(portal, 'vite.config.ts'))) process.exit(0);
const stamp = sources();
if (isBuilt(stamp)) {
  rmSync(state, { force: true });
  process.exit(0);
}
await waitForLock();
if (isBuilt(stamp)) process.exit(0);
const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
if (!existsSync(vite)) failed('The package vite is not installed. Run "npm ci" without --omit=dev.');
writeFileSync(state, 'building\n');
// Beside the place it goes to, so that a page is never served half written; a build that was killed may still write into its own.
const draft = `${dist}.draft-${process.pid}`;
for (const left of globSync(`${basename(dist)}.draft*`, { cwd: dirname(dist) })) {
  rmSync(join(dirname(dist), left), { recursive: true, force: true });
}
const config = ['--config', join(portal, 'vite.config.ts'), '--outDir', draft, '--emptyOutDir', '--logLevel', 'warn'];
const build = spawn(process.execPath, [vite, 'build', portal, ...config], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'pipe'],
});
// The hub beside which it runs may end before it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    build.kill();
    rmSync(draft, { recursive: true, force: true });
    rmSync(state, { force: true });
    process.exit(1);
  });
}
let said = '';
for (const output of [build.stdout, build.stderr]) {
  output.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
}
const status = await new Promise((done) => {
  build.on('error', ({ message }) => done(message));
  build.on('close', done);
});
if (status !== 0 || !existsSync(join(draft, 'index.html'))) {
  failed((said || `Vite ended with ${status}.`).trim().slice(0, 4000));
}
writeFileSync(stampOf(draft), stamp);
mkdirSync(dirname(dist), { recursive: true });
rmSync(dist, { recursive: true, force: true });
renameSync(draft, dist);
rmSync(state, { force: true });
