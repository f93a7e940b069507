/**
 * Every kind of identity on every operation of every door: what is expected and what happens, cell by cell. A door that
 * is added later adds rows; an operation of the REST API without a row is an error of its own.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type AccessScene,
  type Caller,
  type CallerName,
  callerNames,
  openAccessScene,
  type RequestMore,
} from '../drivers/access.ts';
import { AmqpDriver, type DriverReceiver, type DriverSender } from '../drivers/amqp.ts';
import { MqttDriver, publishPacket } from '../drivers/mqtt.ts';

interface Row {
  readonly door: string;
  readonly operation: string;
  readonly allowed: readonly CallerName[];
  /** Whether the caller was let through, whatever came of it then. */
  attempt(scene: AccessScene, caller: Caller): Promise<boolean>;
}

const readsRegistry: readonly CallerName[] = ['iothubowner', 'registryRead', 'registryReadWrite'];
const writesRegistry: readonly CallerName[] = ['iothubowner', 'registryReadWrite'];
const serves: readonly CallerName[] = ['iothubowner', 'service'];
/** Whoever may speak as any device. */
const speaks: readonly CallerName[] = ['iothubowner', 'device'];

/** Requests are whole and right: one that is refused for its form says nothing about access. */
const rest = (
  allowed: readonly CallerName[],
  method: string,
  path: string,
  body?: unknown,
  more?: RequestMore,
): Row => ({
  door: 'HTTP',
  operation: `${method} ${path}`,
  allowed,
  attempt: async (scene, caller) => (await scene.ask(caller, method, path, body, more)) !== 401,
});

const lock = '00000000-0000-4000-8000-000000000000';
const certificate = { certificate: 'none' };
const groups = '/mooring/v1/event-hubs/testhub/consumer-groups';

const deviceRows = (path: string, allowed: readonly CallerName[]): readonly Row[] => [
  rest(allowed, 'POST', `${path}/messages/events`, 'x'),
  rest(allowed, 'GET', `${path}/messages/devicebound`),
  rest(allowed, 'DELETE', `${path}/messages/devicebound/${lock}`),
  rest(allowed, 'POST', `${path}/messages/devicebound/${lock}/abandon`),
  rest(allowed, 'POST', `${path}/files`, { blobName: 'x' }),
  rest(allowed, 'POST', `${path}/files/notifications`, { correlationId: lock, isSuccess: true }),
  rest(allowed, 'POST', `${path}/files/notifications/${lock}`, { isSuccess: true }),
];

const commandRows = (target: string, allowed: readonly CallerName[]): readonly Row[] => [
  rest(allowed, 'DELETE', `${target}/commands`),
  rest(allowed, 'GET', `/mooring/v1${target}/commands`, undefined, { query: 'messageId=m1' }),
  rest(allowed, 'POST', `/mooring/v1${target}/commands`, { bodyText: 'x' }),
  rest(allowed, 'GET', `/mooring/v1${target}/dead-letters`),
  rest(allowed, 'POST', `/mooring/v1${target}/dead-letters/999/send-again`),
];

