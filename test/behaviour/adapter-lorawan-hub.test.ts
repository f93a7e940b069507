/** The adapter lorawan in the machine of a real hub, in a process of its own: devices are made on sight, as many as may be, and once. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { startAdapterHub } from '../drivers/adapter-hub.ts';
import { apiOf } from '../drivers/api.ts';
import { chirpStackUplink } from '../drivers/lorawan-samples.ts';
import { until } from '../drivers/until.ts';

const network = { name: 'water', kind: 'chirpstack', secret: 'webhook secret', devices: 'water-{devEui}' };
const entry = {
  adapter: 'lorawan',
  settings: { port: 0, plain: true, networks: [network] },
  vouchFor: ['water-*'],
  create: { max: 3 },
};
const devEuis = Array.from({ length: 9 }, (_, at) => `000000000000000${at}`);

test('devices are made on their first uplink, up to a bound; one that is deleted is not made again by a start', async (t) => {
  const open = await startAdapterHub([entry]);
  let running = open.hub;
  t.after(async () => {
    await running[Symbol.asyncDispose]();
    await open[Symbol.asyncDispose]();
  });
  const port = await open.port('lorawan');
  const post = async (devEui: string): Promise<number> => {
    const deviceInfo = { ...chirpStackUplink.deviceInfo, devEui };
    const answer = await fetch(`http://127.0.0.1:${port}/lorawan/water?event=up`, {
      method: 'POST',
      headers: { authorization: 'Bearer webhook secret' },
      body: JSON.stringify({ ...chirpStackUplink, deviceInfo }),
    });
    return answer.status;
  };
  // All at once: none slips through while another one is being made.
  const answers = await Promise.all(devEuis.map(post));
  const made = devEuis.filter((_, at) => answers[at] === 204);
  assert.equal(made.length, 3, answers.join());
  assert.deepEqual(
    answers.filter((status) => status !== 204),
    new Array(6).fill(403),
  );
  const [gone, stays] = made;
  assert.deepEqual(await open.texts(`water-${gone}`), ['{"litres":3}']);
  assert.equal((await open.api.devices.get(`water-${gone}`)).connectionState, 'Connected');

  await open.api.devices.delete(`water-${gone}`);
  const file = path.join(running.dataDir, 'adapters', 'lorawan.sqlite');
  await until('the adapter has forgotten it', () => {
    const memory = new DatabaseSync(file, { readOnly: true });
    try {
      return memory.prepare('SELECT key FROM facts WHERE key = ?').get(`device/water/${gone}`) === undefined;
    } finally {
      memory.close();
    }
  });
  await running.stop();
  running = await running.restart();
  const api = apiOf(running);
  t.after(() => api.close());
  const isConnected = async (): Promise<boolean> =>
    (await api.devices.get(`water-${stays}`)).connectionState === 'Connected';
  await until('the one that was seen before is connected again', isConnected, { withinMs: 60_000 });
  await assert.rejects(api.devices.get(`water-${gone}`), /does not exist/);
});
