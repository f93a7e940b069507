import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { silentLog } from '../base/log.ts';
import { Shutdown } from './lifecycle.ts';

const log = { ...silentLog, flush: () => {} };

test('a stop undoes the steps of the start backwards, once, past those that fail', async () => {
  const done: string[] = [];
  const shutdown = new Shutdown(log);
  shutdown.add('folder', () => void done.push('folder'));
  shutdown.add('log', async () => {
    await Promise.resolve();
    done.push('log');
  });
  shutdown.add('broken', () => {
    done.push('broken');
    throw new Error('cannot close');
  });
  await Promise.all([shutdown.run(), shutdown.run()]);
  assert.deepEqual(done, ['broken', 'log', 'folder']);
});

/** Runs a few lines in a process of their own, with the hub's log and handlers in place. */
function run(lines: string) {
  const here = (file: string): string => JSON.stringify(path.join(import.meta.dirname, file));
  const script = `
    import { openLog } from ${here('observe/log.ts')};
    import { endOnUnhandledErrors, stopSignal } from ${here('lifecycle.ts')};
    const log = openLog({ logLevel: 'info', logFormat: 'json' });
    endOnUnhandledErrors(log);
    setInterval(() => {}, 1000);
    ${lines}`;
  return spawnSync(process.execPath, ['--input-type=module-typescript', '--eval', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
}

const secret = 'SharedAccessSignature sr=localhost&sig=c2VjcmV0&se=1';
const faults = {
  'an exception': `setImmediate(() => { throw new Error('lost: ${secret}'); });`,
  'a rejection': `void Promise.reject(new Error('lost: ${secret}'));`,
};
for (const [name, lines] of Object.entries(faults)) {
  test(`${name} that nobody handles is logged, without what looks like a secret, and ends the process`, () => {
    const { status, stderr } = run(lines);
    assert.equal(status, 70);
    const entry = JSON.parse(stderr.trim().split('\n')[0]);
    assert.equal(entry.level, 'error');
    assert.match(entry.message, /was not handled/);
    assert.match(entry.error.message, /^lost: /);
    assert.doesNotMatch(stderr, /c2VjcmV0/);
  });
}

test('the echo of a stop signal is the same wish; one that comes later ends the process at once', () => {
  const echo = run(`
    void stopSignal(log);
    process.kill(process.pid, 'SIGINT');
    setTimeout(() => process.kill(process.pid, 'SIGTERM'), 200);
    setTimeout(() => process.exit(0), 600);`);
  assert.equal(echo.status, 0, echo.stderr);
  const wish = run(`
    void stopSignal(log);
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => process.kill(process.pid, 'SIGTERM'), 1400);
    setTimeout(() => process.exit(0), 10_000);`);
  assert.equal(wish.status, 1, wish.stderr);
  assert.match(wish.stderr, /stopped at once/);
});
