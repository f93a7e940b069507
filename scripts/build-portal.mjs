// Builds the page of the portal with Vite when its sources or packages are others than those of the last build:
//   node scripts/build-portal.mjs               -> portal/dist, for a checkout
//   node scripts/build-portal.mjs --out FOLDER  -> FOLDER, for the package
// It ends with 1 when it could not; `portal/dist.state` then holds why, for the hub to show at `/`. No network.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const portal = join(root, 'portal');
const flag = process.argv.indexOf('--out');
const dist = flag === -1 ? join(portal, 'dist') : resolve(process.argv[flag + 1]);
const state = join(portal, 'dist.state');
const lock = join(portal, 'dist.lock');
const LOCK_MS_MAX = 5 * 60_000;

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

/** One build at a time, whoever starts it. A lock that its owner has left behind counts as none. */
function lockHeld() {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      mkdirSync(lock);
      process.on('exit', () => rmSync(lock, { recursive: true, force: true }));
      return true;
    } catch {
      if (existsSync(lock) && Date.now() - statSync(lock).mtimeMs < LOCK_MS_MAX) return false;
      rmSync(lock, { recursive: true, force: true });
    }
  }
  return false;
}

if (!existsSync(join(portal, 'vite.config.ts'))) process.exit(0);
const stamp = sources();
if (isBuilt(stamp)) {
  rmSync(state, { force: true });
  process.exit(0);
}
if (!lockHeld()) {
  process.stderr.write('The portal is being built by another process.\n');
  process.exit(0);
}
const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
if (!existsSync(vite)) failed('The package vite is not installed. Run "npm ci" without --omit=dev.');
writeFileSync(state, 'building\n');
// Beside the place it goes to, so that a page is never served half written.
const draft = `${dist}.draft`;
rmSync(draft, { recursive: true, force: true });
const config = ['--config', join(portal, 'vite.config.ts'), '--outDir', draft, '--emptyOutDir', '--logLevel', 'warn'];
const run = spawnSync(process.execPath, [vite, 'build', portal, ...config], { cwd: root, encoding: 'utf8' });
if (run.status !== 0 || !existsSync(join(draft, 'index.html'))) {
  failed(`${run.error?.message ?? ''}${run.stderr}${run.stdout}`.trim().slice(0, 4000));
}
writeFileSync(stampOf(draft), stamp);
mkdirSync(dirname(dist), { recursive: true });
rmSync(dist, { recursive: true, force: true });
renameSync(draft, dist);
rmSync(state, { force: true });
