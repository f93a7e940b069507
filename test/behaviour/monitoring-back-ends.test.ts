/** What back ends are refused, as monitoring events: which operation, which policy, which rule; and what is not told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { openAmqpTestHub } from '../drivers/amqp-door.ts';
import { apiOf } from '../drivers/api.ts';
import { HUB_NAME, openHttpHub } from '../drivers/http.ts';
import { registerDevice } from '../drivers/http-device.ts';
import { startHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';
import { attempt, HeardReports, versioned } from '../drivers/refusals.ts';

const groups = `/mooring/v1/event-hubs/${HUB_NAME}/consumer-groups`;
const authorities = '/mooring/v1/certificate-authorities';
const feedback = '/messages/serviceBound/feedback';
const missing = 'IotHubUnauthorizedAccess missing-permission';

/** What each policy has no permission for: the operation that is told, and whom it concerns. */
const notPermitted: readonly (readonly [
  by: string,
  method: string,
  path: string,
  operation: string,
  about: string,
  body?: unknown,
])[] = [
  ['service', 'GET', '/devices', 'registry.read', ''],
  ['service', 'GET', '/devices/d1', 'registry.read', 'd1'],
  ['service', 'GET', '/devices/d1/modules', 'registry.read', 'd1'],
  ['service', 'GET', '/statistics/devices', 'statistics.read', ''],
  ['registryRead', 'PUT', '/devices/d1', 'registry.write', 'd1', { deviceId: 'd1' }],
  ['registryRead', 'POST', '/devices', 'registry.write', '', [{ id: 'd1', importMode: 'create' }]],
  ['registryRead', 'DELETE', '/devices/d1', 'registry.write', 'd1'],
  ['registryRead', 'DELETE', '/devices/d1/modules/m1', 'registry.write', 'd1/m1'],
  ['registryRead', 'POST', '/messages/devicebound', 'commands.send', 'd1', 'x'],
  ['registryRead', 'POST', '/mooring/v1/devices/d1/commands', 'commands.send', 'd1', {}],
  ['registryRead', 'POST', '/mooring/v1/devices/d1/dead-letters/1/send-again', 'commands.send', 'd1'],
  ['registryRead', 'GET', '/mooring/v1/devices/d1/dead-letters', 'commands.read', 'd1'],
  ['registryRead', 'GET', '/mooring/v1/devices/d1/commands?messageId=m', 'commands.read', 'd1'],
  ['registryRead', 'DELETE', '/devices/d1/commands', 'commands.purge', 'd1'],
  ['registryRead', 'GET', feedback, 'feedback.receive', ''],
  ['registryRead', 'DELETE', `${feedback}/lock`, 'feedback.settle', ''],
  ['registryRead', 'GET', groups, 'consumerGroups.read', ''],
  ['service', 'PUT', `${groups}/g1`, 'consumerGroups.write', ''],
  ['service', 'DELETE', `${groups}/g1`, 'consumerGroups.write', ''],
  ['service', 'GET', authorities, 'authorities.read', ''],
  ['service', 'GET', `${authorities}/a`, 'authorities.read', ''],
  ['service', 'PUT', `${authorities}/a`, 'authorities.write', '', { certificate: 'x' }],
  ['service', 'POST', `${authorities}/a/proof`, 'authorities.write', '', { certificate: 'x' }],
  ['service', 'DELETE', `${authorities}/a`, 'authorities.write', ''],
  ['service', 'GET', '/mooring/v1/hub', 'hub.read', ''],
  ['service', 'GET', '/mooring/v1/server-authority', 'serverAuthority.read', ''],
  ['service', 'POST', '/mooring/v1/server-authority/offer', 'serverAuthority.write', ''],
];

test('over HTTP: a missing permission is told of every operation, with the policy and whom it concerned', async () => {
  const heard = new HeardReports();
  await using http = await openHttpHub({ recorder: heard });
  // Where a command goes to stands in a header; other operations do not look at it.
  const headers = { 'iothub-to': '/devices/d1/messages/devicebound' };
  const attempts = notPermitted.map(([by, method, path, operation, about, body]) => {
    return { by, method, path, body, headers, status: 401, told: `${operation} ${missing} | ${about}` };
  });
  await attempt(http, heard, attempts);
});

