/**
 * The access matrix: of each operation of the permission table every way in which a door offers it, and who may. An operation
 * without an entry here does not compile, and one without a row fails the test.
 */
import type { Operation } from '../../src/core/identity/operations.ts';
import type { AccessScene, Caller, CallerName, RequestMore } from './access.ts';
import { AmqpDriver, type DriverReceiver, type DriverSender } from './amqp.ts';
import { MqttDriver, publishPacket } from './mqtt.ts';

/** What a row is about: a device or module of the scene, the event hub `testhub`, or the whole hub. */
export type Whom = 'd1' | 'd2' | 'd1/m1' | 'off' | 'x1' | 'testhub' | 'hub';

export interface Row {
  readonly door: 'HTTP' | 'MQTT' | 'AMQP';
  readonly what: string;
  readonly of: Whom;
  /** Whether the caller was let through, whatever came of it then. */
  attempt(scene: AccessScene, caller: Caller): Promise<boolean>;
}

const policies = {
  readsRegistry: ['iothubowner', 'registryRead', 'registryReadWrite'],
  writesRegistry: ['iothubowner', 'registryReadWrite'],
  serves: ['iothubowner', 'service'],
  speaks: ['iothubowner', 'device'],
  owns: ['iothubowner'],
} as const satisfies Readonly<Record<string, readonly CallerName[]>>;

/** Tokens of the policy `service` that are confined to what the row is about. */
const confined: Readonly<Partial<Record<Whom, CallerName>>> = {
  d1: 'service for d1',
  'd1/m1': 'service for d1',
  testhub: 'service for testhub',
};

/** Who the identity itself is among the callers; a disabled one is nobody. */
const self: Readonly<Partial<Record<Whom, CallerName>>> = { d1: 'd1', d2: 'd2', 'd1/m1': 'd1/m1', x1: 'certificate' };

const backEnds = (of: Whom): readonly CallerName[] => {
  const also = confined[of];
  return also === undefined ? policies.serves : [...policies.serves, also];
};
const readers = () => policies.readsRegistry;
const writers = () => policies.writesRegistry;
/** Back ends, and those who may do as much by the registry's permissions. */
const jobReaders = () => [...policies.readsRegistry, 'service'] as const;
const jobWriters = () => [...policies.writesRegistry, 'service'] as const;
const devices = (of: Whom): readonly CallerName[] => {
  const own = self[of];
  return own === undefined ? [] : [own, ...policies.speaks];
};

/** Requests are whole and right: one that is refused for its form says nothing about access. */
const rest = (of: Whom, method: string, path: string, body?: unknown, more?: RequestMore): Row => ({
  door: 'HTTP',
  what: `${method} ${path}`,
  of,
  attempt: async (scene, caller) => (await scene.ask(caller, method, path, body, more)) !== 401,
});

