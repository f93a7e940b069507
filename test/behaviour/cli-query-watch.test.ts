/** `mooring query --watch` against a hub with two listener threads that is killed and started again meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import { apiOf } from '../drivers/api.ts';
import { startCli } from '../drivers/cli.ts';
import { runMooring, startHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';

test('query --watch: rows enter, change and leave, whichever thread serves the device, and over a restart', async () => {
  await using hub = await startHub({ args: ['--threads', '2'] });
  const devices = await createDevices(hub.endpoints, hub.ca, 4, '');
  const login = ['--data-dir', hub.dataDir];
  const [first] = devices.map(({ clientId }) => clientId);
  const query = 'SELECT properties.reported.battery AS b FROM devices WHERE properties.reported.battery < 20';
  await using watch = startCli(['query', query, '--watch', ...login]);
  await using connected = startCli([
    ...['query', "SELECT deviceId FROM devices WHERE connectionState = 'Connected'", '--watch', '--json', ...login],
  ]);
  await watch.noted(/^0 rows/m);
  await connected.printed(2);

  const clients = await Promise.all(
    devices.map(async ({ clientId, username, password }) => {
      const { client } = await MqttDriver.connect(
        { port: hub.endpoints.ports.mqtt as number },
        { clientId, username, password: Buffer.from(password) },
      );
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/twin/res/#', qos: 0 }] });
      await client.next('suback');
      return client;
    }),
  );
  await connected.printed(2 + devices.length);
  const kinds = connected.lines().map((line) => (JSON.parse(line) as { readonly kind: string }).kind);
  assert.deepEqual(kinds, ['reset', 'ready', ...devices.map(() => 'enter')]);
  const report = async (at: number, battery: number): Promise<void> => {
    const topic = '$iothub/twin/PATCH/properties/reported/?$rid=1';
    clients[at].publish({ topic, payload: JSON.stringify({ battery }) });
    assert.match((await clients[at].next('publish')).topic, /\/res\/204\//);
  };
  for (const at of devices.keys()) await report(at, 10);
  await watch.printed(devices.length);
  assert.deepEqual([...watch.lines()].sort(), devices.map(({ clientId }) => `+ ${clientId}  {"b":10}`).sort());
  await report(0, 11);
  await watch.printed(devices.length + 1);
  await report(0, 50);
  await watch.printed(devices.length + 2);
  assert.deepEqual(watch.lines().slice(-2), [`~ ${first}  {"b":11}`, `- ${first}`]);

  for (const client of clients) client.destroy();
  await connected.printed(2 + 2 * devices.length);
  await hub.kill();
  await using again = await hub.restart();
  assert.equal(again.dataDir, hub.dataDir);
  await watch.noted(/Away for too long: the rows come anew\.\n3 rows/);
  watch.signal('SIGINT');
  assert.deepEqual(await watch.end(), { code: 0, signal: null });
  connected.signal('SIGINT');
  await connected.end();

  const refused = await runMooring(['query', 'SELECT COUNT() FROM devices', '--watch', ...login]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /neither GROUP BY nor aggregates/);
});

test('what a configuration sets, and how it stands, is told like any other change', async () => {
  await using hub = await startHub();
  const api = apiOf(hub);
  await api.devices.create('d1');
  await using watch = startCli([
    ...[
      'query',
      'SELECT configurations.c1.status AS c, properties.desired.mode AS m FROM devices',
      '--watch',
      '--json',
    ],
    ...['--data-dir', hub.dataDir],
  ]);
  await watch.printed(3);
  const last = () => JSON.parse(watch.lines().at(-1) ?? '{}') as { readonly row?: unknown };
  await api.configurations.create('c1', {
    content: { deviceContent: { 'properties.desired.mode': 'low' } },
    targetCondition: "tags.site = 'n'",
    priority: 1,
  });
  await api.twins.update({ deviceId: 'd1' }, { tags: { site: 'n' } });
  await until('the device is told of', async () => JSON.stringify(last().row) === '{"c":"applied","m":"low"}');
  await api.twins.update({ deviceId: 'd1' }, { tags: { site: null } });
  await until('the device has left it', async () => JSON.stringify(last().row) === '{}');
  api.close();
});
