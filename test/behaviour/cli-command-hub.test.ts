/** What was sent outlives the hub: commands at a terminal against the real hub, which is killed in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCli } from '../drivers/cli.ts';
import { runMooring, startHub } from '../drivers/hub.ts';

test('a command that was answered is there after a kill, is purged, and its receipt is read', async () => {
  await using hub = await startHub();
  const mooring = (...args: readonly string[]) => runMooring([...args, '--data-dir', hub.dataDir]);
  assert.equal((await mooring('device', 'create', 'd1')).code, 0);
  const sent = await mooring('command', 'send', 'd1', '--body', 'reboot', '--message-id', 'm1', '--ack', 'full');
  assert.equal(sent.code, 0, sent.stderr);
  await hub.kill();
  await using again = await hub.restart();
  assert.equal(again.dataDir, hub.dataDir);
  await using waiting = startCli(['monitor', 'feedback', '--count', '1', '--json', '--data-dir', hub.dataDir]);
  assert.match((await mooring('command', 'trail', 'd1', 'm1')).stdout, /^state +enqueued$/m);
  assert.match((await mooring('command', 'purge', 'd1')).stderr, /^Purged 1 command\.\n$/);
  const dead = JSON.parse((await mooring('command', 'dead-letters', 'd1', '--json')).stdout);
  assert.deepEqual([dead.commands.length, dead.commands[0].outcome, dead.isComplete], [1, 'purged', true]);
  assert.equal((await waiting.end()).code, 0);
  const receipt = JSON.parse(waiting.stdout());
  assert.deepEqual([receipt.originalMessageId, receipt.statusCode, receipt.deviceId], ['m1', 'Purged', 'd1']);
  const trail = (await mooring('command', 'trail', 'd1', 'm1')).stdout;
  assert.match(trail, / enqueued\b[\s\S]* purged\b/);
});
