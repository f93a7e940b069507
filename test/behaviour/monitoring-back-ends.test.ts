/** What back ends are refused, as monitoring events: which operation, which policy, which rule; and what is not told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createApiClient } from '../../src/api/client.ts';
import { limits } from '../../src/base/limits.ts';
import type { MonitoringReport } from '../../src/core/monitoring/types.ts';
import { AmqpDriver } from '../drivers/amqp.ts';
import { openAmqpTestHub } from '../drivers/amqp-door.ts';
import { type HttpHub, HUB_NAME, openHttpHub } from '../drivers/http.ts';
import { registerDevice } from '../drivers/http-device.ts';
import { startHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';

const version = 'api-version=2021-04-12';
const groups = `/mooring/v1/event-hubs/${HUB_NAME}/consumer-groups`;
const authorities = '/mooring/v1/certificate-authorities';

/** What was told since the last time: `operation code reason`, then whom it concerns and the policy. */
function refusals(told: MonitoringReport[]): readonly string[] {
  return told.splice(0).flatMap((report) => {
    if (report.type !== 'operationRefused') return [];
    const { operation, code, reason, limit, policyName, deviceId, moduleId, target, peer } = report;
    const why = [operation, code, reason ?? limit?.name].filter((text) => text !== undefined).join(' ');
    return `${why} | ${[deviceId, moduleId].filter(Boolean).join('/')} | ${policyName ?? `target ${target}`} | ${peer}`;
  });
}

interface Attempt {
  readonly by?: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** Without the peer. */
  readonly told: string | undefined;
}

async function play(http: HttpHub, told: MonitoringReport[], attempts: readonly Attempt[]): Promise<void> {
  for (const { by = 'iothubowner', method, path, body, headers, status, told: expected } of attempts) {
    const authorization = await http.token(by);
    const answer = await http.request(method, path, { body, headers: { ...headers, authorization } });
    assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
    const all = expected === undefined ? [] : [`${expected} | 127.0.0.1`];
    assert.deepEqual(refusals(told), all, `${method} ${path} by ${by}`);
    assert.ok(!JSON.stringify(told).includes('sig='));
  }
}

const missing = 'IotHubUnauthorizedAccess missing-permission';