/** Connects as an identity with whatever the caller has, then does something. */
const mqtt = (
  of: Whom,
  what: string,
  then: (client: MqttDriver) => Promise<boolean> = async () => true,
  { as = of as string, clean = true } = {},
): Row => ({
  door: 'MQTT',
  what: `as ${as}: ${what}`,
  of,
  async attempt({ mqtt: door, http }, { token, certificate: shown }) {
    const { client, returnCode } = await MqttDriver.connect(
      { port: door.port, ca: http.tls.ca, ...(shown && { cert: shown.pem, key: shown.keyPem }) },
      {
        clientId: as,
        username: `localhost/${as}/?api-version=2021-04-12`,
        clean,
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

/** A request to the twin, let through by whatever is answered but 401. */
const twinAnswer = (request: string, payload: string) => async (client: MqttDriver) => {
  if (!(await subscribe('$iothub/twin/res/#')(client))) return false;
  client.send(publishPacket({ topic: `$iothub/twin/${request}`, payload }));
  const { topic } = await client.next('publish');
  return !topic.includes('/res/401/');
};

/** Puts the caller's token (or shows its certificate), then does something. */
const amqp = (of: Whom, what: string, then: (client: AmqpDriver) => Promise<boolean>): Row => ({
  door: 'AMQP',
  what,
  of,
  async attempt({ amqp: door, http }, { token, certificate: shown, audience = 'localhost' }) {
    const client = await AmqpDriver.connect(door.port, {
      transport: 'tls',
      ca: http.tls.ca,
      servername: 'localhost',
      ...(shown && { cert: shown.pem, key: shown.keyPem }),
    });
    try {
      if (token !== undefined) await client.putToken(token, audience);
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
const asksSharedKey = (device: string) => async (client: AmqpDriver) => {
  if (!(await receives('$gateway')(client))) return false;
  const ask = await client.node('$gateway');
  const properties = { operation: 'sharedKey', device };
  return (await ask({ application_properties: properties })).application_properties?.['status-code'] === 200;
};
const asksManagement = async (client: AmqpDriver): Promise<boolean> => {
  const ask = await client.node('$management');
  const properties = { operation: 'READ', name: 'testhub', type: 'com.microsoft:eventhub' };
  return (await ask({ application_properties: properties })).application_properties?.['status-code'] === 200;
};

const lock = '00000000-0000-4000-8000-000000000000';
const certificate = { certificate: 'none' };
const groups = '/mooring/v1/event-hubs/testhub/consumer-groups';
const authorities = '/mooring/v1/certificate-authorities';
const feedback = '/messages/serviceBound/feedback';

/** Devices and modules with a path of their own at HTTP and AMQP. */
const identities: readonly (readonly [of: Whom, path: string])[] = [
  ['d1', 'd1'],
  ['d2', 'd2'],
  ['d1/m1', 'd1/modules/m1'],
  ['off', 'off'],
  ['x1', 'x1'],
];
const ofEach = (make: (of: Whom, path: string) => Row | readonly Row[]): readonly Row[] =>
  identities.flatMap(([of, path]) => make(of, path));
const ofTargets = (make: (of: Whom, target: string) => Row | readonly Row[]): readonly Row[] =>
  identities.slice(0, 3).flatMap(([of, path]) => make(of, `/devices/${path}`));

/** The parts of the container of files. */
const ofParts = (make: (of: Whom, part: string) => readonly Row[]): readonly Row[] => [
  ...make('hub', '/mooring/v1/files'),
  ...identities.slice(0, 3).flatMap(([of, path]) => make(of, `/mooring/v1/devices/${path}/files`)),
];

const ownTwins = (make: (of: Whom) => Row): readonly Row[] => identities.map(([of]) => make(of));
const ofTwins = (make: (of: Whom, twin: string) => Row | readonly Row[]): readonly Row[] =>
  identities.slice(0, 3).flatMap(([of, path]) => make(of, `/twins/${path}`));

/** Who may, said apart from the permission table: what is changed there has to be changed here as well. */
export const matrix: Readonly<
  Record<Operation, { readonly who: (of: Whom) => readonly CallerName[]; readonly rows: readonly Row[] }>
> = {
  'registry.read': {
    who: readers,
    rows: [
      rest('hub', 'GET', '/devices'),
      rest('hub', 'GET', '/mooring/v1/bulk-changes'),
      rest('hub', 'GET', '/mooring/v1/bulk-changes/none'),
      rest('d1', 'GET', '/devices/d1'),
      rest('d1', 'GET', '/devices/d1/modules'),
      rest('d1/m1', 'GET', '/devices/d1/modules/m1'),
    ],
  },
  'registry.write': {
    who: writers,
    rows: [
      rest('hub', 'POST', '/devices', [{ id: 'bulk', importMode: 'delete' }]),
      rest('hub', 'POST', '/mooring/v1/bulk-changes', { action: 'delete', ids: ['bulk'] }),
      rest('hub', 'POST', '/mooring/v1/bulk-changes/none/cancel'),
      rest('hub', 'POST', '/mooring/v1/bulk-changes/none/resume'),
      rest('d1', 'POST', '/devices/keys/regenerate', { policyKey: 'secondaryKey', devices: [{ id: 'd1' }] }),
      rest('hub', 'PUT', '/devices/new', { deviceId: 'new' }),
      rest('hub', 'DELETE', '/devices/new'),
      rest('d1', 'PUT', '/devices/d1/modules/new', { deviceId: 'd1', moduleId: 'new' }),
      rest('d1', 'DELETE', '/devices/d1/modules/new'),
    ],
  },
  // No module of the scene is an edge device's: who it is that may is in `http-edge-scopes.test.ts` and `http-edge-hub.test.ts`.
  'scopes.read': {
    who: () => [],
    rows: [
      rest('d1/m1', 'GET', '/devices/d1/modules/m1/devicesAndModulesInDeviceScope'),
      rest('d1/m1', 'GET', '/devices/d1/modules/m1/deviceAndModuleInDeviceScope', undefined, {
        query: 'targetDeviceId=d2',
      }),
      rest('d1/m1', 'POST', '/devices/d1/modules/m1/devicesAndModulesInTargetDeviceScope', {
        pageSize: 1,
        authChain: 'd1',
      }),
      rest('d1/m1', 'POST', '/devices/d1/modules/m1/getDeviceAndModuleOnBehalfOf', {
        targetDeviceId: 'd2',
        authChain: 'd1',
      }),
    ],
  },
  'statistics.read': {
    who: readers,
    rows: [rest('hub', 'GET', '/statistics/devices'), rest('hub', 'GET', '/statistics/service')],
  },
  'registryJobs.read': {
    who: readers,
    rows: [rest('hub', 'GET', '/jobs'), rest('hub', 'GET', `/jobs/${lock}`)],
  },
  'registryJobs.write': {
    who: writers,
    rows: [
      rest('hub', 'POST', '/jobs/create', { type: 'import', inputBlobContainerUri: 'https://nowhere.example/c?sig=x' }),
      rest('hub', 'DELETE', `/jobs/${lock}`),
      rest('hub', 'POST', '/mooring/v1/registry/areas', {}),
    ],
  },
  connect: {
    who: devices,
    rows: identities.map(([of]) => mqtt(of, 'connect')),
  },
  'subscriptions.read': {
    who: devices,
    rows: identities.map(([of]) => mqtt(of, 'go on with its session', undefined, { clean: false })),
  },
  'subscriptions.write': {
    who: devices,
    rows: [
      mqtt('d1', 'subscribe for good', subscribe('devices/d1/messages/devicebound/#'), { clean: false }),
      mqtt('x1', 'subscribe for good', subscribe('devices/x1/messages/devicebound/#'), { clean: false }),
    ],
  },
  'telemetry.send': {
    who: devices,
    rows: [
      ...ofEach((of, path) => rest(of, 'POST', `/devices/${path}/messages/events`, 'x')),
      mqtt('d1', 'publish its telemetry', publish('devices/d1/messages/events/')),
      mqtt('x1', 'publish its telemetry', publish('devices/x1/messages/events/')),
      ...ofEach((of, path) => amqp(of, `send telemetry of ${path}`, sends(`/devices/${path}/messages/events`))),
    ],
  },
  'devices.speakFor': {
    who: () => policies.speaks,
    rows: [
      amqp('hub', 'send batches of a gateway', sends('gateway/messages/events')),
      amqp('hub', 'ask as a gateway', receives('$gateway')),
    ],
  },
  'sharedKeys.derive': {
    who: () => policies.speaks,
    rows: [amqp('d1', 'ask for the shared key of a device', asksSharedKey('d1'))],
  },
  'commands.receive': {
    who: devices,
    rows: [
      ...ofEach((of, path) => rest(of, 'GET', `/devices/${path}/messages/devicebound`)),
      mqtt('d1', 'subscribe to its commands', subscribe('devices/d1/messages/devicebound/#')),
      ...ofEach((of, path) =>
        amqp(of, `receive commands of ${path}`, receives(`/devices/${path}/messages/devicebound`)),
      ),
    ],
  },
  // Over MQTT and AMQP a command is settled on the connection that has received it, which is asked for above.
  'commands.settle': {
    who: devices,
    rows: ofEach((of, path) => [
      rest(of, 'DELETE', `/devices/${path}/messages/devicebound/${lock}`),
      rest(of, 'POST', `/devices/${path}/messages/devicebound/${lock}/abandon`),
    ]),
  },
  'commands.send': {
    who: backEnds,
    rows: [
      ...ofTargets((of, target) => [
        rest(of, 'POST', `/mooring/v1${target}/commands`, { bodyText: 'x' }),
        rest(of, 'POST', `/mooring/v1${target}/dead-letters/999/send-again`),
        rest(of, 'POST', `${target}/messages/devicebound`, 'x'),
      ]),
      // Whose tokens may be confined is not looked at where the address does not name the device.
      rest('hub', 'POST', '/messages/devicebound', 'x', {
        headers: { 'iothub-to': '/devices/d1/messages/devicebound' },
      }),
      amqp('hub', 'send commands', sends('/messages/devicebound')),
    ],
  },
  'commands.read': {
    who: backEnds,
    rows: ofTargets((of, target) => [
      rest(of, 'GET', `/mooring/v1${target}/commands`, undefined, { query: 'messageId=m1' }),
      rest(of, 'GET', `/mooring/v1${target}/dead-letters`),
    ]),
  },
  'commands.purge': {
    who: backEnds,
    rows: ofTargets((of, target) => rest(of, 'DELETE', `${target}/commands`)),
  },
  'feedback.receive': {
    who: backEnds,
    rows: [rest('hub', 'GET', feedback), amqp('hub', 'receive feedback', receives('/messages/servicebound/feedback'))],
  },
  'feedback.settle': {
    who: backEnds,
    rows: [rest('hub', 'DELETE', `${feedback}/${lock}`), rest('hub', 'POST', `${feedback}/${lock}/abandon`)],
  },
  'twins.read': {
    who: backEnds,
    rows: [...ofTwins((of, twin) => rest(of, 'GET', twin)), rest('d1', 'GET', '/digitaltwins/d1')],
  },
  'twins.write': {
    who: backEnds,
    rows: [
      ...ofTwins((of, twin) => [
        rest(of, 'PATCH', twin, { tags: { a: 1 } }),
        rest(of, 'PUT', twin, { tags: { a: 1 } }),
      ]),
      rest('d1', 'PATCH', '/digitaltwins/d1', [{ op: 'add', path: '/p', value: 1 }]),
    ],
  },
  'fleet.query': {
    who: backEnds,
    rows: [
      rest('hub', 'POST', '/devices/query', { query: 'SELECT deviceId FROM devices' }),
      rest('hub', 'GET', '/mooring/v1/query/live', undefined, { query: 'query=SELECT%20deviceId%20FROM%20devices' }),
    ],
  },
  'archives.read': {
    who: backEnds,
    rows: [
      rest('hub', 'GET', '/mooring/v1/archives'),
      rest('hub', 'GET', '/mooring/v1/archives/none/files', undefined, { query: 'partition=0' }),
    ],
  },
  'archives.verify': {
    who: backEnds,
    rows: [rest('hub', 'POST', '/mooring/v1/archives/none/verify', undefined, { query: 'partition=0' })],
  },
  'configurations.read': {
    who: readers,
    rows: [
      rest('hub', 'GET', '/configurations'),
      rest('hub', 'GET', '/configurations/c1'),
      rest('hub', 'POST', '/configurations/testQueries', { targetCondition: '*' }),
    ],
  },
  'configurations.write': {
    who: writers,
    rows: [
      rest('hub', 'PUT', '/configurations/c1', { id: 'c1', content: {}, targetCondition: '' }),
      rest('hub', 'DELETE', '/configurations/c1'),
    ],
  },
  'routes.read': {
    who: readers,
    rows: [
      rest('hub', 'GET', '/mooring/v1/routes'),
      rest('hub', 'GET', '/mooring/v1/endpoints'),
      rest('hub', 'POST', '/mooring/v1/routes/test', {}),
    ],
  },
  'routes.write': {
    who: () => policies.owns,
    rows: [
      rest('hub', 'PUT', '/mooring/v1/routes', {}),
      rest('hub', 'PUT', '/mooring/v1/routes/r1', { endpoint: 'events' }),
      rest('hub', 'DELETE', '/mooring/v1/routes/r1'),
      rest('hub', 'PUT', '/mooring/v1/endpoints/e1', { kind: 'eventHub' }),
      rest('hub', 'DELETE', '/mooring/v1/endpoints/e1'),
      rest('hub', 'PUT', '/mooring/v1/enrichments/k', { value: 'v', endpoints: [] }),
      rest('hub', 'DELETE', '/mooring/v1/enrichments/k'),
    ],
  },
  'configurations.apply': {
    who: writers,
    rows: [rest('d1', 'POST', '/devices/d1/applyConfigurationContent', { modulesContent: {} })],
  },
  'twins.readOwn': {
    who: devices,
    rows: [
      ...ownTwins((of) => mqtt(of, 'read its twin', twinAnswer('GET/?$rid=1', ''))),
      ...ofEach((of, path) => amqp(of, `ask for the twin of ${path}`, sends(`/devices/${path}/twin`))),
      ...ofEach((of, path) => amqp(of, `be told of the twin of ${path}`, receives(`/devices/${path}/twin`))),
    ],
  },
  'twins.report': {
    who: devices,
    rows: ownTwins((of) => mqtt(of, 'report', twinAnswer('PATCH/properties/reported/?$rid=1', '{"a":1}'))),
  },
  'methods.invoke': {
    who: backEnds,
    rows: [
      ...ofTwins((of, twin) => rest(of, 'POST', `${twin}/methods`, { methodName: 'reboot' })),
      rest('d1', 'POST', '/digitaltwins/d1/commands/reboot', 1),
      rest('d1', 'POST', '/digitaltwins/d1/components/c/commands/reboot', 1),
    ],
  },
  'jobs.read': {
    who: jobReaders,
    rows: [rest('hub', 'GET', '/jobs/v2/query'), rest('hub', 'GET', '/jobs/v2/no-such-job')],
  },
  'jobs.write': {
    who: jobWriters,
    rows: [
      rest('hub', 'PUT', '/jobs/v2/a-job', {
        type: 'scheduleUpdateTwin',
        updateTwin: { tags: { a: 1 } },
        queryCondition: "deviceId = 'nobody'",
      }),
      rest('hub', 'POST', '/jobs/v2/no-such-job/cancel'),
    ],
  },
  'methods.receive': {
    who: devices,
    rows: ofEach((of, path) => [
      amqp(of, `receive methods of ${path}`, receives(`/devices/${path}/methods/devicebound`)),
      amqp(of, `answer methods of ${path}`, sends(`/devices/${path}/methods/devicebound`)),
    ]),
  },
  'events.read': {
    who: backEnds,
    rows: [
      amqp('testhub', 'read events', receives('testhub/ConsumerGroups/$Default/Partitions/0')),
      amqp('hub', 'read the monitoring stream', receives('testhub-monitoring/ConsumerGroups/$Default/Partitions/0')),
      amqp('testhub', 'be sent to the event hub', receives('messages/events/')),
      rest('hub', 'GET', '/mooring/v1/refusals', undefined, { query: 'deviceId=d1' }),
      rest('hub', 'GET', '/mooring/v1/connections', undefined, { query: 'deviceId=d1' }),
      rest('hub', 'GET', '/mooring/v1/worst-devices'),
    ],
  },
  'eventHubs.read': {
    who: backEnds,
    rows: [amqp('testhub', 'ask $management', asksManagement)],
  },
  'consumerGroups.read': {
    who: backEnds,
    // A token that is confined to an event hub is for AMQP: its resource is no path of the REST API.
    rows: [rest('hub', 'GET', groups)],
  },
  'consumerGroups.write': {
    who: writers,
    rows: [rest('testhub', 'PUT', `${groups}/new`), rest('testhub', 'DELETE', `${groups}/new`)],
  },
  'files.upload': {
    who: devices,
    rows: ofEach((of, path) => [
      rest(of, 'POST', `/devices/${path}/files`, { blobName: 'x' }),
      rest(of, 'POST', `/devices/${path}/files/notifications`, { correlationId: lock, isSuccess: true }),
      rest(of, 'POST', `/devices/${path}/files/notifications/${lock}`, { isSuccess: true }),
    ]),
  },
  'files.fetch': {
    who: devices,
    rows: ofEach((of, path) => [rest(of, 'GET', `/devices/${path}/files/x`)]),
  },
  'files.read': {
    who: backEnds,
    rows: [
      ...ofParts((of, part) => [rest(of, 'GET', part), rest(of, 'GET', `${part}/x`)]),
      rest('hub', 'GET', '/mooring/v1/file-grants', undefined, { query: 'name=x' }),
      rest('hub', 'GET', '/mooring/v1/file-rollouts'),
      rest('hub', 'GET', '/mooring/v1/file-rollouts/none'),
      rest('hub', 'GET', '/mooring/v1/file-rollouts/none/devices'),
    ],
  },
  'files.write': {
    who: backEnds,
    rows: ofParts((of, part) => [rest(of, 'PUT', `${part}/x`, 'content'), rest(of, 'DELETE', `${part}/x`)]),
  },
  'files.grant': {
    who: backEnds,
    rows: [
      rest('hub', 'POST', '/mooring/v1/file-grants', {
        name: 'x',
        devices: [{ deviceId: 'd1' }],
        expiresInSeconds: 60,
      }),
      rest('hub', 'DELETE', `/mooring/v1/file-grants/${lock}`),
      rest('hub', 'POST', '/mooring/v1/file-rollouts', { name: 'x', devices: [{ deviceId: 'd1' }] }),
      rest('hub', 'POST', '/mooring/v1/file-rollouts/none/stop'),
    ],
  },
  'fileNotifications.receive': {
    who: backEnds,
    rows: [
      amqp('hub', 'receive file notifications', receives('/messages/servicebound/filenotifications')),
      rest('hub', 'GET', '/mooring/v1/file-notifications'),
    ],
  },
  'fileNotifications.settle': {
    who: backEnds,
    rows: [
      rest('hub', 'DELETE', `/mooring/v1/file-notifications/${lock}`),
      rest('hub', 'POST', `/mooring/v1/file-notifications/${lock}/abandon`),
    ],
  },
  'hub.read': { who: readers, rows: [rest('hub', 'GET', '/mooring/v1/hub')] },
  'authorities.read': {
    who: readers,
    rows: [rest('hub', 'GET', authorities), rest('hub', 'GET', `${authorities}/root`)],
  },
  'authorities.write': {
    who: writers,
    rows: [
      rest('hub', 'PUT', `${authorities}/new`, certificate),
      rest('hub', 'POST', `${authorities}/new/proof`, certificate),
      rest('hub', 'DELETE', `${authorities}/new`),
    ],
  },
  'nodes.read': { who: readers, rows: [rest('hub', 'GET', '/mooring/v1/nodes')] },
  'nodes.write': { who: () => policies.owns, rows: [rest('hub', 'POST', '/mooring/v1/nodes/node-1/drain')] },
  'serverAuthority.read': { who: readers, rows: [rest('hub', 'GET', '/mooring/v1/server-authority')] },
  'serverAuthority.write': {
    who: () => policies.owns,
    rows: [
      rest('hub', 'POST', '/mooring/v1/server-authority/offer'),
      rest('hub', 'DELETE', '/mooring/v1/server-authority/offer'),
      rest('hub', 'POST', '/mooring/v1/server-authority/switch', {}),
    ],
  },
};

/**
 * Operations that no door asks for by themselves, with the reason: they belong to what the same connection was given by
 * another one.
 */
export const withoutRows: Readonly<Partial<Record<Operation, string>>> = {};

/** What nobody may, whatever they hold. */
export const closed: readonly Row[] = [
  mqtt('hub', 'connect', undefined, { as: 'nobody' }),
  mqtt('d1', 'publish telemetry of d2', publish('devices/d2/messages/events/')),
  mqtt('d1', 'publish telemetry of its module', publish('devices/d1/modules/m1/messages/events/')),
  mqtt('d1', 'publish anywhere', publish('some/topic')),
  mqtt('d1', 'subscribe to commands of d2', subscribe('devices/d2/messages/devicebound/#')),
  mqtt('d1', 'subscribe to everything', subscribe('#')),
  mqtt('x1', 'subscribe to commands of d1', subscribe('devices/d1/messages/devicebound/#')),
  amqp('hub', 'send to the event hub', sends('testhub')),
];
