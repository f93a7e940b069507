import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { identityName } from '../identity/permissions.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { PlaceOutcome, Places } from './places.ts';
import type { PresenceTicket } from './ports.ts';
import { createPresence, type PresenceRoom } from './presence.ts';
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

/** Two nodes that share the places; what the connections of each have handed over is settled when the test says so. */
function twoNodes() {
  const places = createMemoryPlaces();
  const clock = new VirtualClock();
  const rooms = new Map<string, PresenceRoom>();
  const told: string[] = [];
  const pending: (() => void)[] = [];
  const state = { isSettled: true };
  const open = (own: string): PresenceRoom => {
    const settled = (): Promise<void> =>
      state.isSettled ? Promise.resolve() : new Promise((resolve) => pending.push(resolve));
    const room = createPresence({ places, clock, nodes: { own, of: (node) => rooms.get(node)?.connections, settled } });
    rooms.set(own, room);
    return room;
  };
  const claimOf = (name: string): ConnectionClaim => ({
    ...{ key: { deviceId: 'd1' }, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
    drop: (reason) => void told.push(`${name} ${reason}`),
    wake: () => void told.push(`${name} woken`),
    notify: ({ kind }) => void told.push(`${name} ${kind}`),
    invoke: async ({ value }) => [name, value],
  });
  return { a: open('a'), b: open('b'), rooms, told, pending, state, claimOf, clock };
}

test('over nodes the newer connection wins, and its claim waits for what the older one has handed over', async () => {
  const { a, b, told, pending, state, claimOf } = twoNodes();
  const older = await a.claim(claimOf('older'));
  state.isSettled = false;
  let isIn = false;
  const newer = b.claim(claimOf('newer')).then((ticket) => {
    isIn = true;
    return ticket;
  });
  for (let turn = 0; turn < 50; turn++) await undefined;
  assert.deepEqual(told, ['older taken-over']);
  assert.equal(isIn, false);
  for (const resolve of pending) resolve();
  const ticket = await newer;
  older.release('connection-lost');
  assert.equal((await a.state({ deviceId: 'd1' })).connected, true);
  assert.equal(await a.connectedDevices(), 1);
  ticket.release('by-client');
  assert.equal(await b.connectedDevices(), 0);
});

test('a connection of another node is woken, told and asked; one whose node has gone is not there', async () => {
  const { a, b, rooms, told, claimOf } = twoNodes();
  await b.claim(claimOf('it'));
  const key = { deviceId: 'd1' };
  const { signal } = new AbortController();
  await a.wake(key);
  assert.equal(await a.notify(key, { kind: 'desired' }), true);
  assert.deepEqual(await a.invoke(key, { kind: 'echo', value: 1 }, signal), ['it', 1]);
  assert.deepEqual(told, ['it woken', 'it desired']);
  rooms.delete('b');
  assert.equal(await a.notify(key, { kind: 'desired' }), false);
  await assert.rejects(a.invoke(key, { kind: 'echo' }, signal), { code: 'DeviceNotOnline' });
  // Nothing of a node that has gone is on its way.
  await a.claim(claimOf('newer'));
});

test('a claim is refused, and gives its place back, when it is not known whether what the older one has handed over is settled', async () => {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (_, sentence) => errors.push(sentence) };
  const places = createMemoryPlaces();
  const presence = createPresence({ places, clock: new VirtualClock(), log });
  const watched: string[] = [];
  presence.watch({
    connected: ({ peer }) => watched.push(`${peer} in`),
    disconnected: ({ peer }) => watched.push(`${peer} out`),
  });
  const on = (member: string) => ({ ...named('d1'), member, peer: member });
  await presence.claim({ ...on('thread 1'), drop: () => Promise.reject(new Error('a bug')) });
  const newer = { ...on('thread 2'), drop: () => assert.fail('the door has its answer') };
  await assert.rejects(presence.claim(newer), { code: 'ServiceUnavailable' });
  assert.equal(await places.find(device('d1')), undefined);
  assert.equal((await presence.state(device('d1'))).connected, false);
  assert.deepEqual(watched, ['thread 1 in', 'thread 1 out']);
  assert.deepEqual(errors, ['a connection could not be dropped']);
  // Its next attempt gets in.
  await presence.claim({ ...on('thread 2'), drop: () => {} });
  assert.equal((await presence.state(device('d1'))).connected, true);
  assert.deepEqual(watched, ['thread 1 in', 'thread 1 out', 'thread 2 in']);
});

