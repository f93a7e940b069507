/** A gateway beside the devices whose own disk fails while it reaches the hub. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import line from '../../src/adapters/line/line.ts';
import { startHub } from '../drivers/hub.ts';
import { openLine } from '../drivers/line-device.ts';
import { apiOf, EventFollower, folderOf, hubOptions, runGateway } from '../drivers/remote-rig.ts';
import { until } from '../drivers/until.ts';

test('a disk that fails in the moment in which the hub is reached: it is tried again, and nothing is lost', {
  timeout: 120_000,
}, async (t) => {
  await using hub = await startHub();
  const api = apiOf(hub);
  const { authentication } = await api.devices.create('meter-1', {});
  api.close();
  // Its link begins before the disk is made to fail, and needs a few round trips for that.
  const gateway = await runGateway({ ...hubOptions(hub), folder: folderOf(t) }, line, { port: 0 });
  t.after(() => gateway.stop());
  const { queue, link } = gateway.remote;
  // Reading fails three times, as it would from a disk that is being replaced.
  const begin = queue.begin.bind(queue);
  let failures = 3;
  queue.begin = () => {
    if (failures-- > 0) throw Object.assign(new Error('disk I/O error'), { errcode: 10 });
    begin();
  };
  await until('it has failed', () => link.failure?.kind === 'own' || failures < 3, { withinMs: 60_000 });
  await until('the hub is reached at last', () => link.connection !== undefined && failures < 0, { withinMs: 60_000 });
  const told = gateway.lines.filter((text) => text.includes('disk I/O error'));
  assert.ok(told.length > 0, gateway.lines.join('\n'));
  const device = await openLine(gateway.ports[0]);
  assert.equal(await device.ask(`login meter-1 ${authentication?.symmetricKey?.primaryKey}`), 'ok');
  assert.equal(await device.ask('{"n":1}'), 'ok');
  const follower = new EventFollower(hub);
  await until('it is in the hub', async () => (await follower.read()).some(({ body }) => String(body) === '{"n":1}'));
  await device.leave();
});
