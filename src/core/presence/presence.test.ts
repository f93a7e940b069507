import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/clock.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { identityName } from '../identity/permissions.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { PresenceTicket } from './ports.ts';
import { createPresence } from './presence.ts';
import type { ConnectionClaim } from './types.ts';

const device = (deviceId: string): IdentityKey => ({ deviceId });
const module = (deviceId: string, moduleId: string): IdentityKey => ({ deviceId, moduleId });

/** A connection that notes what it is told. */
function connection(key: IdentityKey, heard: string[], name = identityName(key)): ConnectionClaim {
  return {
    key,
    generationId: '1',
    protocol: 'mqtt',
    credential: 'sas',
    peer: '127.0.0.1',
    drop: (reason) => void heard.push(`${name} ${reason}`),
    wake: () => heard.push(`${name} wake`),
  };
}

test('the newer connection wins, and the older one cannot clear it any more', async () => {
  const clock = new VirtualClock();
  const presence = createPresence({ places: createMemoryPlaces(), clock });
  const heard: string[] = [];
  const first = await presence.claim(connection(device('d1'), heard, 'first'));
  clock.advance(1000);
  const second = await presence.claim(connection(device('d1'), heard, 'second'));
  assert.deepEqual(heard, ['first taken-over']);
  assert.equal(await presence.connectedDevices(), 1);
  const since = clock.now();
  clock.advance(1000);
  first.touch();
  first.release('connection-lost');
  assert.deepEqual(await presence.state(device('d1')), {
    connected: true,
    connectionStateUpdatedTime: since,
    lastActivityTime: since,
  });
  second.touch();
  clock.advance(1000);
  second.release('by-client');
  second.release('by-client');
  await presence.drop(device('d1'), 'disabled');
  assert.deepEqual(heard, ['first taken-over']);
  assert.deepEqual(await presence.state(device('d1')), {
    connected: false,
    connectionStateUpdatedTime: since + 2000,
    lastActivityTime: since + 1000,
  });
  assert.equal(await presence.connectedDevices(), 0);
});

test('an older connection that releases while it is told to go leaves the newer one in place', async () => {
  const presence = createPresence({ places: createMemoryPlaces(), clock: new VirtualClock() });
  const heard: string[] = [];
  let ticket: PresenceTicket | undefined;
  const claim = connection(device('d1'), heard, 'first');
  ticket = await presence.claim({
    ...claim,
    drop(reason) {
      claim.drop(reason);
      ticket?.release(reason);
    },
  });
  await presence.claim(connection(device('d1'), heard, 'second'));
  assert.equal((await presence.state(device('d1'))).connected, true);
  await presence.drop(device('d1'), 'disabled');
  assert.deepEqual(heard, ['first taken-over', 'second disabled']);
});

test('a device takes its modules along when it is dropped, and nobody else', async () => {
  const presence = createPresence({ places: createMemoryPlaces(), clock: new VirtualClock() });
  const heard: string[] = [];
  for (const key of [device('d1'), module('d1', 'a'), module('d1', 'b'), module('d10', 'a'), device('d10')]) {
    await presence.claim(connection(key, heard));
  }
  assert.equal(await presence.connectedDevices(), 2);
  await presence.drop(module('d1', 'b'), 'deleted');
  await presence.drop(device('d1'), 'disabled');
  await presence.drop(device('nobody'), 'disabled');
  assert.deepEqual(heard, ['d1/b deleted', 'd1/a disabled', 'd1 disabled']);
  assert.equal(await presence.connectedDevices(), 1);
  await presence.dropAll('hub-stopping');
  assert.deepEqual(heard.slice(3), ['d10/a hub-stopping', 'd10 hub-stopping']);
});

test('waking reaches the connection that is there', async () => {
  const presence = createPresence({ places: createMemoryPlaces(), clock: new VirtualClock() });
  const heard: string[] = [];
  await presence.wake(device('d1'));
  await presence.claim(connection(device('d1'), heard));
  await presence.wake(device('d1'));
  await presence.claim({ ...connection(device('d2'), heard), wake: undefined });
  await presence.wake(device('d2'));
  assert.deepEqual(heard, ['d1 wake']);
});

test('a connection that fails while it is dropped does not keep the others', async () => {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (fields) => errors.push(String(fields.identity)) };
  const presence = createPresence({ places: createMemoryPlaces(), clock: new VirtualClock(), log });
  const heard: string[] = [];
  const broken = {
    ...connection(device('d1'), heard),
    drop() {
      throw new Error('the socket is gone');
    },
  };
  await presence.claim(broken);
  await presence.claim(connection(device('d2'), heard));
  await presence.dropAll('hub-stopping');
  assert.deepEqual(heard, ['d2 hub-stopping']);
  assert.deepEqual(errors, ['d1']);
  assert.equal(await presence.connectedDevices(), 0);
});

test('what was seen of the departed is bounded, and forgotten when they are deleted', async () => {
  const clock = new VirtualClock();
  const presence = createPresence({ places: createMemoryPlaces(), clock, memoryMax: 2 });
  const seen = async (deviceId: string): Promise<boolean> =>
    (await presence.state(device(deviceId))).lastActivityTime > 0;
  for (const deviceId of ['d1', 'd2', 'd3']) {
    const ticket = await presence.claim(connection(device(deviceId), []));
    ticket.release('by-client');
  }
  assert.deepEqual([await seen('d1'), await seen('d2'), await seen('d3')], [false, true, true]);
  await presence.drop(device('d3'), 'deleted');
  await presence.claim(connection(device('d2'), []));
  await presence.drop(device('d2'), 'deleted');
  assert.deepEqual([await seen('d2'), await seen('d3')], [false, false]);
});

test('in any order of events, each connection hears at most one drop and never after its release', async () => {
  const key = fc.constantFrom(device('a'), device('b'), module('a', 'm'), module('a', 'n'));
  const step = fc.oneof(
    fc.record({ kind: fc.constant('claim' as const), key }),
    fc.record({ kind: fc.constant('drop' as const), key }),
    fc.record({ kind: fc.constant('release' as const), nth: fc.nat(20) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const presence = createPresence({ places: createMemoryPlaces(), clock: new VirtualClock() });
      const connections: { key: IdentityKey; ticket: PresenceTicket; open: boolean }[] = [];
      for (const each of steps) {
        if (each.kind === 'claim') {
          const entry = { key: each.key, open: true } as (typeof connections)[number];
          const claim = connection(each.key, []);
          entry.ticket = await presence.claim({
            ...claim,
            drop() {
              assert.ok(entry.open, 'dropped once, and not after its release');
              entry.open = false;
            },
          });
          connections.push(entry);
        } else if (each.kind === 'drop') {
          await presence.drop(each.key, 'disabled');
        } else if (connections[each.nth] !== undefined) {
          connections[each.nth].open = false;
          connections[each.nth].ticket.release('by-client');
        }
        for (const name of [device('a'), device('b'), module('a', 'm'), module('a', 'n')]) {
          const open = connections.filter((entry) => entry.open && identityName(entry.key) === identityName(name));
          assert.equal((await presence.state(name)).connected, open.length === 1);
          assert.ok(open.length <= 1);
        }
        const devices = connections.filter((entry) => entry.open && entry.key.moduleId === undefined);
        assert.equal(await presence.connectedDevices(), devices.length);
      }
    }),
    { numRuns: 200 },
  );
});
