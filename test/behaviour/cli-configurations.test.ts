/** Configurations and Edge deployments as a person at a terminal makes them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub } from '../drivers/hub.ts';

test('configuration: create, list, show, update, metrics, delete', async () => {
  await using hub = await startHub();
  const login = ['--data-dir', hub.dataDir];
  const run = (...args: readonly string[]) => runMooring([...args, ...login]);
  const done = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  for (const id of ['d1', 'd2']) await done('device', 'create', id);
  await done('twin', 'update', 'd1', '--tags', '{"battery":true}');
  const content = '{"deviceContent":{"properties.desired.interval":60}}';
  const condition = ['--target-condition', 'tags.battery = true'];
  const made = await done('configuration', 'create', 'slow', '--content', content, ...condition, '--wait');
  assert.match(made, /^looked at +the whole fleet$/m);
  assert.match(made, /^appliedCount +1$/m);
  assert.match(await done('configuration', 'list'), /^slow +0 +1 +1 +tags\.battery = true$/m);
  assert.equal(JSON.parse(await done('twin', 'show', 'd1', '--json')).properties.desired.interval, 60);

  const metrics = '{"queries":{"slow":"SELECT deviceId FROM devices WHERE properties.desired.interval = 60"}}';
  await done('configuration', 'update', 'slow', '--target-condition', '*', '--metrics', metrics, '--wait');
  const metric = JSON.parse(await done('configuration', 'show-metric', 'slow', 'slow', '--json'));
  assert.deepEqual([metric.count, metric.result], [2, [{ deviceId: 'd1' }, { deviceId: 'd2' }]]);
  const system = ['configuration', 'show-metric', 'slow', 'targetedCount', '--metric-type', 'system'];
  assert.match(await done(...system), /"d2"/);
  const none = await run('configuration', 'show-metric', 'slow', 'none');
  assert.deepEqual([none.code, /It has: slow/.test(none.stderr)], [2, true]);

  const wrong = await run('configuration', 'create', 'x', '--content', content, '--target-condition', 'tags.a =');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /InvalidConfigurationTargetCondition|Line 1, column 9/);
  const again = await run('configuration', 'create', 'slow', '--content', content);
  assert.match(again.stderr, /exists already/);
  await done('configuration', 'delete', 'slow');
  assert.equal((await run('configuration', 'show', 'slow')).code, 1);
});

test('edge: a deployment from a file, and modules of one device', async () => {
  await using hub = await startHub();
  const run = (...args: readonly string[]) => runMooring([...args, '--data-dir', hub.dataDir]);
  const api = apiOf(hub);
  await api.devices.create('e1', { capabilities: { iotEdge: true } });
  api.close();
  const file = path.join(path.dirname(hub.dataDir), 'deployment.json');
  const agent = { 'properties.desired': { modules: { m: { type: 'docker' } } } };
  writeFileSync(file, JSON.stringify({ content: { modulesContent: { $edgeAgent: agent } } }));
  const made = await run(
    'edge',
    'deployment',
    'create',
    'base',
    '--content',
    file,
    '--target-condition',
    '*',
    '--wait',
  );
  assert.equal(made.code, 0, made.stderr);
  assert.match((await run('edge', 'deployment', 'list')).stdout, /^base +0 +1 +1/m);
  assert.doesNotMatch((await run('configuration', 'list')).stdout, /base/);
  assert.equal((await run('edge', 'deployment', 'delete', 'base')).code, 0);
  const set = await run('edge', 'set-modules', 'e1', '--content', file);
  assert.deepEqual(set.stdout.trim().split('\n'), ['$edgeAgent', '$edgeHub', 'm'], set.stderr);
  const wrong = await run('configuration', 'create', 'c', '--content', file);
  assert.deepEqual([wrong.code, /has no deviceContent/.test(wrong.stderr)], [2, true]);
});
