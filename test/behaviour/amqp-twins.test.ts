/** Twins and methods of devices and modules over AMQP (device reference 3.6 and 3.7), several on one connection among them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import rhea, { type Message } from 'rhea';
import { VirtualClock } from '../../src/base/clock.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import { readTwinChange } from '../../src/core/twins/rules.ts';
import { AmqpDriver, bodyText, type DriverReceiver, type DriverSender } from '../drivers/amqp.ts';
import { type AmqpTestHub, openAmqpTestHub, type TestDevice } from '../drivers/amqp-door.ts';
import { owner } from '../drivers/owner.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors of types
const { message: messages, types } = rhea as any;

const data = (text: string | Buffer): unknown => messages.data_section(Buffer.from(text));
const REPORTED = '/properties/reported';
const DESIRED = '/notifications/twin/properties/desired';
const patient = new AbortController().signal;

interface TwinPair {
  readonly requests: DriverSender;
  readonly answers: DriverReceiver;
  /** Sends a request and awaits its answer, which must be the next message. */
  ask(
    operation: string,
    more?: { readonly resource?: string; readonly body?: string; readonly version?: unknown },
  ): Promise<TwinAnswer>;
}

interface TwinAnswer {
  readonly status: unknown;
  readonly version: unknown;
  readonly text: string;
}

let correlation = 0;

async function twinPair(client: AmqpDriver, device: TestDevice, id = `twin:${++correlation}`): Promise<TwinPair> {
  const properties = { 'com.microsoft:channel-correlation-id': id };
  const answers = client.receive(device.address('twin'), { properties, snd_settle_mode: 1 });
  const requests = client.send(device.address('twin'), { properties, snd_settle_mode: 1 });
  await Promise.all([answers.opened(), requests.opened()]);
  answers.credit(100);
  return {
    requests,
    answers,
    async ask(operation, { resource, body = ' ', version } = {}) {
      const correlationId = `c${++correlation}`;
      requests.link.send({
        correlation_id: correlationId,
        message_annotations: { operation, ...(resource && { resource }), ...(version !== undefined && { version }) },
        body: data(body),
      } as unknown as Message);
      const answer = await answers.next();
      assert.equal(answer.correlation_id, correlationId);
      const { status, version: answered } = answer.message_annotations ?? {};
      return { status, version: answered, text: bodyText(answer) };
    },
  };
}

async function connected(hub: AmqpTestHub, ...devices: readonly TestDevice[]): Promise<AmqpDriver> {
  const client = await AmqpDriver.connect(hub.port, {});
  for (const device of devices) await client.putToken(device.token(), device.resource);
  return client;
}

const desire = (hub: AmqpTestHub, key: IdentityKey, desired: unknown) =>
  hub.hub.twins.change(owner, key, readTwinChange(Buffer.from(JSON.stringify({ properties: { desired } })), 'merge'));

const invoke = (hub: AmqpTestHub, key: IdentityKey, name: string, payload?: string, connectMs = 0) =>
  hub.hub.methods.invoke(
    owner,
    key,
    { name, ...(payload !== undefined && { payload }), responseMs: 5000, connectMs },
    patient,
  );

