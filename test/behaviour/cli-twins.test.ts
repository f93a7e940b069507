/** Twins and methods as a person at a terminal works with them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { test } from 'node:test';
import { createDevices } from '../../bench/servers/hub.ts';
import { signSas } from '../../src/api/sas.ts';
import { startCli } from '../drivers/cli.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

test('twin show, update, replace and watch; method invoke, with what the device answers', async () => {
  await using hub = await startHub();
  const [{ clientId, username, password }] = await createDevices(hub.endpoints, hub.ca, 1, '');
  const login = ['--data-dir', hub.dataDir];
  const json = async (...args: readonly string[]) => {
    const run = await runMooring([...args, ...login, '--json']);
    assert.equal(run.code, 0, run.stderr);
    return JSON.parse(run.stdout);
  };
  const failed = async (...args: readonly string[]) => {
    const run = await runMooring([...args, ...login, '--json']);
    assert.equal(run.code, 1, run.stdout);
    return JSON.parse(run.stderr);
  };
  assert.equal((await json('twin', 'show', clientId)).version, 2);
  const updated = await json('twin', 'update', clientId, '--desired', '{"a":{"b":1}}', '--tags', '{"t":1}');
  assert.deepEqual([updated.properties.desired.a, updated.tags], [{ b: 1 }, { t: 1 }]);
  await using watched = startCli(['twin', 'watch', clientId, '--every', '50ms', ...login, '--json']);
  await watched.printed(1);
  const stale = await failed('twin', 'update', clientId, '--tags', '{"t":2}', '--etag', 'AAAAAAAAAAE=');
  assert.equal(stale.code, 'PreconditionFailed');
  const replaced = await json('twin', 'replace', clientId, '--desired', '{"c":2}', '--etag', updated.etag);
  assert.deepEqual(
    [replaced.properties.desired.a, replaced.properties.desired.c, replaced.tags],
    [undefined, 2, { t: 1 }],
  );
  await watched.printed(2);
  assert.deepEqual(
    watched.lines().map((line) => JSON.parse(line).version),
    [3, 4],
  );
  const odd = await runMooring(['twin', 'update', clientId, '--tags', '{"__proto__":{"t":3}}', ...login, '--json']);
  assert.match(odd.stdout, /"tags":\{"t":1,"__proto__":\{"t":3\}\}/, 'a name is a name');
  const rows = await runMooring(['query', 'SELECT tags FROM devices', ...login, '--json']);
  assert.match(rows.stdout, /"__proto__": \{\s+"t": 3/);
  await json('twin', 'update', clientId, '--tags', '{"__proto__":null}');
  watched.signal('SIGINT');
  assert.equal((await watched.end()).code, 0);

  assert.equal((await failed('method', 'invoke', clientId, 'reboot')).code, 'DeviceNotOnline');
  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtt as number },
    { clientId, username, password: Buffer.from(password) },
  );
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$iothub/methods/POST/#', qos: 0 }] });
  await client.next('suback');
  const invoked = json('method', 'invoke', clientId, 'reboot', '--payload', '{"in":[1]}', '--timeout', '20s');
  const { topic, payload } = await client.next('publish');
  assert.equal(payload.toString(), '{"in":[1]}');
  client.publish({
    topic: `$iothub/methods/res/207/?${topic.slice(topic.indexOf('?') + 1)}`,
    payload: '{"out":true}',
  });
  assert.deepEqual(await invoked, { status: 207, payload: { out: true } });
  // A command of a component, as a digital twin client sends it.
  const commanded = command(hub, `/digitaltwins/${clientId}/components/c/commands/go`, '{"in":2}');
  const called = await client.next('publish');
  assert.match(called.topic, /\/POST\/c\*go\/\?/);
  assert.equal(called.payload.toString(), '{"in":2}');
  const query = called.topic.slice(called.topic.indexOf('?') + 1);
  client.publish({ topic: `$iothub/methods/res/-3/?${query}`, payload: '[1.0]' });
  assert.deepEqual(await commanded, { status: 200, deviceStatus: '-3', body: '[1.0]' });

  const metrics = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  for (const line of [
    'mooring_methods_total{result="answered"} 2',
    'mooring_methods_total{result="DeviceNotOnline"} 1',
    'mooring_methods 0',
    'mooring_twin_reports_total{result="accepted"} 0',
  ]) {
    assert.ok(metrics.includes(line), line);
  }
  client.destroy();
});

async function command(hub: TestHub, path: string, body: string) {
  const fields = new Map(
    hub.endpoints.connectionStrings.service.split(';').map((pair) => {
      const at = pair.indexOf('=');
      return [pair.slice(0, at), pair.slice(at + 1)] as const;
    }),
  );
  const authorization = await signSas({
    resource: fields.get('HostName') ?? '',
    key: fields.get('SharedAccessKey') ?? '',
    policyName: 'service',
    expiresAt: Date.now() + 60_000,
  });
  const request = https.request({
    ...{ host: '127.0.0.1', port: hub.endpoints.ports.https as number, ca: hub.ca, servername: 'localhost' },
    ...{ method: 'POST', path: `${path}?api-version=2021-04-12` },
    headers: { authorization, 'content-type': 'application/json' },
  });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = await response.toArray();
  return {
    status: response.statusCode,
    deviceStatus: response.headers['x-ms-command-statuscode'],
    body: Buffer.concat(chunks).toString(),
  };
}