test('over HTTP: a missing permission is told of every operation, with the policy and whom it concerned', async () => {
  const told: MonitoringReport[] = [];
  await using http = await openHttpHub({ recorder: { record: (report) => void told.push(report) } });
  const draft = { deviceId: 'd1' };
  const to = { 'iothub-to': '/devices/d1/messages/devicebound' };
  const feedback = '/messages/serviceBound/feedback';
  await play(http, told, [
    ...(
      [
        ['service', 'GET', '/devices', 'registry.read', ''],
        ['service', 'GET', '/devices/d1', 'registry.read', 'd1'],
        ['service', 'GET', '/devices/d1/modules', 'registry.read', 'd1'],
        ['service', 'GET', '/statistics/devices', 'statistics.read', ''],
        ['registryRead', 'DELETE', '/devices/d1', 'registry.write', 'd1'],
        ['registryRead', 'DELETE', '/devices/d1/modules/m1', 'registry.write', 'd1/m1'],
        ['registryRead', 'DELETE', '/devices/d1/commands', 'commands.purge', 'd1'],
        ['registryRead', 'GET', feedback, 'feedback.receive', ''],
        ['registryRead', 'DELETE', `${feedback}/lock`, 'feedback.settle', ''],
      ] as const
    ).map(([by, method, path, operation, about]) => {
      return {
        by,
        method,
        path: `${path}?${version}`,
        status: 401,
        told: `${operation} ${missing} | ${about} | ${by}`,
      };
    }),
    ...(
      [
        ['registryRead', 'GET', '/mooring/v1/devices/d1/dead-letters', 'commands.read', 'd1'],
        ['registryRead', 'GET', '/mooring/v1/devices/d1/commands?messageId=m', 'commands.read', 'd1'],
        ['registryRead', 'POST', '/mooring/v1/devices/d1/dead-letters/1/send-again', 'commands.send', 'd1'],
        ['service', 'GET', '/mooring/v1/hub', 'hub.read', ''],
        ['service', 'GET', '/mooring/v1/server-authority', 'serverAuthority.read', ''],
        ['service', 'POST', '/mooring/v1/server-authority/offer', 'serverAuthority.write', ''],
        ['registryRead', 'GET', groups, 'consumerGroups.read', ''],
        ['service', 'PUT', `${groups}/g1`, 'consumerGroups.write', ''],
        ['service', 'DELETE', `${groups}/g1`, 'consumerGroups.write', ''],
        ['service', 'GET', authorities, 'authorities.read', ''],
        ['service', 'GET', `${authorities}/a`, 'authorities.read', ''],
        ['service', 'DELETE', `${authorities}/a`, 'authorities.write', ''],
      ] as const
    ).map(([by, method, path, operation, about]) => {
      return { by, method, path, status: 401, told: `${operation} ${missing} | ${about} | ${by}` };
    }),
    ...(
      [
        ['registryRead', 'PUT', `/devices/d1?${version}`, draft, 'registry.write', 'd1'],
        ['registryRead', 'POST', `/devices?${version}`, [{ id: 'd1', importMode: 'create' }], 'registry.write', ''],
        ['registryRead', 'POST', '/mooring/v1/devices/d1/commands', {}, 'commands.send', 'd1'],
        ['registryRead', 'POST', `/messages/devicebound?${version}`, 'x', 'commands.send', 'd1'],
        ['service', 'PUT', `${authorities}/a`, { certificate: 'x' }, 'authorities.write', ''],
        ['service', 'POST', `${authorities}/a/proof`, { certificate: 'x' }, 'authorities.write', ''],
      ] as const
    ).map(([by, method, path, body, operation, about]) => {
      const expected = `${operation} ${missing} | ${about} | ${by}`;
      return { by, method, path, body, headers: to, status: 401, told: expected };
    }),
  ]);
});

test('over HTTP: what an authorised back end may not do is told by its rule; that something is not there is an answer', async () => {
  const told: MonitoringReport[] = [];
  await using http = await openHttpHub({ recorder: { record: (report) => void told.push(report) } });
  await registerDevice(http, 'd1');
  const owner = 'iothubowner';
  const attempt = (method: string, path: string, status: number, expected?: string, more: object = {}): Attempt => ({
    ...{ method, path: `${path}${path.startsWith('/mooring') ? '' : `?${version}`}`, status, ...more },
    told: expected,
  });
  const stale = { headers: { 'if-match': '"stale"' } };
  await play(http, told, [
    attempt('GET', '/devices/none', 404),
    attempt('GET', `${authorities}/none`, 404),
    attempt('GET', '/mooring/v1/event-hubs/none/consumer-groups', 404),
    attempt('DELETE', '/devices/none', 404, `registry.write DeviceNotFound | none | ${owner}`),
    attempt('DELETE', '/devices/d1', 412, `registry.write PreconditionFailed | d1 | ${owner}`, stale),
    attempt('PUT', '/devices/d1', 409, `registry.write DeviceAlreadyExists | d1 | ${owner}`, {
      body: { deviceId: 'd1' },
    }),
    attempt('PUT', '/devices/d2', 400, `registry.write ArgumentInvalid | d2 | ${owner}`, {
      body: { deviceId: 'd2', authentication: { symmetricKey: { primaryKey: 'x', secondaryKey: 'y' } } },
    }),
    // Each item of a bulk request stands for itself.
    attempt('POST', '/devices', 400, `registry.write DeviceAlreadyExists | d1 | ${owner}`, {
      body: [
        { id: 'd1', importMode: 'create' },
        { id: 'd3', importMode: 'create' },
      ],
    }),
    attempt('PUT', `${authorities}/a`, 400, `authorities.write ArgumentInvalid |  | ${owner}`, {
      body: { certificate: 'none' },
    }),
    attempt('DELETE', `${authorities}/a`, 404, `authorities.write CertificateAuthorityNotFound |  | ${owner}`),
    attempt('PUT', `${groups}/$Default`, 409, `consumerGroups.write ConsumerGroupAlreadyExists |  | ${owner}`),
    ...Array.from({ length: limits.consumerGroupsMax - 1 }, (_, nth) => attempt('PUT', `${groups}/g${nth}`, 201)),
    attempt('PUT', `${groups}/more`, 403, `consumerGroups.write IotHubQuotaExceeded consumerGroupsMax |  | ${owner}`),
    attempt('POST', '/mooring/v1/devices/none/commands', 404, `commands.send DeviceNotFound | none | ${owner}`, {
      body: {},
    }),
    attempt(
      'POST',
      '/mooring/v1/devices/d1/dead-letters/7/send-again',
      400,
      `commands.send ArgumentInvalid | d1 | ${owner}`,
    ),
    attempt(
      'DELETE',
      '/messages/serviceBound/feedback/lock',
      412,
      `feedback.settle DeviceMessageLockLost |  | ${owner}`,
    ),
    // Not an operation: it cannot be read as one.
    attempt('PUT', '/devices/d1', 400, undefined, { body: 'no JSON' }),
    attempt('GET', '/nowhere', 404),
  ]);
});