for (const moduleId of [undefined, 'm1']) {
  const who = moduleId === undefined ? 'device' : 'module';
  const key = moduleId === undefined ? { deviceId: 'd1' } : { deviceId: 'd1', moduleId };

  test(`${who}: reads, reports and is refused over its twin links`, async () => {
    await using hub = await openAmqpTestHub();
    const device = await hub.device('d1', moduleId);
    const client = await connected(hub, device);
    const { ask, requests, answers } = await twinPair(client, device);
    const fresh = await ask('GET');
    assert.deepEqual(
      [fresh.status, JSON.parse(fresh.text)],
      [200, { desired: { $version: 1 }, reported: { $version: 1 } }],
    );
    const patched = await ask('PATCH', { resource: REPORTED, body: '{"a":{"b":1}}' });
    assert.deepEqual([patched.status, Number(patched.version), patched.text], [204, 2, '']);
    const refused = await ask('PATCH', { resource: REPORTED, body: '{"good":1,"$bad":2}' });
    assert.deepEqual([refused.status, JSON.parse(refused.text).errorCode], [400, 400004]);
    const stale = await ask('PATCH', { resource: REPORTED, body: '{"a":2}', version: types.wrap_long(9) });
    assert.equal(stale.status, 412);
    const none = await ask('PATCH', { resource: REPORTED, body: '{"a":2}', version: types.wrap_long(-1) });
    assert.equal(none.status, 412, 'a version that no section has is a condition all the same');
    assert.equal(
      (await ask('PATCH', { resource: REPORTED, body: '{"c":1}', version: types.wrap_long(2) })).status,
      204,
    );
    assert.equal((await ask('PATCH', { resource: '/properties/desired', body: '{}' })).status, 400);
    assert.equal((await ask('POST')).status, 400);
    // Java's correlation id is a UUID, which must come back as one.
    const id = Buffer.alloc(16, 5);
    requests.link.send({
      correlation_id: types.wrap_uuid(id),
      message_annotations: { operation: 'GET' },
      body: data(''),
    } as unknown as Message);
    const answer = await answers.next();
    assert.deepEqual(answer.correlation_id, id);
    assert.deepEqual(JSON.parse(bodyText(answer)).reported, { a: { b: 1 }, c: 1, $version: 3 });
    await client.close();
  });

  test(`${who}: is told of desired properties from PUT to DELETE, in order, without a correlation id`, async () => {
    await using hub = await openAmqpTestHub();
    const device = await hub.device('d1', moduleId);
    const client = await connected(hub, device);
    const { ask, answers } = await twinPair(client, device);
    await desire(hub, key, { before: 1 });
    assert.equal((await ask('PUT', { resource: DESIRED })).status, 200);
    await desire(hub, key, { a: 1, before: null });
    await desire(hub, key, { b: { c: [1] } });
    for (const [version, patch] of [
      [3, { a: 1, before: null }],
      [4, { b: { c: [1] } }],
    ] as const) {
      const pushed = await answers.next();
      assert.equal(pushed.correlation_id, undefined);
      assert.deepEqual(JSON.parse(bodyText(pushed)), { ...patch, $version: version });
    }
    assert.equal((await ask('DELETE', { resource: DESIRED })).status, 200);
    await desire(hub, key, { unheard: 1 });
    assert.equal((await ask('GET')).status, 200, 'nothing else comes before the answer');
    await client.close();
  });

  test(`${who}: methods reach it over its method links and are answered`, async () => {
    await using hub = await openAmqpTestHub();
    const device = await hub.device('d1', moduleId);
    const client = await connected(hub, device);
    const waiting = invoke(hub, key, 'patience', '"early"', 20_000);
    const calls = client.receive(device.address('methods/devicebound'), { snd_settle_mode: 1 });
    const responses = client.send(device.address('methods/devicebound'), { snd_settle_mode: 1 });
    await Promise.all([calls.opened(), responses.opened()]);
    calls.credit(10);
    const answer = async (status: number, body: string): Promise<readonly [name: unknown, body: string]> => {
      const call = await calls.next();
      assert.ok(Buffer.isBuffer(call.correlation_id) && call.correlation_id.length === 16, 'the C SDK needs a UUID');
      const correlation_id = types.wrap_uuid(call.correlation_id);
      responses.link.send({
        correlation_id,
        application_properties: { 'IoThub-status': types.wrap_int(status) },
        body: data(body),
      } as unknown as Message);
      return [call.application_properties?.['IoThub-methodname'], bodyText(call)];
    };
    assert.deepEqual(await answer(200, '{"a":1.0}'), ['patience', '"early"']);
    assert.deepEqual(await waiting, { status: 200, payload: '{"a":1.0}' });
    for (const payload of ['null', '""', '{"k":"v"}', undefined]) {
      const given = invoke(hub, key, 'reboot', payload);
      assert.deepEqual(await answer(-7, payload ?? ''), ['reboot', payload ?? '']);
      assert.deepEqual(await given, { status: -7, payload: payload ?? 'null' });
    }
    responses.link.send({ correlation_id: 'unknown', body: data('{}') } as unknown as Message);
    const lost = assert.rejects(invoke(hub, key, 'lost'), { code: 'DeviceConnectionClosedRemotely' });
    await calls.next();
    await client.close();
    await lost;
    await assert.rejects(invoke(hub, key, 'gone'), { code: 'DeviceNotOnline' });
  });
}