test('over nodes a drop that fails refuses the claim, unless the older one has gone with its node', async () => {
  const { a, b, rooms, claimOf } = twoNodes();
  const broken = (isGone: boolean): void => {
    const drop = async (): Promise<void> => {
      if (isGone) rooms.delete('a');
      throw new Error('the link has closed');
    };
    rooms.set('a', { ...a, connections: { ...a.connections, drop } });
  };
  await a.claim(claimOf('older'));
  broken(false);
  await assert.rejects(b.claim(claimOf('newer')), { code: 'ServiceUnavailable' });
  assert.equal(await b.connectedDevices(), 0);
  await a.claim(claimOf('older again'));
  broken(true);
  await b.claim(claimOf('newest'));
  assert.equal((await b.state({ deviceId: 'd1' })).connected, true);
});

/** Places whose answers the test lets go. */
function heldPlaces(change: (outcome: PlaceOutcome) => PlaceOutcome = (outcome) => outcome) {
  const inner = createMemoryPlaces();
  const batches: number[] = [];
  let answer = (): void => {};
  const places: Places = {
    ...inner,
    async claim(claims) {
      batches.push(claims.length);
      const asked = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const outcomes = await inner.claim(claims);
      await asked;
      return outcomes.map(change);
    },
  };
  return { places, inner, batches, answer: () => answer() };
}

test('what ends an identity while its claim is on its way ends the connection, and frees its place', async () => {
  const { places, inner, answer } = heldPlaces();
  const presence = createPresence({ places, clock: new VirtualClock() });
  const told: string[] = [];
  const claiming = presence.claim({ ...named('d1'), drop: (reason) => void told.push(reason) });
  await presence.drop({ deviceId: 'd1' }, 'disabled');
  assert.deepEqual(told, ['disabled']);
  answer();
  await claiming;
  assert.equal(await inner.find({ deviceId: 'd1' }), undefined);
  assert.equal((await presence.state({ deviceId: 'd1' })).connected, false);
});

test('a claim whose outcome is not known is given back, and refused', async () => {
  const { places, inner, answer } = heldPlaces(() => ({ kind: 'unknown', error: new Error('connection reset') }));
  const presence = createPresence({ places, clock: new VirtualClock() });
  const claiming = presence.claim({ ...named('d1'), drop: () => assert.fail('the door has its answer') });
  const refused = assert.rejects(claiming, { code: 'ServiceUnavailable' });
  answer();
  await refused;
  assert.equal(await inner.find({ deviceId: 'd1' }), undefined);
});

test('a claim that the store speaks against ends its connection, and the older one keeps its place', async () => {
  const places = createMemoryPlaces(({ generationId }) => (generationId === 'old' ? 'deleted' : undefined));
  const presence = createPresence({ places, clock: new VirtualClock() });
  const told: string[] = [];
  const keep = { ...named('d1'), drop: (reason: string) => void told.push(`keeper ${reason}`) };
  await presence.claim(keep);
  await presence.claim({ ...named('d1'), generationId: 'old', drop: (reason) => void told.push(reason) });
  assert.deepEqual(told, ['deleted']);
  assert.equal((await presence.state({ deviceId: 'd1' })).connected, true);
});

test('claims that come while a batch is on its way are the next one', async () => {
  const { places, batches, answer } = heldPlaces();
  const presence = createPresence({ places, clock: new VirtualClock() });
  const all = ['d1', 'd2', 'd3'].map((deviceId) => presence.claim({ ...named(deviceId), drop: () => {} }));
  answer();
  for (let turn = 0; turn < 20; turn++) await undefined;
  answer();
  await Promise.all(all);
  assert.deepEqual(batches, [1, 2]);
});

