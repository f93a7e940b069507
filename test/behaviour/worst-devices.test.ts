/** The devices to look at first, worst first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RefusalsJson } from '../../src/api/device-events.ts';
import { signSas } from '../../src/api/sas.ts';
import type { WorstDevicesJson } from '../../src/api/worst-devices.ts';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import type { PolicyPrincipal } from '../../src/core/identity/types.ts';
import type { ConnectionClaim } from '../../src/core/presence/types.ts';
import { WorstDevices } from '../../src/protocols/http/worst-devices.ts';
import { apiOf } from '../drivers/api.ts';
import { createMemoryHub } from '../drivers/http.ts';
import { startHub } from '../drivers/hub.ts';
import { connectPacket, MqttDriver } from '../drivers/mqtt.ts';
import { signIn } from '../drivers/portal.ts';
import { until } from '../drivers/until.ts';

const principal: PolicyPrincipal = {
  kind: 'policy',
  policyName: 'iothubowner',
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};

const claimOf = ({ deviceId, generationId }: { deviceId: string; generationId: string }): ConnectionClaim => ({
  ...{ key: { deviceId }, generationId, protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
  ...{ drop: () => {}, wake: () => {} },
});

test('among more devices than a page of a query holds, those that are silent for longest and for which most commands wait', async () => {
  const clock = new VirtualClock();
  const { hub } = await createMemoryHub(clock);
  const count = 2 * limits.queryPageMax + 300;
  const idOf = (n: number): string => `d-${String(n).padStart(5, '0')}`;
  for (let at = 0; at < count + 10; at += 100) {
    const items = Array.from(
      { length: 100 },
      (_, n) => ({ draft: { deviceId: idOf(at + n) }, importMode: 'create' }) as const,
    );
    await hub.registry.bulk(principal, items);
  }
  // In an order that has nothing to do with their ids; those behind `count` are never active.
  const order = Array.from({ length: count }, (_, n) => (n * 1009) % count);
  for (const n of order) {
    const ticket = await hub.presence.claim(claimOf(await hub.registry.get(principal, { deviceId: idOf(n) })));
    ticket.touch();
    ticket.release('by-client');
    clock.advance(1000);
  }
  for (let n = 0; n < limits.queryPageMax + 200; n++) {
    const waiting = n % 100 === 7 ? 2 + n / 100 : 1;
    for (let sent = 1; sent <= waiting; sent++) {
      await hub.commands.send(principal, { deviceId: idOf(n) }, { body: Buffer.from('x'), properties: [] } as never);
    }
  }
  const [first = 0] = order;
  await hub.registry.put(principal, { deviceId: idOf(first), status: 'disabled' }, '*');
  const worst = new WorstDevices(hub);
  const { silent, queues, refused, dropped, lookedSince } = await worst.find(principal);
  assert.deepEqual(
    silent.map(({ deviceId }) => deviceId),
    order.slice(1, limits.worstDevicesMax + 1).map(idOf),
  );
  assert.deepEqual(
    queues.map(({ deviceId, count: waiting }) => [deviceId, waiting]),
    Array.from({ length: limits.worstDevicesMax }, (_, n) => [idOf(1107 - n * 100), 13 - n]),
  );
  assert.deepEqual([refused, dropped, lookedSince], [[], [], undefined]);

  // Everyone is heard of again: nobody is silent, and who asks within some seconds is given the same answer.
  assert.deepEqual((await worst.find(principal)).silent, silent);
  clock.advance(limits.worstDevicesKeptMs);
  for (let n = 0; n < count; n++) {
    const ticket = await hub.presence.claim(claimOf(await hub.registry.get(principal, { deviceId: idOf(n) })));
    ticket.touch();
  }
  assert.deepEqual((await worst.find(principal)).silent, []);
});

test('a fleet that takes long to look through is looked through less often, and once for all who ask', async () => {
  const clock = new VirtualClock();
  const { hub } = await createMemoryHub(clock);
  let asked = 0;
  const queries = {
    ...hub.queries,
    page: async (...query: Parameters<typeof hub.queries.page>) => {
      asked++;
      clock.advance(2000);
      return hub.queries.page(...query);
    },
  };
  const worst = new WorstDevices({ name: hub.name, events: hub.events, clock, queries });
  await Promise.all([worst.find(principal), worst.find(principal), worst.find(principal)]);
  assert.equal(asked, 2);
  clock.advance(4000 * limits.worstDevicesRestFactor - 1);
  await worst.find(principal);
  assert.equal(asked, 2);
  clock.advance(1);
  await worst.find(principal);
  assert.equal(asked, 4);
});

test('devices that are refused and that lose their connections most often, without what back ends were refused', async () => {
  await using hub = await startHub({ args: ['--mqtt-port', '0', '--monitoring-window-seconds', '1'] });
  const api = apiOf(hub);
  const owner = await signIn(hub);
  const connect = async (deviceId: string, key: string): Promise<MqttDriver> => {
    const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 60_000 });
    const driver = await MqttDriver.open({ port: hub.endpoints.ports.mqtt as number });
    const username = `localhost/${deviceId}/?api-version=2021-04-12`;
    driver.send(connectPacket({ clientId: deviceId, username, password: Buffer.from(token) }));
    await driver.next('connack');
    return driver;
  };
  const keys = new Map<string, string>();
  for (const id of ['often', 'once', 'well']) {
    const { authentication } = await api.devices.create(id);
    keys.set(id, authentication.symmetricKey.primaryKey ?? '');
  }
  const otherKey = Buffer.alloc(32, 7).toString('base64');
  for (const [id, times] of [
    ['often', 3],
    ['once', 1],
    ['none <b>', 2],
  ] as const) {
    for (let at = 0; at < times; at++) (await connect(id, otherKey)).destroy();
  }
  for (const id of ['once', 'often', 'once']) (await connect(id, keys.get(id) ?? '')).destroy();
  const well = await connect('well', keys.get('well') ?? '');
  const json = { methodName: 'reboot', responseTimeoutInSeconds: 5 };
  assert.equal((await owner.fetch('/portal/api/twins/once/methods', { method: 'POST', json })).status, 404);
  const told = async (id: string) => {
    const answer = await owner.fetch(`/portal/api/mooring/v1/refusals?deviceId=${encodeURIComponent(id)}`);
    return ((await answer.json()) as RefusalsJson).refusals;
  };
  await until('all are told', async () => {
    const answer = await owner.fetch('/portal/api/mooring/v1/connections?deviceId=once');
    const { events } = (await answer.json()) as { events: { type: string }[] };
    const refusedOften = (await told('often')).reduce((sum, { count }) => sum + count, 0);
    return (
      refusedOften === 3 &&
      (await told('once')).length >= 2 &&
      events.filter(({ type }) => type === 'disconnected').length === 2
    );
  });
  const answer = await owner.fetch('/portal/api/mooring/v1/worst-devices');
  assert.equal(answer.status, 200, await answer.clone().text());
  const { refused, dropped, silent, queues } = (await answer.json()) as WorstDevicesJson;
  const ofRegistered = refused.filter(({ deviceId }) => keys.has(deviceId));
  assert.deepEqual(
    ofRegistered.map(({ deviceId, count, reason }) => [deviceId, count, reason]),
    [
      ['often', 3, 'wrong-key'],
      ['once', 1, 'wrong-key'],
    ],
  );
  assert.deepEqual(
    dropped.map(({ deviceId, count, reason }) => [deviceId, count, reason]),
    [
      ['once', 2, 'connection-lost'],
      ['often', 1, 'connection-lost'],
    ],
  );
  assert.deepEqual([silent, queues], [[], []]);
  well.destroy();

  const reader = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryRead });
  assert.equal((await reader.fetch('/portal/api/mooring/v1/worst-devices')).status, 401);
  api.close();
});