test('devices that share a connection have their own answers, changes and methods', async () => {
  await using hub = await openAmqpTestHub();
  const names = ['d1', 'd2', 'd3'];
  const devices = await Promise.all(names.map((name) => hub.device(name)));
  const client = await connected(hub, ...devices);
  const pairs = await Promise.all(devices.map((device) => twinPair(client, device)));
  const calls = devices.map((device) => client.receive(device.address('methods/devicebound'), { snd_settle_mode: 1 }));
  await Promise.all(calls.map((link) => link.opened()));
  for (const link of calls) link.credit(10);
  await Promise.all(pairs.map((pair) => pair.ask('PUT', { resource: DESIRED })));
  await Promise.all(
    pairs.map(async (pair, at) => {
      const answer = await pair.ask('PATCH', { resource: REPORTED, body: `{"me":"${names[at]}"}` });
      assert.equal(answer.status, 204);
    }),
  );
  await Promise.all(names.map((deviceId) => desire(hub, { deviceId }, { you: deviceId })));
  for (const [at, pair] of pairs.entries()) {
    assert.deepEqual(JSON.parse(bodyText(await pair.answers.next())), { you: names[at], $version: 2 });
    assert.deepEqual(JSON.parse((await pair.ask('GET')).text).reported, { me: names[at], $version: 2 });
  }
  for (const [at, deviceId] of names.entries()) {
    invoke(hub, { deviceId }, `for-${deviceId}`).catch(() => {});
    assert.equal((await calls[at].next()).application_properties?.['IoThub-methodname'], `for-${deviceId}`);
  }
  // One that detaches its receiver is told nothing more; the others are.
  pairs[0].answers.link.close();
  await pairs[0].answers.ending();
  await Promise.all(names.map((deviceId) => desire(hub, { deviceId }, { again: deviceId })));
  for (const at of [1, 2]) assert.equal(JSON.parse(bodyText(await pairs[at].answers.next())).again, names[at]);
  await client.close();
});

test('a device that gives no credit costs nothing, is told all when it does, and is dropped after too much', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const key = { deviceId: 'd1' };
  const again = await connected(hub, device);
  const properties = { 'com.microsoft:channel-correlation-id': 'slow' };
  const slow = again.receive(device.address('twin'), { properties, snd_settle_mode: 1 });
  const requests = again.send(device.address('twin'), { properties, snd_settle_mode: 1 });
  await Promise.all([slow.opened(), requests.opened()]);
  const message_annotations = { operation: 'PUT', resource: DESIRED };
  requests.link.send({ correlation_id: 'put', message_annotations, body: data(' ') } as unknown as Message);
  slow.credit(1);
  assert.equal((await slow.next()).correlation_id, 'put');
  for (let n = 1; n <= 10; n++) await desire(hub, key, { n });
  slow.credit(10);
  for (let n = 1; n <= 10; n++) assert.equal(JSON.parse(bodyText(await slow.next())).n, n);
  for (let n = 1; n <= 40; n++) await desire(hub, key, { n });
  slow.credit(1);
  assert.ok((await slow.ending()).condition !== undefined, 'it has missed more than the hub remembers');
  await again.close();
});

test('a device that takes its methods one after the other has no more time for them than their callers', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock });
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const calls = client.receive(device.address('methods/devicebound'), { snd_settle_mode: 1 });
  await calls.opened();
  const ends = ['m1', 'm2', 'm3', 'm4'].map((name) =>
    assert.rejects(invoke(hub, { deviceId: 'd1' }, name), { code: 'GatewayTimeout' }),
  );
  for (const name of ['m1', 'm2', 'm3']) {
    calls.credit(1);
    assert.equal((await calls.next()).application_properties?.['IoThub-methodname'], name);
    clock.advance(1500);
  }
  calls.credit(1);
  await calls.next();
  clock.advance(200);
  assert.notEqual(await Promise.race([Promise.all(ends), sleep(1000, 'late')]), 'late');
  await client.close();
});

test('a subscription is answered only when every change behind that will be pushed', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const pair = await twinPair(client, device);
  const reading = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const { ownVersion } = hub.hub.twins;
  Object.assign(hub.hub.twins, {
    async ownVersion(...args: Parameters<typeof ownVersion>) {
      const version = await ownVersion(...args);
      reading.resolve();
      await held.promise;
      return version;
    },
  });
  let isAnswered = false;
  const asked = pair.ask('PUT', { resource: DESIRED }).then(({ status }) => {
    isAnswered = true;
    return status;
  });
  await reading.promise;
  await desire(hub, { deviceId: 'd1' }, { n: 1 });
  await sleep(50);
  assert.equal(isAnswered, false);
  held.resolve();
  assert.equal(await asked, 200);
  assert.deepEqual(JSON.parse(bodyText(await pair.answers.next())), { n: 1, $version: 2 });
  await client.close();
});

test('a hub that stops answers the twin requests that it has taken, and ends the connection then', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const client = await connected(hub, device);
  const pair = await twinPair(client, device);
  const reading = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const { readOwn } = hub.hub.twins;
  Object.assign(hub.hub.twins, {
    async readOwn(...args: Parameters<typeof readOwn>) {
      reading.resolve();
      await held.promise;
      return readOwn(...args);
    },
  });
  let isEnded = false;
  const ended = client.ended.then(({ condition }) => {
    isEnded = true;
    return condition;
  });
  const asked = pair.ask('GET');
  await reading.promise;
  const stopped = hub.door.drain();
  await sleep(50);
  assert.equal(isEnded, false);
  held.resolve();
  assert.equal((await asked).status, 200);
  assert.equal(await ended, 'amqp:connection:forced');
  await stopped;
});
