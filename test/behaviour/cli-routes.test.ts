/** Routes as a person at a terminal sees, tries and changes them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { runMooring, startHub } from '../drivers/hub.ts';

test('route: add, list, test with the reason of each answer, remove, set from a file', async () => {
  await using hub = await startHub();
  const run = (...args: readonly string[]) => runMooring([...args, '--data-dir', hub.dataDir]);
  const added = await run('route', 'add', 'alarms', 'events', '--condition', "level = 'alarm'");
  assert.equal(added.code, 0, added.stderr);
  assert.match(added.stderr, /The route alarms is in force with routes number 1/);
  const wrong = await run('route', 'add', 'bad', 'events', '--condition', 'level = ');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /[Rr]outes\[1\]\.condition: .*Line 1, column 9/);
  const listed = await run('route', 'list');
  assert.match(listed.stdout, /alarms +DeviceMessages +level = 'alarm' +events +yes/);
  assert.match(listed.stderr, /no route takes go to events/);
  const tried = await run('route', 'test', '--property', 'level=alarm');
  assert.match(tried.stdout, /alarms +events +yes +the condition is true/);
  const missed = await run('route', 'test');
  assert.match(missed.stdout, /alarms +events +no +.*level is not there/);
  assert.match(missed.stderr, /goes to events, by the fallback route/);
  const body = ['--system', 'contentType=application/json', '--system', 'contentEncoding=utf-8', '--body', '{"t":21}'];
  const json = await run('route', 'test', '--condition', '$body.t > 20', ...body, '--json');
  assert.equal(JSON.parse(json.stdout).routes[0].matches, true);
  const removed = await run('route', 'remove', 'alarms');
  assert.equal(removed.code, 0, removed.stderr);
  assert.equal((await run('route', 'remove', 'alarms')).code, 1);

  const file = path.join(hub.dataDir, 'routes.json');
  const kafka = { kind: 'kafka', name: 'away', brokers: ['127.0.0.1:1'], topic: 't', mechanism: 'plain', user: 'u' };
  writeFileSync(file, JSON.stringify({ endpoints: [{ ...kafka, password: 'very-secret' }] }));
  assert.equal((await run('route', 'set', file)).code, 0);
  const shown = await run('route', 'list', '--json');
  assert.equal(JSON.parse(shown.stdout).endpoints[0].password, '***');
  assert.ok(!shown.stdout.includes('very-secret') && !hub.stderr().includes('very-secret'));

  writeFileSync(file, JSON.stringify({ endpoints: [{ kind: 'archive', name: 'cold' }] }));
  assert.equal((await run('route', 'set', file)).code, 0);
  const states = await run('route', 'endpoints');
  assert.match(`${states.stdout}${states.stderr}`, /Archives: see 'mooring archive list'/);
  writeFileSync(file, JSON.stringify({ routes: [{ name: 'a', endpoint: 'none' }] }));
  const misled = await run('route', 'set', file);
  assert.match(misled.stderr, /error: routes\[0\]\.endpoint: there is no endpoint 'none'/);
});
