/** `mooring gateway run` between devices and a hub, each a process: what it says, what it keeps, how it ends. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startGateway } from '../drivers/gateway-process.ts';
import { runMooring, startHub } from '../drivers/hub.ts';
import { openLine } from '../drivers/line-device.ts';
import { apiOf, EventFollower, folderOf } from '../drivers/remote-rig.ts';
import { until } from '../drivers/until.ts';

test('a device goes on while the hub is away and killed, also with a gateway that is killed: all of it arrives, in order', async (t) => {
  const folder = folderOf(t);
  let hub = await startHub();
  t.after(() => hub[Symbol.asyncDispose]());
  const api = apiOf(hub);
  const { authentication } = await api.devices.create('meter-1', {});
  const key = authentication?.symmetricKey?.primaryKey ?? '';
  let gateway = await startGateway(hub, { folder });
  t.after(() => gateway[Symbol.asyncDispose]());
  await until('the gateway has reached the hub', async () => (await gateway.status()).hubReachable === true);
  let device = await openLine(gateway.port);
  assert.equal(await device.ask(`login meter-1 ${key}`), 'ok');
  const took: string[] = [];
  let n = 0;
  const send = async (count: number): Promise<void> => {
    const texts = Array.from({ length: count }, () => `{"n":${n++}}`);
    const answers = await Promise.all(texts.map((text) => device.ask(text)));
    took.push(...texts.filter((_, at) => answers[at] === 'ok'));
  };
  await send(50);
  assert.equal(await device.ask('twin').then((line) => line.split(' ')[0]), 'twin');

  await hub.kill();
  await until('the gateway has seen it', async () => (await gateway.status()).hubReachable === false);
  await send(300);
  assert.equal(took.length, 350);
  assert.equal(await device.ask('report {"firmware":"1"}'), 'ok');
  const { queued, hubFailure } = await gateway.status();
  assert.ok(Number(queued) >= 300, JSON.stringify({ queued }));
  assert.match(String(hubFailure), /failed or was lost/);

  // Killed with its queue full; the device is known to the next one, while the hub is still away. A wrong key is not.
  await gateway.stop('SIGKILL');
  await device.ended;
  gateway = await startGateway(hub, { folder });
  device = await openLine(gateway.port);
  assert.equal(await device.ask(`login meter-1 ${key}`), 'ok');
  const stranger = await openLine(gateway.port);
  assert.match(await stranger.ask(`login meter-1 ${Buffer.alloc(32, 7).toString('base64')}`), /^no unreachable/);
  await send(50);

  hub = await hub.restart();
  await until('the queue is empty', async () => (await gateway.status()).queued === 0);
  await send(50);
  const follower = new EventFollower(hub);
  await until('everything has arrived', async () => {
    const bodies = new Set((await follower.read()).map(({ body }) => body.toString()));
    return took.every((text) => bodies.has(text));
  });
  const backlog = follower.events.map(({ body }) => Number(JSON.parse(body.toString()).n));
  // What was under way when the hub was killed may come twice, and comes in order again.
  assert.ok(backlog.length - new Set(backlog).size <= 50, 'duplicates are bounded by what was under way');
  const firsts = [...new Set(backlog)];
  assert.deepEqual(
    firsts,
    firsts.toSorted((a, b) => a - b),
  );
  for (const { properties } of follower.events) assert.match(properties['iothub-creation-time-utc'], /^20\d\d-/);
  // Links of the device came back with the hub: what it reported meanwhile, and commands.
  const reported = async (): Promise<unknown> =>
    (await apiOf(hub).twins.get({ deviceId: 'meter-1' })).properties?.reported?.firmware;
  await until('the report has arrived', async () => (await reported()) === '1');
  await apiOf(hub).commands.send({ deviceId: 'meter-1' }, { bodyText: 'reset' });
  const [, id, text] = (await device.next('command')).split(' ');
  assert.equal(text, 'reset');
  device.socket.write(`done ${id}\n`);

  const { code } = await gateway.stop();
  assert.equal(code, 0);
  assert.equal(await device.next('bye').catch(() => 'bye stopping'), 'bye stopping');
  assert.ok(!gateway.stderr().includes(key) && !gateway.stdout().includes(key), 'no key is told');
});

test('it says what is wrong with what the operator has told it', async (t) => {
  const folder = folderOf(t);
  await using hub = await startHub();
  const login = ['--data-dir', hub.dataDir, '--folder', folder];
  const fails = async (pattern: RegExp, ...args: readonly string[]): Promise<void> => {
    const { code, stderr } = await runMooring(['gateway', 'run', ...args]);
    assert.match(stderr, pattern);
    assert.equal(code, 1, stderr);
  };
  await fails(/There is no adapter nothing/, 'nothing', ...login);
  await fails(/No adapter is named/, ...login);
  await fails(/settings\.port/, 'line', '--set', 'port=high', ...login);
  await fails(/cannot be read/, 'line', '--config', path.join(folder, 'none.json'), ...login);
  const config = path.join(folder, 'gateway.json');
  writeFileSync(config, '{"adapter":"line","wrong":1}');
  await fails(/wrong/, '--config', config, ...login);
  const usage = await runMooring(['gateway', 'run', 'line', '--when-full', 'explode']);
  assert.equal(usage.code, 2);

  writeFileSync(config, JSON.stringify({ adapter: 'line', settings: { port: 0 }, folder: 'state', statusPort: 0 }));
  await using gateway = await startGateway(hub, { folder: path.join(folder, 'state'), args: ['--config', config] });
  await until('the hub is reached', async () => (await gateway.status()).hubReachable === true);
  await fails(/in use by another gateway/, 'line', '--config', config, '--data-dir', hub.dataDir);
  const metrics = await (await fetch(`http://127.0.0.1:${gateway.statusPort}/metrics`)).text();
  assert.match(metrics, /^mooring_gateway_hub_reachable 1$/m);
  assert.match(metrics, /^mooring_gateway_queue_messages 0$/m);
  assert.equal((await fetch(`http://127.0.0.1:${gateway.statusPort}/other`)).status, 404);
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/gateway-remote.md'), 'utf8');
  for (const [, name] of metrics.matchAll(/^# TYPE (\S+)/gm)) assert.ok(page.includes(name), `${name} is documented`);
});