test('a claim that the store takes long to answer holds up nobody but the next one of the same identity', async () => {
  const clock = new VirtualClock();
  const inner = createMemoryPlaces();
  const batches: string[][] = [];
  let answerSlow = (): void => {};
  const places: Places = {
    ...inner,
    async claim(claims) {
      const names = claims.map(({ key }) => key.deviceId);
      batches.push(names);
      const outcomes = await inner.claim(claims);
      if (batches.length === 1) await new Promise<void>((resolve) => (answerSlow = resolve));
      return outcomes;
    },
  };
  const presence = createPresence({ places, clock });
  const heard: string[] = [];
  const claim = (deviceId: string, name: string) =>
    presence
      .claim({ ...named(deviceId), drop: (reason) => void heard.push(`${name} ${reason}`) })
      .then(() => void heard.push(`${name} is in`));
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 40; turn++) await undefined;
  };
  const all = [claim('slow', 'first'), claim('slow', 'second'), claim('d1', 'd1')];
  await turns();
  assert.deepEqual(heard, []);
  clock.advance(limits.placeClaimPatienceMs);
  await turns();
  assert.deepEqual(heard, ['d1 is in']);
  // From here on nobody waits for the slow one first.
  all.push(claim('d2', 'd2'));
  await turns();
  assert.deepEqual(heard, ['d1 is in', 'd2 is in']);
  answerSlow();
  await Promise.all(all);
  assert.deepEqual(heard.slice(2), ['first is in', 'first taken-over', 'second is in']);
  assert.deepEqual(batches, [['slow'], ['d1'], ['d2'], ['slow']]);
});

test('claims of a store that hangs cost no more for those that wait; beyond a bound they are refused, and all others get in', async () => {
  const clock = new VirtualClock();
  const inner = createMemoryPlaces();
  const { promise: goesOn, resolve: goOn } = Promise.withResolvers<void>();
  const sizes: number[] = [];
  const released: number[] = [];
  const places: Places = {
    ...inner,
    async claim(claims) {
      sizes.push(claims.length);
      await goesOn;
      return inner.claim(claims);
    },
    async release(holders) {
      released.push(holders.length);
      return inner.release(holders);
    },
  };
  const presence = createPresence({ places, clock });
  const claim = (at: number) => presence.claim({ ...named(`d${at}`), drop: () => {} });
  const all = Array.from({ length: limits.placeClaimsWaitingMax }, (_, at) => claim(at));
  for (let nth = 0; nth < 2 * limits.placeBatchesMax; nth++) clock.advance(limits.placeClaimPatienceMs);
  assert.deepEqual(sizes, [1, ...Array.from({ length: limits.placeBatchesMax - 1 }, () => limits.placeClaimsMax)]);
  await assert.rejects(claim(-1), { code: 'ServiceUnavailable' });
  assert.deepEqual(released, [], 'the store has not been asked');
  await presence.drop(device('d-1'), 'disabled');
  goOn();
  await Promise.all(all);
  assert.equal(await presence.connectedDevices(), limits.placeClaimsWaitingMax);
  await claim(-1);
});

test('claims of a store that answers nothing are held in a bounded number of batches, and all get in when it does', async () => {
  const clock = new VirtualClock();
  const inner = createMemoryPlaces();
  const answers: (() => void)[] = [];
  const places: Places = {
    ...inner,
    async claim(claims) {
      await new Promise<void>((resolve) => answers.push(resolve));
      return inner.claim(claims);
    },
  };
  const presence = createPresence({ places, clock });
  const all: Promise<unknown>[] = [];
  for (let nth = 0; nth < 2 * limits.placeBatchesMax; nth++) {
    all.push(presence.claim({ ...named(`d${nth}`), drop: () => {} }));
    clock.advance(limits.placeClaimPatienceMs);
  }
  assert.equal(answers.length, limits.placeBatchesMax);
  for (let turn = 0; turn < 200; turn++) {
    answers.shift()?.();
    await undefined;
  }
  await Promise.all(all);
  assert.equal(await presence.connectedDevices(), 2 * limits.placeBatchesMax);
});

function named(deviceId: string): Omit<ConnectionClaim, 'drop'> {
  return { key: { deviceId }, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' };
}
