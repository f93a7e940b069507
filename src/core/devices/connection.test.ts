import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import type { DevicePrincipal } from '../identity/types.ts';
import { createPresence } from '../presence/presence.ts';
import { DeviceConnection } from './connection.ts';
import type { DeviceHub, DeviceReceiver } from './types.ts';

const principal: DevicePrincipal = {
  ...{ kind: 'device', key: { deviceId: 'd1' }, generationId: 'g1', expiresAt: Number.POSITIVE_INFINITY },
  ...{ authScope: 'device', authType: 'sas' },
};

function bench() {
  const clock = new VirtualClock();
  const presence = createPresence({ clock });
  const hub = { presence, clock, random: seededRandom(1), log: silentLog } as unknown as DeviceHub;
  const heard: string[] = [];
  const connect = (name: string): DeviceConnection => {
    const receiver: DeviceReceiver = {
      drop: (reason) => void heard.push(`${name} ${reason}`),
      commandsWait: () => void heard.push(`${name} commands`),
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
