import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

const run = (...args: string[]) =>
  spawnSync(process.execPath, [path.join(import.meta.dirname, 'main.ts'), ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });

test('npm run bench says what it takes, and what is wrong, without a stack trace', () => {
  const help = run('--help');
  assert.deepEqual([help.status, help.stderr], [0, '']);
  assert.match(help.stdout, /^npm run bench -- telemetry-in/);
  const cases = [
    [['--sconds', '1'], /--sconds/],
    [['no-such-bench'], /There is no bench no-such-bench\./],
    [[], /Name a bench\./],
    [['telemetry-in', '--seconds', 'x'], /--seconds wants a number over 0/],
  ] as const;
  for (const [args, expected] of cases) {
    const { status, stderr } = run(...args);
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, expected);
    assert.doesNotMatch(stderr, /\n {4}at /);
  }
});