const httpRows: readonly Row[] = [
  rest(readsRegistry, 'GET', '/devices'),
  rest(writesRegistry, 'POST', '/devices', [{ id: 'bulk', importMode: 'delete' }]),
  rest(readsRegistry, 'GET', '/devices/d1'),
  rest(writesRegistry, 'PUT', '/devices/new', { deviceId: 'new' }),
  rest(writesRegistry, 'DELETE', '/devices/new'),
  rest(readsRegistry, 'GET', '/devices/d1/modules'),
  rest(readsRegistry, 'GET', '/devices/d1/modules/m1'),
  rest(writesRegistry, 'PUT', '/devices/d1/modules/new', { deviceId: 'd1', moduleId: 'new' }),
  rest(writesRegistry, 'DELETE', '/devices/d1/modules/new'),
  rest(readsRegistry, 'GET', '/statistics/devices'),
  rest(readsRegistry, 'GET', '/statistics/service'),
  ...commandRows('/devices/d1', [...serves, 'service for d1']),
  ...commandRows('/devices/d2', serves),
  ...commandRows('/devices/d1/modules/m1', [...serves, 'service for d1']),
  rest(serves, 'POST', '/messages/devicebound', 'x', {
    headers: { 'iothub-to': '/devices/d1/messages/devicebound' },
  }),
  rest([...serves, 'service for d1'], 'POST', '/devices/d1/messages/devicebound', 'x'),
  rest(serves, 'POST', '/devices/d2/messages/devicebound', 'x'),
  rest([...serves, 'service for d1'], 'POST', '/devices/d1/modules/m1/messages/devicebound', 'x'),
  rest(serves, 'GET', '/messages/serviceBound/feedback'),
  rest(serves, 'DELETE', `/messages/serviceBound/feedback/${lock}`),
  rest(serves, 'POST', `/messages/serviceBound/feedback/${lock}/abandon`),
  ...deviceRows('/devices/d1', ['d1', ...speaks]),
  ...deviceRows('/devices/d2', ['d2', ...speaks]),
  ...deviceRows('/devices/d1/modules/m1', ['d1/m1', ...speaks]),
  ...deviceRows('/devices/off', []),
  ...deviceRows('/devices/x1', ['certificate', ...speaks]),
  rest(readsRegistry, 'GET', '/mooring/v1/hub'),
  rest(serves, 'GET', groups),
  rest(writesRegistry, 'PUT', `${groups}/new`),
  rest(writesRegistry, 'DELETE', `${groups}/new`),
  rest(readsRegistry, 'GET', '/mooring/v1/certificate-authorities'),
  rest(readsRegistry, 'GET', '/mooring/v1/certificate-authorities/root'),
  rest(writesRegistry, 'PUT', '/mooring/v1/certificate-authorities/new', certificate),
  rest(writesRegistry, 'POST', '/mooring/v1/certificate-authorities/new/proof', certificate),
  rest(writesRegistry, 'DELETE', '/mooring/v1/certificate-authorities/new'),
  rest(readsRegistry, 'GET', '/mooring/v1/server-authority'),
  rest(['iothubowner'], 'POST', '/mooring/v1/server-authority/offer'),
  rest(['iothubowner'], 'DELETE', '/mooring/v1/server-authority/offer'),
  rest(['iothubowner'], 'POST', '/mooring/v1/server-authority/switch', {}),
];

/** Connects as an identity with whatever the caller has, then does something. */
const mqtt = (
  operation: string,
  identity: string,
  allowed: readonly CallerName[],
  then: (client: MqttDriver) => Promise<boolean> = async () => true,
): Row => ({
  door: 'MQTT',
  operation: `as ${identity}: ${operation}`,
  allowed,
  async attempt({ mqtt: door, http }, { token, certificate: shown }) {
    const { client, returnCode } = await MqttDriver.connect(
      { port: door.port, ca: http.tls.ca, ...(shown && { cert: shown.pem, key: shown.keyPem }) },
      {
        clientId: identity,
        username: `localhost/${identity}/?api-version=2021-04-12`,
        ...(token === undefined ? {} : { password: Buffer.from(token) }),
      },
    );
    try {
      return returnCode === 0 && (await then(client));
    } finally {
      client.destroy();
    }
  },
});

const publish = (topic: string) => async (client: MqttDriver) => {
  client.send(publishPacket({ topic, qos: 1, messageId: 1, payload: Buffer.from('x') }));
  return client.next('puback').then(
    () => true,
    () => false,
  );
};

const subscribe = (filter: string) => async (client: MqttDriver) => {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 1 }] });
  const granted = await client.next('suback').then(
    (packet) => packet.granted[0],
    () => 128,
  );
  return granted !== 128;
};

const asD1: readonly CallerName[] = ['d1', ...speaks];
const mqttRows: readonly Row[] = [
  mqtt('connect', 'd1', asD1),
  mqtt('connect', 'd2', ['d2', ...speaks]),
  mqtt('connect', 'd1/m1', ['d1/m1', ...speaks]),
  mqtt('connect', 'off', []),
  mqtt('connect', 'x1', ['certificate', ...speaks]),
  mqtt('connect', 'nobody', []),
  mqtt('publish its telemetry', 'd1', asD1, publish('devices/d1/messages/events/')),
  mqtt('publish telemetry of d2', 'd1', [], publish('devices/d2/messages/events/')),
  mqtt('publish telemetry of its module', 'd1', [], publish('devices/d1/modules/m1/messages/events/')),
  mqtt('publish anywhere', 'd1', [], publish('some/topic')),
  mqtt('subscribe to its commands', 'd1', asD1, subscribe('devices/d1/messages/devicebound/#')),
  mqtt('subscribe to commands of d2', 'd1', [], subscribe('devices/d2/messages/devicebound/#')),
  mqtt('subscribe to everything', 'd1', [], subscribe('#')),
  mqtt('publish its telemetry', 'x1', ['certificate', ...speaks], publish('devices/x1/messages/events/')),
  mqtt('subscribe to commands of d1', 'x1', [], subscribe('devices/d1/messages/devicebound/#')),
];

