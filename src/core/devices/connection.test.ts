import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { DevicePrincipal } from '../identity/types.ts';
import { createAdmission } from '../presence/calls.ts';
import { createPresence } from '../presence/presence.ts';
import { DeviceConnection } from './connection.ts';
import type { DeviceHub, DeviceReceiver } from './types.ts';

const principal: DevicePrincipal = {
  ...{ kind: 'device', key: { deviceId: 'd1' }, generationId: 'g1', expiresAt: Number.POSITIVE_INFINITY },
  ...{ authScope: 'device', authType: 'sas' },
};

function bench() {
  const clock = new VirtualClock();
  const presence = createPresence({ places: createMemoryPlaces(), clock });
  const admission = createAdmission(createGuard(clock, silentAudit), presence);
  const events = { ready: () => undefined };
  const hub = { admission, events, clock, random: seededRandom(1), log: silentLog } as unknown as DeviceHub;
  const heard: string[] = [];
  const connect = (name: string): DeviceConnection => {
    const receiver: DeviceReceiver = {
      drop: (reason) => void heard.push(`${name} ${reason}`),
      commandsWait: () => void heard.push(`${name} commands`),
      notify: ({ kind }) => void heard.push(`${name} ${kind}`),
      invoke: ({ kind }, signal) =>
        kind === 'echo'
          ? Promise.resolve(name)
          : new Promise(() => signal.addEventListener('abort', () => heard.push(`${name} gives up`))),
    };
    return new DeviceConnection(hub, principal, { protocol: 'mqtt', peer: '127.0.0.1' }, receiver);
  };
  return { presence, heard, connect };
}

test('the newer connection has the place, and only it is woken', async () => {
  const { presence, heard, connect } = bench();
  const [older, newer] = [connect('older'), connect('newer')];
  await older.enter();
  await newer.enter();
  assert.equal(older.ended, 'taken-over');
  await presence.wake(principal.key);
  older.release('connection-lost');
  assert.deepEqual(heard, ['older taken-over', 'newer commands']);
  assert.equal((await presence.state(principal.key)).connected, true);
});

test('a connection that is released while its claim is on its way holds nothing when it is answered', async () => {
  const { presence, heard, connect } = bench();
  const connection = connect('it');
  const entering = connection.enter();
  connection.release('connection-lost');
  await entering;
  assert.equal(connection.ended, 'connection-lost');
  assert.equal((await presence.state(principal.key)).connected, false);
  assert.deepEqual(heard, []);
});

test('a call has its answer, or ends with the connection or with the patience of its caller', async () => {
  const { presence, heard, connect } = bench();
  const { key } = principal;
  const patient = new AbortController().signal;
  await assert.rejects(presence.invoke(key, { kind: 'echo' }, patient), { code: 'DeviceNotOnline' });
  const connection = connect('it');
  await connection.enter();
  assert.equal(await presence.notify(key, { kind: 'desired' }), true);
  assert.equal(await presence.invoke(key, { kind: 'echo' }, patient), 'it');

  const late = new AbortController();
  const given = presence.invoke(key, { kind: 'wait' }, late.signal);
  late.abort(new Error('too late'));
  await assert.rejects(given, { message: 'too late' });
  const open = Array.from({ length: limits.deviceCallsMax }, () => presence.invoke(key, { kind: 'wait' }, patient));
  await assert.rejects(presence.invoke(key, { kind: 'wait' }, patient), { code: 'ThrottlingException' });
  connection.release('connection-lost');
  for (const call of open) await assert.rejects(call, { code: 'DeviceNotOnline' });
  assert.deepEqual(heard, ['it desired', ...Array(1 + open.length).fill('it gives up')]);
});
