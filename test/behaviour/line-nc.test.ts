/** The adapter `line` with a client that knows nothing of it: `nc`, as docs/gateway.md shows it. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import line from '../../src/adapters/line/line.ts';
import { FakeHub, runAdapter } from '../../src/gateway/testing/index.ts';
import { until } from '../drivers/until.ts';

const missing = spawnSync('nc', ['-h']).error === undefined ? false : 'nc is not installed';

test('nc logs in, sends a message, gets a command and says that it is done', {
  skip: missing,
  timeout: 60_000,
}, async () => {
  const hub = new FakeHub();
  const adapter = await runAdapter(line, { port: 0 }, hub);
  const nc = spawn('nc', ['127.0.0.1', String(adapter.ports[0])]);
  const ended = new Promise<void>((resolve) => nc.once('exit', () => resolve()));
  try {
    let heard = '';
    nc.stdout.on('data', (bytes: Buffer) => {
      heard += bytes.toString();
    });
    const hears = (pattern: RegExp): Promise<void> => until(`nc hears ${pattern}`, () => pattern.test(heard));
    nc.stdin.write(`login meter-1 ${hub.addDevice('meter-1')}\n`);
    await hears(/^ok\n/);
    nc.stdin.write('{"temperature":21.5}\n');
    await hears(/^ok\nok\n/);
    assert.deepEqual(hub.textsOf('meter-1'), ['{"temperature":21.5}']);
    const settled = hub.sendCommand('meter-1', 'blink');
    await hears(/command \S+ blink\n/);
    nc.stdin.write(`done ${/command (\S+) blink/.exec(heard)?.[1]}\n`);
    assert.equal(await settled, 'complete');
  } finally {
    nc.kill();
    await ended;
    await adapter.stop();
  }
});
