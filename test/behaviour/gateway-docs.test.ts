/** The newcomer's walk of `docs/gateway.md`: each block is written, or run, as the page shows it. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { until } from '../drivers/until.ts';

const root = path.join(import.meta.dirname, '..', '..');
const main = `"${process.execPath}" "${path.join(root, 'src', 'main.ts')}"`;
const page = readFileSync(path.join(root, 'docs', 'gateway.md'), 'utf8');

/** The page says how a user of the clone calls the program; here it is called without npm, in a folder of its own. */
const called = (line: string): string =>
  line
    .replace(/npm run (--silent )?mooring --/g, main)
    .replace(/npm start --/g, `${main} serve`)
    .replace(/^node /, `"${process.execPath}" `);

test('from nothing to an adapter, as the page shows it', { timeout: 170_000 }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-walk-'));
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('MOORING_') && !name.startsWith('NODE_'));
  // The ports of the page may be taken on a machine that tests share.
  const free = ['MQTTS', 'AMQPS', 'HTTPS', 'ADMIN', 'AMQP'].map((name) => [`MOORING_${name}_PORT`, '0']);
  const env = { ...Object.fromEntries(own), ...Object.fromEntries(free), MOORING_SHOW_CONNECTION_STRINGS: 'off' };
  const client = Object.fromEntries(own);
  let hub: ReturnType<typeof spawn> | undefined;
  let hubOutput = '';
  const printed: string[] = [];
  try {
    const walk = page.slice(page.indexOf('## From nothing'), page.indexOf('## What the operator says'));
    const blocks = [...walk.matchAll(/^```(\w+)(?: file=(\S+)| (background))?\n([\s\S]*?)^```$/gm)];
    assert.ok(blocks.length >= 8, `${blocks.length} blocks`);
    for (const [, language, file, background, text] of blocks) {
      if (file !== undefined) {
        mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
        writeFileSync(path.join(folder, file), text);
      } else if (background !== undefined) {
        hub = spawn('exec '.concat(called(text.trim())), { cwd: folder, env, shell: '/bin/bash' });
        for (const stream of [hub.stdout, hub.stderr]) stream?.on('data', (chunk) => (hubOutput += chunk));
        await until('the adapter of the page serves devices', () => /adapter serves devices/.test(hubOutput), {
          withinMs: 60_000,
        });
      } else {
        assert.equal(language, 'sh');
        for (const line of text.trim().split('\n')) {
          const { status, stdout, stderr } = spawnSync(called(line), {
            ...{ cwd: folder, env: client, shell: '/bin/bash', encoding: 'utf8', timeout: 60_000 },
          });
          printed.push(stdout);
          assert.equal(status, 0, `${line}\n${stdout}\n${stderr}\n${hubOutput}`);
        }
      }
    }
    const all = printed.join('\n');
    assert.match(all, /the adapter says \[ 1, 129 \]/);
    assert.match(all, /the adapter says \[ 3, 131, 1, 40 \]/);
    assert.match(printed[printed.length - 1], /meter-1[\s\S]*"?litres"?:\s*12345/);
  } finally {
    if (hub !== undefined && hub.exitCode === null) {
      const ended = new Promise((resolve) => hub?.once('exit', resolve));
      hub.kill('SIGTERM');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the operator’s example holds what the settings take', async () => {
  const { loadSettings } = await import('../../src/server/config/config-sources.ts');
  const example = /## What the operator says[\s\S]*?```json\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const { adapters } = JSON.parse(example);
  const { settings } = loadSettings([], { MOORING_ADAPTERS: JSON.stringify(adapters) });
  assert.deepEqual(
    settings.adapters.map(({ adapter, vouchFor }) => [adapter, vouchFor.length]),
    [
      ['line', 0],
      ['/opt/zigbee/adapter.ts', 1],
    ],
  );
});