/** Puts the caller's token (or shows its certificate), then does something. */
const amqp = (
  operation: string,
  allowed: readonly CallerName[],
  then: (client: AmqpDriver) => Promise<boolean>,
): Row => ({
  door: 'AMQP',
  operation,
  allowed,
  async attempt({ amqp: door, http }, { token, certificate: shown }) {
    const client = await AmqpDriver.connect(door.port, {
      transport: 'tls',
      ca: http.tls.ca,
      servername: 'localhost',
      ...(shown && { cert: shown.pem, key: shown.keyPem }),
    });
    try {
      if (token !== undefined) await client.putToken(token, 'localhost');
      return await then(client);
    } finally {
      client.connection.close();
    }
  },
});

/** An attach that the hub refuses is answered by attach and detach at once: behind the next answer both have come. */
const opens = (attach: (client: AmqpDriver) => DriverReceiver | DriverSender) => async (client: AmqpDriver) => {
  const link = attach(client);
  await link.opened();
  const barrier = client.receive('$cbs').opened();
  const ended = await Promise.race([link.detached, client.ended, barrier.then(() => undefined)]);
  return ended === undefined || ended.condition === 'amqp:link:redirect';
};
const receives = (address: string) => opens((client) => client.receive(address));
const sends = (address: string) => opens((client) => client.send(address));
const asksManagement = async (client: AmqpDriver): Promise<boolean> => {
  const ask = await client.node('$management');
  const properties = { operation: 'READ', name: 'testhub', type: 'com.microsoft:eventhub' };
  return (await ask({ application_properties: properties })).application_properties?.['status-code'] === 200;
};

const amqpRows: readonly Row[] = [
  amqp('read events', serves, receives('testhub/ConsumerGroups/$Default/Partitions/0')),
  amqp('read the monitoring stream', serves, receives('testhub-monitoring/ConsumerGroups/$Default/Partitions/0')),
  amqp('send to the event hub', [], sends('testhub')),
  amqp('be sent to the event hub', serves, receives('messages/events/')),
  amqp('ask $management', serves, asksManagement),
  amqp('send commands', serves, sends('/messages/devicebound')),
  amqp('receive feedback', serves, receives('/messages/servicebound/feedback')),
  ...(
    [
      ['d1', asD1],
      ['d2', ['d2', ...speaks]],
      ['d1/modules/m1', ['d1/m1', ...speaks]],
      ['x1', ['certificate', ...speaks]],
      ['off', []],
    ] as const
  ).flatMap(([path, allowed]) => [
    amqp(`send telemetry of ${path}`, allowed, sends(`/devices/${path}/messages/events`)),
    amqp(`receive commands of ${path}`, allowed, receives(`/devices/${path}/messages/devicebound`)),
  ]),
];

let scene: AccessScene;
before(async () => {
  scene = await openAccessScene();
});
after(() => scene[Symbol.asyncDispose]());

for (const [door, rows] of Object.entries({ HTTP: httpRows, MQTT: mqttRows, AMQP: amqpRows })) {
  test(`${door}: whoever is expected is let in, and nobody else`, async (context) => {
    const differences: string[] = [];
    let cells = 0;
    for (const row of rows) {
      for (const caller of scene.callers) {
        const expected = row.allowed.includes(caller.name);
        const actual = await row.attempt(scene, caller);
        cells++;
        if (actual !== expected) {
          differences.push(`${row.operation} by ${caller.name}: ${actual ? 'let in' : 'refused'}, against expectation`);
        }
      }
    }
    context.diagnostic(
      `${door}: ${rows.length} operations x ${callerNames.length} identities = ${cells} cells, ${differences.length} differences`,
    );
    assert.deepEqual(differences, []);
    assert.equal(cells, rows.length * callerNames.length);
  });
}

test('every operation of the REST API has a row', () => {
  const { paths } = scene.http.door.openApi() as { readonly paths: Readonly<Record<string, object>> };
  const missing = Object.entries(paths).flatMap(([path, methods]) => {
    const pattern = new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+').replaceAll('$', '\\$')}$`, 'i');
    return Object.keys(methods)
      .map((method) => method.toUpperCase())
      .filter((method) => {
        const has = ({ operation }: Row): boolean => {
          const [known, at] = operation.split(' ');
          return known === method && pattern.test(at);
        };
        return !httpRows.some(has);
      })
      .map((method) => `${method} ${path}`);
  });
  assert.deepEqual(missing, []);
});