test('over AMQP: links and requests for which the policy has no permission', async () => {
  const told: MonitoringReport[] = [];
  await using hub = await openAmqpTestHub({ recorder: { record: (report) => void told.push(report) } });
  const client = await AmqpDriver.connect(hub.port, {});
  await client.putToken(hub.token({ policyName: 'registryRead', resource: 'localhost' }), 'localhost');
  const receivers = [
    ['/messages/serviceBound/feedback', 'feedback.receive'],
    ['myhub/ConsumerGroups/$Default/Partitions/0', 'events.read'],
  ] as const;
  for (const [address, operation] of receivers) {
    await client.receive(address).ending();
    assert.deepEqual(refusals(told), [`${operation} ${missing} |  | registryRead | 127.0.0.1`], address);
  }
  await client.send('/messages/devicebound').ending();
  assert.deepEqual(refusals(told), [`commands.send ${missing} |  | registryRead | 127.0.0.1`]);
  await client.close();
  // A device's own token opens nothing of back ends; the event names the device.
  const device = await hub.device('d1');
  const own = await AmqpDriver.connect(hub.port, {});
  await own.putToken(device.token(), device.resource);
  await own.receive('/messages/serviceBound/feedback').ending();
  assert.deepEqual(refusals(told), [`feedback.receive ${missing} | d1 | target undefined | undefined`]);
  await own.close();
});

test('a policy that tries again and again is one event at once and one for all the others', async () => {
  await using hub = await startHub({ args: ['--monitoring-window-seconds', '1'] });
  await using reader = await MonitoringReader.open(hub);
  const { connectionStrings, ports } = hub.endpoints;
  const api = createApiClient({ connectionString: connectionStrings.service, port: ports.https ?? 0, ca: hub.ca });
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
  const key = /SharedAccessKey=([^;]+)/.exec(connectionStrings.service)?.[1] ?? '?';
  assert.ok(!JSON.stringify(reader.all()).includes(key));
});

test('who shows no credential, or none that can be read, is told of like whoever shows a wrong one', async () => {
  const told: MonitoringReport[] = [];
  await using http = await openHttpHub({ recorder: { record: (report) => void told.push(report) } });
  for (const [path, authorization, check, deviceId] of [
    [`/devices?${version}`, '', 'missing-credential', undefined],
    [`/devices?${version}`, 'x'.repeat(limits.tokenCharsMax + 1), 'malformed-token', undefined],
    [`/devices/d1/messages/devicebound?${version}`, '', 'missing-credential', 'd1'],
  ] as const) {
    const answer = await http.request('GET', path, { headers: { authorization } });
    assert.equal(answer.status, 401);
    const [failed] = told.splice(0);
    assert.ok(failed.type === 'authenticationFailed');
    assert.deepEqual([failed.check, failed.deviceId, failed.peer], [check, deviceId, '127.0.0.1'], path);
  }
});
