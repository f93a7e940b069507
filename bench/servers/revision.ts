import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { hubAt } from './hub.ts';
import type { ServerKind } from './server.ts';

const root = path.dirname(path.dirname(import.meta.dirname));

/** A checkout of this project. */
export interface Checkout {
  readonly name: string;
  readonly folder: string;
}

/** The hub as it was at `revision`, with these settings. */
export function hubOfRevision(revision: string, settings: readonly string[] = []): ServerKind {
  const { name, folder } = checkoutOf(revision);
  return hubAt(name, folder, settings);
}

/** A revision, checked out into a folder of its own, with this checkout's packages. */
export function checkoutOf(revision: string): Checkout {
  const commit = git(['rev-parse', '--short', `${revision}^{commit}`], `--compare ${revision}: no such revision`);
  const folder = path.join(os.tmpdir(), 'mooring-bench-revisions', commit);
  if (!existsSync(path.join(folder, 'src/main.ts'))) {
    mkdirSync(path.dirname(folder), { recursive: true });
    git(['clone', '--quiet', '--no-checkout', root, folder], 'the revision could not be copied');
    git(['-C', folder, 'checkout', '--quiet', commit], 'the revision could not be checked out');
    symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  }
  return { name: `mooring ${commit}`, folder };
}

function git(args: readonly string[], failure: string): string {
  const run = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`${failure}: ${run.stderr.trim()}`);
  return run.stdout.trim();
}
