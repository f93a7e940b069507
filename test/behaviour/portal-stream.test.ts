/** What a page of the portal is told while it is open: the hub, its devices' messages, and what was before. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { limits } from '../../src/base/limits.ts';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { MonitoringReader } from '../drivers/monitoring.ts';
import { connectPacket, MqttDriver, publishPacket } from '../drivers/mqtt.ts';
import { openStream, type PortalSession, type StreamedEvent, signIn } from '../drivers/portal.ts';
import { connectDevice } from '../drivers/portal-device.ts';
import { until } from '../drivers/until.ts';

let hub: TestHub;
let api: ApiClient;
let owner: PortalSession;

before(async () => {
  hub = await startHub({ args: ['--mqtt-port', '0'] });
  api = apiOf(hub);
  owner = await signIn(hub);
});
after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

async function connected(deviceId: string): Promise<MqttDriver> {
  const device = await api.devices.create(deviceId);
  const key = device.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({
    resource: `localhost/devices/${encodeURIComponent(deviceId)}`,
    key,
    expiresAt: Date.now() + 3_600_000,
  });
  const driver = await MqttDriver.open({ port: hub.endpoints.ports.mqtt as number });
  driver.send(
    connectPacket({
      clientId: deviceId,
      username: `localhost/${deviceId}/?api-version=2021-04-12`,
      password: Buffer.from(token),
    }),
  );
  assert.equal((await driver.next()).cmd, 'connack');
  return driver;
}

async function publish(driver: MqttDriver, deviceId: string, body: string | Buffer, bag = ''): Promise<void> {
  driver.send(
    publishPacket({ topic: `devices/${deviceId}/messages/events/${bag}`, payload: body, qos: 1, messageId: 7 }),
  );
  assert.equal((await driver.next()).cmd, 'puback');
}

type Shown = Readonly<Record<string, unknown>> & { readonly body: string };
const shown = ({ data }: StreamedEvent): readonly Shown[] => data.events as readonly Shown[];
const isTelemetry = ({ event, data }: StreamedEvent): boolean => event === 'telemetry' && data.recent === false;

test('a page sees the messages of its device as they come, as text or bytes, and no other device’s', async () => {
  const id = "d$1'(x)";
  const [device, other] = [await connected(id), await connected('other-1')];
  await publish(device, id, 'before');
  await using stream = await openStream(owner, [`device:${id}`]);
  const recent = await stream.next(({ event }) => event === 'telemetry');
  assert.equal(recent.data.recent, true);
  assert.deepEqual(
    shown(recent).map(({ body }) => body),
    ['before'],
  );

  await publish(other, 'other-1', 'not for this page');
  await publish(device, id, '{"t":21}', '$.ct=application%2Fjson&$.ce=utf-8&%3Cb%3E=%22x');
  const told = await stream.next(isTelemetry);
  assert.equal(told.data.deviceId, id);
  const [event] = shown(told);
  assert.equal(event.body, '{"t":21}');
  assert.equal(event.contentType, 'application/json');
  assert.deepEqual(event.properties, [['<b>', '"x']]);
  assert.equal(event.bodyEncoding, 'utf8');
  assert.ok(Math.abs(Number(event.enqueuedTime) - Date.now()) < 60_000);

  const seen = stream.events.length;
  await publish(device, id, Buffer.from([0xff, 0x00, 0xfe]));
  const bytes = shown(await stream.next(isTelemetry, seen))[0];
  assert.deepEqual([bytes.body, bytes.bodyEncoding, bytes.bytes], ['/wD+', 'base64', 3]);
  const cutAt = stream.events.length;
  // A character of three bytes lies over the cut.
  await publish(device, id, '€'.repeat(limits.portalBodyBytesMax));
  const cut = shown(await stream.next(isTelemetry, cutAt))[0];
  assert.deepEqual([cut.truncated, cut.bytes], [true, 3 * limits.portalBodyBytesMax]);
  assert.match(cut.body, /^€+$/);
  assert.equal(
    stream.events
      .filter(isTelemetry)
      .flatMap(shown)
      .some(({ body }) => body.includes('not for')),
    false,
  );
  device.socket.destroy();
  other.socket.destroy();
});

test('a page that comes again goes on behind the last message it has', async () => {
  const device = await connected('again-1');
  for (const body of ['1', '2', '3']) await publish(device, 'again-1', body);
  let last: unknown;
  {
    await using stream = await openStream(owner, ['device:again-1']);
    const told = await stream.next(({ event }) => event === 'telemetry');
    assert.deepEqual(
      shown(told).map(({ body }) => body),
      ['1', '2', '3'],
    );
    last = told.data.lastSequence;
  }
  for (const body of ['4', '5']) await publish(device, 'again-1', body);
  await using stream = await openStream(owner, [`device@${last}:again-1`]);
  const told = await stream.next(({ event }) => event === 'telemetry');
  assert.deepEqual([told.data.leftOut, told.data.skipped], [0, false]);
  assert.deepEqual(
    shown(told).map(({ body }) => body),
    ['4', '5'],
  );
  device.socket.destroy();
});

test('of many messages a sample is shown, and nothing is left uncounted', async () => {
  const device = await connected('many-1');
  await using stream = await openStream(owner, ['device:many-1', 'telemetry']);
  await stream.next(({ event }) => event === 'hello');
  await publish(device, 'many-1', 'first');
  await stream.next(isTelemetry);
  const count = 3000;
  const packets = Array.from({ length: count }, (_, at) =>
    publishPacket({
      topic: 'devices/many-1/messages/events/',
      payload: `m${at}`,
      qos: 1,
      messageId: (at % 60_000) + 1,
    }),
  );
  for (const packet of packets) device.send(packet);
  const counted = (): number =>
    stream.events.filter(isTelemetry).reduce((sum, told) => sum + shown(told).length + Number(told.data.leftOut), 0);
  await until('all are counted', () => counted() >= count + 1);
  assert.equal(counted(), count + 1);
  const most = Math.max(...stream.events.filter(isTelemetry).map((told) => shown(told).length));
  assert.ok(most <= limits.portalEventsPerTickMax, `${most} in one tick`);
  const all = stream.events.filter(isTelemetry).flatMap(shown);
  assert.ok(
    all.some(({ body }) => body === `m${count - 1}`),
    'the newest is shown',
  );
  const fleet = await stream.next(({ event }) => event === 'fleet');
  assert.equal(shown(fleet)[0].deviceId, 'many-1');
  device.socket.destroy();
});

test('topics of an open stream are changed by its own session, and a topic that its policy may not read is refused', async () => {
  await using stream = await openStream(owner, ['overview']);
  const hello = await stream.next(({ event }) => event === 'hello');
  const overview = await stream.next(({ event }) => event === 'overview');
  assert.equal(overview.data.ready, true);
  assert.equal(typeof overview.data.connected, 'number');
  assert.equal(overview.data.retentionDays, 1);
  const { oldestEventTime } = overview.data;
  assert.ok(oldestEventTime === null || Math.abs(Number(oldestEventTime) - Date.now()) < 60_000, `${oldestEventTime}`);
  const change = (session: PortalSession, json: object) =>
    session.fetch(`/portal/stream/${hello.data.stream}`, { method: 'POST', json });
  assert.equal((await change(owner, { topics: ['monitoring'] })).status, 204);
  const seen = stream.events.length;
  await api.devices.create('told-1');
  const told = await stream.next(({ event }) => event === 'monitoring', seen);
  assert.ok(shown(told).some(({ type, deviceId }) => type === 'identityCreated' && deviceId === 'told-1'));
  for (const topics of [
    'x',
    ['x'],
    ['device:'],
    ['device:a b'],
    [1],
    Array(limits.portalTopicsMax + 1).fill('overview'),
  ]) {
    assert.equal((await change(owner, { topics })).status, 400, JSON.stringify(topics));
  }
  const reader = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryRead });
  assert.equal((await change(reader, { topics: [] })).status, 404, 'another session’s stream');
  await using poor = await openStream(reader, ['device:told-1', 'telemetry', 'monitoring', 'overview']);
  await poor.next(({ event }) => event === 'overview');
  await until('three are refused', () => poor.events.filter(({ event }) => event === 'refused').length === 3);
  for (const { event, data } of poor.events) {
    if (event === 'refused') assert.equal(data.code, 'IotHubUnauthorizedAccess');
  }
});

test('what happened before a page was opened is had once, as its stream would have told it, by who may read that', async () => {
  const device = await connected('past-1');
  await publish(device, 'past-1', 'so that there is an event');
  await using stream = await openStream(owner, ['monitoring', 'overview']);
  await stream.next(({ event }) => event === 'hello');
  await api.devices.delete('past-1');
  const told = await stream.next(
    ({ event, data }) => event === 'monitoring' && JSON.stringify(data).includes('identityDeleted'),
  );
  const live = shown(told).find(({ type }) => type === 'identityDeleted');
  device.socket.destroy();

  const ask = async (session: PortalSession, query: string) => {
    const answer = await session.fetch(`/portal/recent${query}`);
    return { status: answer.status, body: (await answer.json()) as { readonly events?: readonly object[] } };
  };
  let events: readonly object[] = [];
  await until('it is stored', async () => {
    events = (await ask(owner, '')).body.events ?? [];
    return events.some((event) => JSON.stringify(event) === JSON.stringify(live));
  });
  assert.ok(events.length > 3 && events.length <= limits.portalEventsPerTickMax);
  const typeOf = (event: object): unknown => (event as { readonly type: unknown }).type;
  assert.ok(events.map(typeOf).indexOf('identityCreated') < events.map(typeOf).lastIndexOf('identityDeleted'));
  const { body } = await ask(owner, '?top=2');
  assert.equal(body.events?.length, 2);
  for (const query of ['?top=0', '?top=51', '?top=x', '?other=1']) assert.equal((await ask(owner, query)).status, 400);
  const reader = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.registryRead });
  assert.equal((await ask(reader, '')).status, 401);
  const overview = await stream.next(({ event, data }) => event === 'overview' && data.oldestEventTime !== null);
  assert.ok(Math.abs(Number(overview.data.oldestEventTime) - Date.now()) < 120_000);
});

test('what one caller does many times is one entry for a page, with its count; the monitoring stream has each', async () => {
  const MANY = 120;
  await using reader = await MonitoringReader.open(hub);
  for (let n = 0; n < MANY; n++) await api.devices.create(`often-${n}`);
  await using stream = await openStream(owner, ['monitoring']);
  await stream.next(({ event }) => event === 'hello');
  for (let from = 0; from < MANY; from += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, n) => api.devices.delete(`often-${from + n}`)));
  }
  const countOf = (events: readonly Record<string, unknown>[], type: string): number =>
    events.filter((event) => event.type === type).reduce((sum, { count = 1 }) => sum + Number(count), 0);
  const told = () => stream.events.filter(({ event }) => event === 'monitoring').flatMap((each) => [...shown(each)]);
  await until('all are counted', () => countOf(told(), 'identityDeleted') === MANY);
  // A stream that has just ended may have left some of the creations to this one.
  await until('all that was done is counted', () => countOf(told(), 'operationDone') >= MANY);
  assert.ok(told().length < MANY, `${told().length} entries for ${2 * MANY} events`);
  await until('each is in the stream', () => reader.audit().length >= 2 * MANY);

  const answer = await owner.fetch('/portal/recent?top=5');
  const { events } = (await answer.json()) as { events: Record<string, unknown>[] };
  assert.ok(events.length <= 5);
  const deleted = events.find(({ type }) => type === 'identityDeleted');
  // Another test may have deleted one shortly before.
  assert.ok(Number(deleted?.count) >= MANY);
  assert.ok(Date.parse(String(deleted?.first)) <= Date.parse(String(deleted?.last)));
});

test('streams are bounded, and end with their session', async () => {
  const session = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.iothubowner });
  const streams = await Promise.all(
    Array.from({ length: limits.portalStreamsPerSessionMax }, () => openStream(session, [])),
  );
  const refused = await session.fetch('/portal/stream');
  assert.equal(refused.status, 429);
  assert.equal((await session.fetch('/portal/session', { method: 'DELETE' })).status, 204);
  for (const stream of streams) {
    const end = await stream.next(({ event }) => event === 'end');
    assert.equal(end.data.code, 'signed-out');
    await stream.ended;
  }
  assert.equal((await session.fetch('/portal/stream')).status, 401);
});

test('the history answers for a time, and one that the policy may not read is refused', async () => {
  const answer = await owner.fetch(`/portal/history?from=${Date.now() - 3_600_000}&points=60`);
  assert.equal(answer.status, 200);
  const { stepMs, series } = (await answer.json()) as { stepMs: number; series: Record<string, unknown[]> };
  assert.ok(stepMs >= 60_000);
  assert.ok(series.messagesIn.length <= 61);
  assert.equal((await owner.fetch('/portal/history?from=x')).status, 400);
  assert.equal((await owner.fetch('/portal/history?points=1000000')).status, 400);
  const service = await signIn(hub, { connectionString: hub.endpoints.connectionStrings.service });
  assert.equal((await service.fetch('/portal/history')).status, 401);
});

test('the overview counts what comes in, what readers get, and what is refused', async () => {
  const device = await connected('rates-1');
  await using stream = await openStream(owner, ['overview']);
  await stream.next(({ event }) => event === 'overview');
  const reading = runMooring(['monitor', 'events', '--data-dir', hub.dataDir, '--from', 'start', '--count', '5'], {});
  const wrong = { method: 'POST', headers: { authorization: 'Bearer wrong' } };
  await fetch(`${owner.base}/portal/codes`, wrong);
  const told = (name: string) =>
    until(`${name} is told`, async () => {
      await publish(device, 'rates-1', 'x');
      return stream.events.some(({ data }) => typeof data[name] === 'number' && Number(data[name]) > 0);
    });
  for (const name of ['messagesIn', 'bytesIn', 'messagesOut', 'refused', 'latencyP50', 'latencyP99', 'diskFree']) {
    await told(name);
  }
  await reading;
  device.socket.destroy();
});

test('with two threads a page sees the hub as with one: messages, connections, the overview', async () => {
  await using own = await startHub({ args: ['--mqtt-port', '0', '--threads', '2'] });
  const client = apiOf(own);
  const session = await signIn(own);
  const devices = await Promise.all(['t-1', 't-2', 't-3'].map((id) => connectDevice(own, client, id)));
  await using stream = await openStream(session, [
    'overview',
    'monitoring',
    ...devices.map(({ id }) => `device:${id}`),
  ]);
  await stream.next(({ event, data }) => event === 'overview' && data.connected === devices.length);
  for (const device of devices) {
    await device.send(`{"from":"${device.id}"}`);
    const told = await stream.next(({ event, data }) => event === 'telemetry' && data.deviceId === device.id);
    assert.equal(shown(told)[0].body, `{"from":"${device.id}"}`);
  }
  for (const { id } of devices) {
    const answer = await session.fetch(`/portal/api/mooring/v1/connections?deviceId=${id}`);
    const { events } = (await answer.json()) as { events: readonly { type: string }[] };
    assert.deepEqual(
      events.map(({ type }) => type),
      ['connected'],
    );
  }
  for (const device of devices) device.close();
  await stream.next(({ event, data }) => event === 'overview' && data.connected === 0, stream.events.length);
  client.close();
});