test('over HTTP: what an authorised back end may not do is told by its rule; that something is not there is an answer', async () => {
  const heard = new HeardReports();
  await using http = await openHttpHub({ recorder: heard });
  await registerDevice(http, 'd1');
  const of = (method: string, path: string, status: number, told?: string, more: object = {}) => {
    return { method, path, status, told, ...more };
  };
  const unsuited = { symmetricKey: { primaryKey: 'x', secondaryKey: 'y' } };
  const bulk = ['d1', 'd3'].map((id) => ({ id, importMode: 'create' }));
  await attempt(http, heard, [
    of('GET', '/devices/none', 404),
    of('GET', `${authorities}/none`, 404),
    of('GET', '/mooring/v1/event-hubs/none/consumer-groups', 404),
    of('DELETE', '/devices/none', 404, 'registry.write DeviceNotFound | none'),
    of('DELETE', '/devices/d1', 412, 'registry.write PreconditionFailed | d1', { headers: { 'if-match': '"stale"' } }),
    of('PUT', '/devices/d1', 409, 'registry.write DeviceAlreadyExists | d1', { body: { deviceId: 'd1' } }),
    of('PUT', '/devices/d2', 400, 'registry.write ArgumentInvalid | d2', {
      body: { deviceId: 'd2', authentication: unsuited },
    }),
    // Each item of a bulk request stands for itself.
    of('POST', '/devices', 400, 'registry.write DeviceAlreadyExists | d1', { body: bulk }),
    of('PUT', `${authorities}/a`, 400, 'authorities.write ArgumentInvalid | ', { body: { certificate: 'none' } }),
    of('DELETE', `${authorities}/a`, 404, 'authorities.write CertificateAuthorityNotFound | '),
    of('PUT', `${groups}/$Default`, 409, 'consumerGroups.write ConsumerGroupAlreadyExists | '),
    ...Array.from({ length: limits.consumerGroupsMax - 1 }, (_, nth) => of('PUT', `${groups}/g${nth}`, 201)),
    of('PUT', `${groups}/more`, 403, 'consumerGroups.write IotHubQuotaExceeded consumerGroupsMax | '),
    of('POST', '/mooring/v1/devices/none/commands', 404, 'commands.send DeviceNotFound | none', { body: {} }),
    of('POST', '/mooring/v1/devices/d1/dead-letters/7/send-again', 400, 'commands.send ArgumentInvalid | d1'),
    of('DELETE', `${feedback}/lock`, 412, 'feedback.settle DeviceMessageLockLost | '),
    // Not an operation: it cannot be read as one.
    of('PUT', '/devices/d1', 400, undefined, { body: 'no JSON' }),
    of('GET', '/nowhere', 404),
  ]);
});

test('over AMQP: links and requests for which the policy has no permission', async () => {
  const heard = new HeardReports();
  await using hub = await openAmqpTestHub({ recorder: heard });
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(hub.token({ policyName: 'registryRead', resource: 'localhost' }), 'localhost');
  const receivers = [
    [feedback, 'feedback.receive'],
    ['myhub/ConsumerGroups/$Default/Partitions/0', 'events.read'],
  ] as const;
  for (const [address, operation] of receivers) {
    await client.receive(address).ending();
    assert.deepEqual(heard.takeRefusals(), [`${operation} ${missing} |  | registryRead | 127.0.0.1`], address);
  }
  await client.send('/messages/devicebound').ending();
  assert.deepEqual(heard.takeRefusals(), [`commands.send ${missing} |  | registryRead | 127.0.0.1`]);
  await client.close();
  // A device's own token opens nothing of back ends; the event names the device.
  const device = await hub.device('d1');
  const own = await AmqpDriver.connect(hub.port, {});
  await own.putToken(device.token(), device.resource);
  await own.receive(feedback).ending();
  assert.deepEqual(heard.takeRefusals(), [`feedback.receive ${missing} | d1 | target undefined | undefined`]);
  await own.close();
});

test('a policy that tries again and again is one event at once and one for all the others', async () => {
  await using hub = await startHub({ args: ['--monitoring-window-seconds', '1'] });
  await using reader = await MonitoringReader.open(hub);
  const api = apiOf(hub, 'service');
  for (let nth = 0; nth < 5; nth++) await assert.rejects(api.devices.get('d1'), { status: 401 });
  api.close();
  const told = await reader.until(
    (all) => all.reduce((sum, event) => sum + (event.operation === 'registry.read' ? Number(event.count) : 0), 0) >= 5,
  );
  const refused = told.filter(({ type }) => type === 'operationRefused');
  assert.equal(
    refused.reduce((sum, { count }) => sum + Number(count), 0),
    5,
  );
  for (const { policyName, deviceId, peer, code } of refused) {
    assert.deepEqual([policyName, deviceId, peer, code], ['service', 'd1', '127.0.0.1', 'IotHubUnauthorizedAccess']);
  }
  assert.equal(refused[0].count, 1);
  assert.ok(refused.length < 5, `${refused.length} events`);
  const key = /SharedAccessKey=([^;]+)/.exec(hub.endpoints.connectionStrings.service)?.[1] ?? '?';
  assert.ok(!JSON.stringify(reader.all()).includes(key));
});

test('a client without a credential, or with one that cannot be read, is told of like one with a wrong one', async () => {
  const heard = new HeardReports();
  await using http = await openHttpHub({ recorder: heard });
  for (const [path, authorization, check, deviceId] of [
    ['/devices', '', 'missing-credential', undefined],
    ['/devices', 'x'.repeat(limits.tokenCharsMax + 1), 'malformed-token', undefined],
    ['/devices/d1/messages/devicebound', '', 'missing-credential', 'd1'],
  ] as const) {
    const answer = await http.request('GET', versioned(path), { headers: { authorization } });
    assert.equal(answer.status, 401);
    const [failed] = heard.take();
    assert.ok(failed.type === 'authenticationFailed');
    assert.deepEqual([failed.check, failed.deviceId, failed.peer], [check, deviceId, '127.0.0.1'], path);
  }
});
