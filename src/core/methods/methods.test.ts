import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { DeviceConnection } from '../devices/connection.ts';
import type { DeviceHub } from '../devices/types.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { DevicePrincipal, IdentityKey, Principal } from '../identity/types.ts';
import type { PresenceTicket } from '../presence/ports.ts';
import { createPresence } from '../presence/presence.ts';
import type { ConnectionClaim } from '../presence/types.ts';
import { createMethods } from './methods.ts';
import { MethodReceiver } from './receiver.ts';
import type { MethodCall, MethodRequest } from './types.ts';

const owner: Principal = {
  kind: 'policy',
  policyName: 'service',
  permissions: new Set(['ServiceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};
const d1: IdentityKey = { deviceId: 'd1' };
const patient = new AbortController().signal;
const request = (change: Partial<MethodRequest> = {}): MethodRequest => ({
  ...{ name: 'reboot', payload: '{"a":1.0}', responseMs: 5000, connectMs: 0 },
  ...change,
});
/** Lets everything that waits for no timer go on. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

function bench() {
  const clock = new VirtualClock();
  const presence = createPresence({ places: createMemoryPlaces(), clock });
  const known = new Set(['d1', 'd2']);
  const identities = {
    get: async ({ deviceId, moduleId }: IdentityKey) => (known.has(deviceId) && !moduleId ? {} : undefined),
  };
  const { methods, connected, totals } = createMethods({
    guard: createGuard(clock, silentAudit),
    identities,
    presence,
    clock,
  });
  const hub = {
    admission: {
      async claim(_principal: Principal, claim: ConnectionClaim): Promise<PresenceTicket> {
        const ticket = await presence.claim(claim);
        connected(claim.key);
        return ticket;
      },
    },
    events: { ready: () => undefined },
    clock,
  } as unknown as DeviceHub;

  /** A device that is connected; it listens only once it is told to. */
  async function connect(key: IdentityKey = d1) {
    const principal: DevicePrincipal = {
      ...{ kind: 'device', key, generationId: 'g1', expiresAt: Number.POSITIVE_INFINITY },
      ...{ authScope: 'device', authType: 'sas' },
    };
    const asked: { readonly id: number; readonly call: MethodCall }[] = [];
    const state = { listens: false, hasSpace: true };
    const receiver = new MethodReceiver(clock, seededRandom(asked.length + 1), {
      listens: () => state.listens,
      hasSpace: () => state.hasSpace,
      write: (id, call) => asked.push({ id, call }) > 0,
    });
    const connection = new DeviceConnection(
      hub,
      principal,
      { protocol: 'mqtt', peer: '' },
      {
        drop: () => {},
        commandsWait: () => {},
        invoke: (call, signal, begins) => receiver.invoke(call, signal, begins),
      },
    );
    await connection.enter();
    const listen = (): void => {
      state.listens = true;
      receiver.proceed();
    };
    return { connection, receiver, asked, state, listen };
  }
  return { clock, presence, methods, underWay: () => totals.underWay, connect };
}

test('a device that listens is asked once, and its answer comes back as it wrote it', async () => {
  const { methods, underWay, connect } = bench();
  const device = await connect();
  device.listen();
  const given = methods.invoke(owner, d1, request(), patient);
  await settled();
  assert.deepEqual(
    device.asked.map(({ call }) => [call.name, call.payload]),
    [['reboot', '{"a":1.0}']],
  );
  device.receiver.answered(device.asked[0].id, 201, Buffer.from(' {"big":12345678901234567890} '));
  assert.deepEqual(await given, { status: 201, payload: '{"big":12345678901234567890}' });
  const silent = methods.invoke(owner, d1, request({ payload: undefined }), patient);
  await settled();
  assert.equal(device.asked[1].call.payload, undefined);
  device.receiver.answered(device.asked[1].id, 0, Buffer.alloc(0));
  assert.deepEqual(await silent, { status: 0, payload: 'null' });
  assert.equal(underWay(), 0);
});

test('without a device, or one that listens, the answer is 404103 at once', async () => {
  const { methods, connect } = bench();
  const notOnline = { code: 'DeviceNotOnline', message: /Timed out waiting for device to connect/ };
  await assert.rejects(methods.invoke(owner, d1, request(), patient), notOnline);
  await connect();
  await assert.rejects(methods.invoke(owner, d1, request(), patient), notOnline);
});

test('with a connect timeout the hub waits for the device to connect and to listen', async () => {
  const { clock, methods, connect } = bench();
  const given = methods.invoke(owner, d1, request({ connectMs: 20_000 }), patient);
  await settled();
  clock.advance(5000);
  const first = await connect();
  await settled();
  // It leaves before it listens: certainly not asked, so the wait goes on.
  first.connection.release('connection-lost');
  await settled();
  clock.advance(5000);
  const device = await connect();
  await settled();
  assert.equal(device.asked.length, 0);
  device.listen();
  assert.equal(device.asked.length, 1);
  device.receiver.answered(device.asked[0].id, 200, Buffer.from('1'));
  assert.deepEqual(await given, { status: 200, payload: '1' });
  assert.equal(first.asked.length, 0);

  const late = methods.invoke(owner, { deviceId: 'd2' }, request({ connectMs: 20_000 }), patient);
  const refused = assert.rejects(late, {
    code: 'DeviceNotOnline',
    message: 'Timed out waiting for device to connect.',
  });
  await settled();
  const silent = await connect({ deviceId: 'd2' });
  await settled();
  clock.advance(20_000);
  await refused;
  silent.listen();
  assert.equal(silent.asked.length, 0, 'it is not asked any more');
});

test('no answer in time is 504101, a little before the time is over; a late answer is dropped', async () => {
  const { clock, methods, connect } = bench();
  const device = await connect();
  device.listen();
  const given = methods.invoke(owner, d1, request(), patient);
  const timedOut = assert.rejects(given, { code: 'GatewayTimeout' });
  await settled();
  clock.advance(5000 - limits.methodAnswerEarlyMs);
  await timedOut;
  const next = methods.invoke(owner, d1, request(), patient);
  await settled();
  device.receiver.answered(device.asked[0].id, 200, Buffer.from('"late"'));
  device.receiver.answered(device.asked[1].id, 200, Buffer.from('"right"'));
  assert.deepEqual(await next, { status: 200, payload: '"right"' });
});

test('a device that goes after it was asked is 404104, and is not asked again when it comes back', async () => {
  const { clock, methods, connect } = bench();
  const device = await connect();
  device.listen();
  const given = methods.invoke(owner, d1, request({ connectMs: 60_000 }), patient);
  const gone = assert.rejects(given, { code: 'DeviceConnectionClosedRemotely' });
  await settled();
  const newer = await connect();
  device.connection.release('taken-over');
  newer.listen();
  await gone;
  clock.advance(120_000);
  assert.equal(newer.asked.length, 0);
});

test('a caller that goes ends its call; a device that does not read is asked when it does', async () => {
  const { methods, connect } = bench();
  const device = await connect();
  device.state.hasSpace = false;
  device.listen();
  const caller = new AbortController();
  const given = methods.invoke(owner, d1, request(), caller.signal);
  const stays = methods.invoke(owner, d1, request({ name: 'other' }), patient);
  await settled();
  assert.equal(device.asked.length, 0);
  caller.abort(new Error('gone'));
  await assert.rejects(given, { message: 'gone' });
  device.state.hasSpace = true;
  device.receiver.proceed();
  assert.deepEqual(
    device.asked.map(({ call }) => call.name),
    ['other'],
  );
  device.receiver.answered(device.asked[0].id, 200, Buffer.from('x'));
  await assert.rejects(stays, { code: 'BadDeviceResponse' });
});

test('names, sizes, times and targets are checked, and calls are bounded per device', async () => {
  const { methods, underWay, connect } = bench();
  const refused: readonly (readonly [string, Partial<MethodRequest>])[] = [
    ['ArgumentInvalid', { name: '' }],
    ['ArgumentInvalid', { name: 'a/b' }],
    ['ArgumentInvalid', { name: 'a b' }],
    ['ArgumentInvalid', { name: 'ü' }],
    ['ArgumentInvalid', { name: 'x'.repeat(101) }],
    ['ArgumentInvalid', { responseMs: 4999 }],
    ['ArgumentInvalid', { responseMs: 300_001 }],
    ['ArgumentInvalid', { connectMs: -1 }],
    ['ArgumentInvalid', { connectMs: Number.NaN }],
    ['MessageTooLarge', { payload: `"${'x'.repeat(limits.methodBytesMax)}"` }],
  ];
  for (const [code, change] of refused)
    await assert.rejects(methods.invoke(owner, d1, request(change), patient), { code });
  await assert.rejects(methods.invoke(owner, { deviceId: 'd9' }, request(), patient), { code: 'DeviceNotFound' });
  await assert.rejects(methods.invoke(owner, { deviceId: 'd1', moduleId: 'm' }, request(), patient), {
    code: 'ModuleNotFound',
  });
  const device = await connect();
  device.listen();
  const open = Array.from({ length: limits.methodsPerDeviceMax }, () =>
    methods.invoke(owner, d1, request({ name: 'thermostat1*getMaxMinReport' }), patient),
  );
  await settled();
  await assert.rejects(methods.invoke(owner, d1, request(), patient), { code: 'DeviceMaximumInflightMethodExceeded' });
  const ends = open.map((call) => assert.rejects(call, { code: 'DeviceConnectionClosedRemotely' }));
  device.connection.release('connection-lost');
  await Promise.all(ends);
  assert.equal(underWay(), 0);
});

test('a caller is answered within its times also where the member that has the connection says nothing', async () => {
  const { clock, presence, methods, underWay } = bench();
  const silent = (_: unknown, signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  await presence.claim({
    ...{ key: d1, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1', drop: () => {} },
    invoke: silent,
  });
  const refused = assert.rejects(methods.invoke(owner, d1, request(), patient), { code: 'GatewayTimeout' });
  await settled();
  assert.equal(underWay(), 1);
  clock.advance(5000);
  await refused;
  assert.equal(underWay(), 0);
});
