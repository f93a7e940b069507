/** What the build makes: small enough, static under a strict policy, with its licences. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { until } from '../drivers/until.ts';

const root = path.join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-pages-'));
const KiB = 1024;

before(() => {
  const script = path.join(root, 'scripts', 'build-portal.mjs');
  const run = spawnSync(process.execPath, [script, '--out', path.join(folder, 'out')], { encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr);
});

after(() => rmSync(folder, { recursive: true, force: true }));

const built = (pattern: string): readonly string[] => globSync(pattern, { cwd: path.join(folder, 'out') });
const textOf = (name: string): string => readFileSync(path.join(folder, 'out', name), 'utf8');
const gzipped = (names: readonly string[]): number =>
  names.reduce((sum, name) => sum + gzipSync(textOf(name), { level: 9 }).length, 0);

test('scripts and styles stay within their budgets: 90 KiB for the first page, 350 KiB in all, gzipped', () => {
  const index = textOf('index.html');
  const first = [...index.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css))"/g)].map(([, name]) => name);
  assert.ok(first.some((name) => name.endsWith('.js')) && first.some((name) => name.endsWith('.css')), index);
  assert.ok(gzipped(first) <= 90 * KiB, `${gzipped(first)} bytes at first`);
  const all = gzipped(built('assets/*.{js,css}'));
  assert.ok(all <= 350 * KiB, `${all} bytes in all`);
});

test('a build that was killed, or that runs, does not keep another from its page', async () => {
  const script = path.join(root, 'scripts', 'build-portal.mjs');
  const lock = path.join(root, 'portal', 'dist.lock');
  const start = (name: string, ...signal: AbortSignal[]) => {
    const out = path.join(folder, name);
    const child = spawn(process.execPath, [script, '--out', out], {
      stdio: 'ignore',
      signal: signal[0],
      killSignal: 'SIGKILL',
    });
    return { out, ended: new Promise((done) => child.once('exit', done).once('error', () => {})) };
  };
  const kill = new AbortController();
  const killed = start('killed', kill.signal);
  await until('the first one has begun', () => existsSync(lock));
  kill.abort();
  await killed.ended;
  const [second, third] = [start('second'), start('third')];
  assert.deepEqual(await Promise.all([second.ended, third.ended]), [0, 0]);
  for (const { out } of [second, third]) assert.ok(existsSync(path.join(out, 'index.html')), out);
  assert.ok(!existsSync(lock));
});

test('the page needs no inline script or style, and nothing from elsewhere', () => {
  const index = textOf('index.html');
  assert.doesNotMatch(index, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/i);
  assert.doesNotMatch(index, /(?:src|href)="(?:https?:)?\/\//);
  for (const name of built('assets/*.css')) assert.doesNotMatch(textOf(name), /url\((?!["']?data:)|@import/);
});

test('the licences of what is bundled go along', () => {
  for (const name of ['preact', 'uplot']) assert.ok(textOf('license.md').includes(name), name);
});

test('no source makes markup of text', () => {
  for (const name of globSync('portal/src/**/*.{ts,tsx}', { cwd: root })) {
    const text = readFileSync(path.join(root, name), 'utf8');
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, name);
  }
});
