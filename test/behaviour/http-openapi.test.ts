import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openHttpHub } from '../drivers/http.ts';

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly summary: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

test('the description lists each operation with its shapes, and none that is not offered', async () => {
  await using http = await openHttpHub();
  const document = http.door.openApi() as Document;
  assert.match(document.openapi, /^3\.0\./);
  const operations = Object.entries(document.paths)
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`))
    .sort();
  // What devices have, modules have too.
  const identities = ['/devices/{deviceId}', '/devices/{deviceId}/modules/{moduleId}'];
  const ofEach = identities.flatMap((identity) => [
    `DELETE ${identity}/commands`,
    `POST /mooring/v1${identity}/commands`,
    `GET /mooring/v1${identity}/commands`,
    `GET /mooring/v1${identity}/dead-letters`,
    `POST /mooring/v1${identity}/dead-letters/{sequence}/send-again`,
    `POST ${identity}/messages/events`,
    `GET ${identity}/messages/devicebound`,
    `DELETE ${identity}/messages/devicebound/{lockToken}`,
    `POST ${identity}/messages/devicebound`,
    `POST ${identity}/messages/devicebound/{lockToken}/abandon`,
    `POST ${identity}/files`,
    `GET ${identity}/files/{*}`,
    `GET /mooring/v1${identity}/files`,
    `PUT /mooring/v1${identity}/files/{*}`,
    `GET /mooring/v1${identity}/files/{*}`,
    `DELETE /mooring/v1${identity}/files/{*}`,
    `POST ${identity}/files/notifications`,
    `POST ${identity}/files/notifications/{correlationId}`,
  ]);
  const twins = ['/twins/{deviceId}', '/twins/{deviceId}/modules/{moduleId}'];
  const expected = [
    ...ofEach,
    'GET /digitaltwins/{deviceId}',
    'PATCH /digitaltwins/{deviceId}',
    'POST /digitaltwins/{deviceId}/commands/{command}',
    'POST /digitaltwins/{deviceId}/components/{component}/commands/{command}',
    ...twins.flatMap((twin) => [`GET ${twin}`, `PATCH ${twin}`, `PUT ${twin}`, `POST ${twin}/methods`]),
    'POST /devices/query',
    'POST /jobs/create',
    'GET /jobs',
    'GET /jobs/{jobId}',
    'DELETE /jobs/{jobId}',
    'POST /mooring/v1/registry/areas',
    'PUT /jobs/v2/{jobId}',
    'GET /jobs/v2/{jobId}',
    'POST /jobs/v2/{jobId}/cancel',
    'GET /jobs/v2/query',
    'GET /mooring/v1/query/live',
    'GET /mooring/v1/archives',
    'GET /mooring/v1/archives/{archiveName}/files',
    'POST /mooring/v1/archives/{archiveName}/verify',
    'GET /mooring/v1/routes',
    'PUT /mooring/v1/routes',
    'POST /mooring/v1/routes/test',
    'GET /mooring/v1/endpoints',
    ...['routes', 'endpoints', 'enrichments'].flatMap((part) => [
      `PUT /mooring/v1/${part}/{name}`,
      `DELETE /mooring/v1/${part}/{name}`,
    ]),
    'GET /configurations',
    'GET /configurations/{configurationId}',
    'PUT /configurations/{configurationId}',
    'DELETE /configurations/{configurationId}',
    'POST /configurations/testQueries',
    'POST /devices/{deviceId}/applyConfigurationContent',
    'GET /mooring/v1/files',
    'PUT /mooring/v1/files/{*}',
    'GET /mooring/v1/files/{*}',
    'DELETE /mooring/v1/files/{*}',
    'POST /mooring/v1/file-rollouts',
    'GET /mooring/v1/file-rollouts',
    'GET /mooring/v1/file-rollouts/{rolloutId}',
    'GET /mooring/v1/file-rollouts/{rolloutId}/devices',
    'POST /mooring/v1/file-rollouts/{rolloutId}/stop',
    'POST /mooring/v1/file-grants',
    'GET /mooring/v1/file-grants',
    'DELETE /mooring/v1/file-grants/{grantId}',
    'GET /mooring/v1/file-notifications',
    'DELETE /mooring/v1/file-notifications/{lockToken}',
    'POST /mooring/v1/file-notifications/{lockToken}/abandon',
    'GET /mooring/v1/certificate-authorities',
    'GET /mooring/v1/certificate-authorities/{authority}',
    'PUT /mooring/v1/certificate-authorities/{authority}',
    'DELETE /mooring/v1/certificate-authorities/{authority}',
    'POST /mooring/v1/certificate-authorities/{authority}/proof',
    'GET /mooring/v1/nodes',
    'POST /mooring/v1/nodes/{node}/drain',
    'GET /mooring/v1/server-authority',
    'POST /mooring/v1/server-authority/offer',
    'DELETE /mooring/v1/server-authority/offer',
    'POST /mooring/v1/server-authority/switch',
    'POST /messages/devicebound',
    'GET /messages/serviceBound/feedback',
    'DELETE /messages/serviceBound/feedback/{lockToken}',
    'POST /messages/serviceBound/feedback/{lockToken}/abandon',
    'DELETE /devices/{deviceId}',
    'DELETE /devices/{deviceId}/modules/{moduleId}',
    'DELETE /mooring/v1/event-hubs/{eventHub}/consumer-groups/{consumerGroup}',
    'GET /devices',
    'GET /devices/{deviceId}',
    'GET /devices/{deviceId}/modules',
    'GET /devices/{deviceId}/modules/{moduleId}',
    'GET /devices/{deviceId}/modules/{moduleId}/deviceAndModuleInDeviceScope',
    'GET /devices/{deviceId}/modules/{moduleId}/devicesAndModulesInDeviceScope',
    'POST /devices/{deviceId}/modules/{moduleId}/devicesAndModulesInTargetDeviceScope',
    'POST /devices/{deviceId}/modules/{moduleId}/getDeviceAndModuleOnBehalfOf',
    'GET /mooring/v1/event-hubs/{eventHub}/consumer-groups',
    'GET /mooring/v1/connections',
    'POST /mooring/v1/bulk-changes',
    'GET /mooring/v1/bulk-changes',
    'GET /mooring/v1/bulk-changes/{changeId}',
    'POST /mooring/v1/bulk-changes/{changeId}/cancel',
    'POST /mooring/v1/bulk-changes/{changeId}/resume',
    'GET /mooring/v1/refusals',
    'GET /mooring/v1/worst-devices',
    'GET /mooring/v1/hub',
    'GET /statistics/devices',
    'GET /statistics/service',
    'POST /devices',
    'POST /devices/keys/regenerate',
    'PUT /devices/{deviceId}',
    'PUT /devices/{deviceId}/modules/{moduleId}',
    'PUT /mooring/v1/event-hubs/{eventHub}/consumer-groups/{consumerGroup}',
  ];
  assert.deepEqual(operations, expected.sort());
  const put = document.paths['/devices/{deviceId}'].put;
  assert.deepEqual(put.parameters?.map(({ name, in: where, required }) => [name, where, required]).sort(), [
    ['api-version', 'query', true],
    ['deviceId', 'path', true],
  ]);
  const body = put.requestBody?.content['application/json'].schema;
  assert.equal(body?.properties?.authentication.properties?.symmetricKey.properties?.primaryKey.type, 'string');
  assert.deepEqual(Object.keys(put.responses).sort(), ['200', '4XX']);
  const send = document.paths['/mooring/v1/devices/{deviceId}/commands'].post;
  const draft = send.requestBody?.content['application/json'].schema;
  assert.equal(draft?.properties?.ttlSeconds.type, 'number');
  const telemetry = document.paths['/devices/{deviceId}/messages/events'].post;
  assert.deepEqual(Object.keys(telemetry.requestBody?.content ?? {}), ['application/octet-stream']);
  assert.deepEqual(
    telemetry.parameters?.map(({ name }) => name),
    ['deviceId'],
    'a device is not asked for an api-version',
  );
  for (const methods of Object.values(document.paths)) {
    for (const { summary, responses } of Object.values(methods)) {
      assert.ok(summary.length > 5);
      assert.ok(Object.keys(responses).some((status) => status.startsWith('2')));
    }
  }
});
