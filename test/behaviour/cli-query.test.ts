/** Queries as a person at a terminal asks them, of a hub that keeps its tables on the disk. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import { runMooring, startHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

test('query: rows as a table or JSON, what was said before, and refusals with their place', async () => {
  await using hub = await startHub({ args: ['--query-indexes', 'tags.site'] });
  const devices = await createDevices(hub.endpoints, hub.ca, 3, '');
  const [{ clientId, username, password }] = devices;
  const ids = devices.map((device) => device.clientId).sort();
  const login = ['--data-dir', hub.dataDir];
  const run = (...args: readonly string[]) => runMooring([...args, ...login]);
  const json = async (query: string) => {
    const { code, stdout, stderr } = await run('query', query, '--json');
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  assert.equal((await run('twin', 'update', clientId, '--tags', '{"site":"n"}')).code, 0);
  assert.deepEqual(await json("SELECT deviceId, tags.site FROM devices WHERE tags.site = 'n'"), [
    { deviceId: clientId, site: 'n' },
  ]);
  assert.deepEqual(
    (await json('SELECT * FROM devices')).map(({ deviceId }: { deviceId: string }) => deviceId),
    ids,
  );

  const explained = await run('query', "SELECT * FROM devices WHERE tags.site = 'n'", '--explain');
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(
    explained.stdout,
    /^By the index on tags\.site: 1 looked at, 1 whole twins read, 1 answered, to the end/,
  );
  // PostgreSQL takes an index where there is enough to be worth it.
  const isSqlite = process.env.MOORING_TEST_KAFKA === undefined;
  assert.match(explained.stdout, isSqlite ? /database: SEARCH text USING INDEX query_index/ : /database: .*\bScan\b/);
  const scanned = await run('query', "SELECT * FROM devices WHERE tags.floor = 'n'", '--explain');
  assert.match(scanned.stdout, /^One after the other: 3 looked at.*\n--query-indexes tags\.floor/);

  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtt as number },
    { clientId, username, password: Buffer.from(password) },
  );
  const connected = "SELECT deviceId FROM devices WHERE connectionState = 'Connected'";
  assert.deepEqual(await json(connected), [{ deviceId: clientId }], 'a connection is in the next query');
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/twin/res/#', qos: 0 }] });
  await client.next('suback');
  for (const battery of [9, 8]) {
    client.publish({ topic: '$iothub/twin/PATCH/properties/reported/?$rid=1', payload: `{"battery":${battery}}` });
    assert.match((await client.next('publish')).topic, /\/res\/204\//);
    const low = `SELECT deviceId FROM devices WHERE properties.reported.battery = ${battery}`;
    assert.deepEqual(await json(low), [{ deviceId: clientId }], 'what was acknowledged is in the next query');
  }
  client.destroy();

  const shown = await run('query', 'SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /SITE|N/);
  assert.match(shown.stdout, /^n +1$/m);
  const top = await run('query', 'SELECT * FROM devices', '--top', '2');
  assert.equal(top.stdout.trim().split('\n').length, 3, 'a head line and two twins');
  assert.match(top.stderr, /first 2 rows/);
  const wrong = await run('query', 'SELECT * FROM devices WHERE site =');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /Line 1, column 35, at its end/);
});
