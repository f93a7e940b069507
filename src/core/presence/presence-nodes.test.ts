/** Presence over two nodes that share their places. */
import assert from 'node:assert/strict';
import { type TestContext, test as unbounded } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { PlaceOutcome, Places } from './places.ts';
import { createPresence, type PresenceRoom } from './presence.ts';
import type { ConnectionClaim } from './types.ts';

/** A claim that nobody answers would hold its test up for ever. */
const test = (name: string, work: (t: TestContext) => Promise<void>): unknown =>
  unbounded(name, { timeout: 25_000 }, work);

const device = (deviceId: string): IdentityKey => ({ deviceId });

/** Nodes that share the places; what the connections of each have handed over is settled when the test says so. */
function someNodes() {
  const places = createMemoryPlaces();
  const clock = new VirtualClock();
  const rooms = new Map<string, PresenceRoom>();
  const told: string[] = [];
  const pending: (() => void)[] = [];
  const state = { isSettled: true };
  /** Set = the answer to a claim of `a` waits for it, or is lost; the claim itself has taken effect, or may do so later. */
  const late: { answer?: Promise<void>; isLost?: 'before it' | 'behind it' } = {};
  const slow: Places = {
    ...places,
    async claim(claims) {
      const outcomes = late.isLost === 'before it' ? [] : await places.claim(claims);
      await late.answer;
      const unknown = { kind: 'unknown', error: new Error('the answer is lost') } as const;
      if (late.isLost !== undefined) return claims.map((): PlaceOutcome => unknown);
      return outcomes;
    },
  };
  const open = (own: string): PresenceRoom => {
    const settled = (): Promise<void> =>
      state.isSettled ? Promise.resolve() : new Promise((resolve) => pending.push(resolve));
    const of = (node: string) => rooms.get(node)?.connections;
    const endElsewhere = async (key: IdentityKey): Promise<void> => {
      const others = [...rooms].filter(([name]) => name !== own);
      await Promise.all(others.map(([, { connections }]) => connections.end(key, 'taken-over')));
    };
    const nodes = { own, of, settled, endElsewhere };
    const room = createPresence({ places: own === 'a' ? slow : places, clock, nodes });
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
  return { a: open('a'), b: open('b'), c: open('c'), places, late, rooms, told, pending, state, claimOf, clock };
}

test('over nodes the newer connection wins, and its claim waits for what the older one has handed over', async () => {
  const { a, b, told, pending, state, claimOf } = someNodes();
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
  state.isSettled = true;
  ticket.release('by-client');
  await until(async () => (await b.connectedDevices()) === 0);
});

test('over nodes a claim waits for what a connection has handed over that has left by itself', async () => {
  const { a, b, told, pending, places, state, claimOf } = someNodes();
  const older = await a.claim(claimOf('older'));
  state.isSettled = false;
  older.release('connection-lost');
  // A look at all places meanwhile does not free it either.
  await a.compare();
  let isIn = false;
  const newer = b.claim(claimOf('newer')).then(() => {
    isIn = true;
  });
  for (let turn = 0; turn < 50; turn++) await undefined;
  assert.equal(isIn, false);
  for (const resolve of pending) resolve();
  await newer;
  assert.deepEqual(told, []);
  assert.equal((await places.find(device('d1')))?.node, 'b');
});

test('a device that goes to another node and comes back before the first has heard of it is let in', async () => {
  const { a, b, rooms, told, places, claimOf } = someNodes();
  const { promise: word, resolve: comes } = Promise.withResolvers<void>();
  const slow: PresenceRoom['connections'] = {
    ...b.connections,
    drop: async (...parameters) => {
      await word;
      await b.connections.drop(...parameters);
    },
  };
  rooms.set('b', { ...b, connections: slow });
  await b.claim(claimOf('first'));
  const away = a.claim(claimOf('away'));
  for (let turn = 0; turn < 50; turn++) await undefined;
  let isIn = false;
  const back = b.claim(claimOf('back')).then(() => {
    isIn = true;
  });
  for (let turn = 0; turn < 50; turn++) await undefined;
  comes();
  for (let turn = 0; turn < 200; turn++) await undefined;
  assert.deepEqual([isIn, told.toSorted()], [true, ['away taken-over', 'first taken-over']]);
  await Promise.all([away, back]);
  assert.equal((await places.find(device('d1')))?.node, 'b');
});

test('a connection that is displaced before its own node has heard that it has the place is ended, and the newer one stays', async () => {
  const { a, b, places, late, told, claimOf } = someNodes();
  let arrives = (): void => {};
  late.answer = new Promise((resolve) => (arrives = resolve));
  const older = a.claim(claimOf('older'));
  await until(async () => (await places.find(device('d1')))?.node === 'a');
  const newer = b.claim(claimOf('newer'));
  arrives();
  await Promise.all([older, newer]);
  assert.deepEqual(told, ['older taken-over']);
  assert.deepEqual([a.held(), b.held()], [0, 1]);
  assert.equal((await places.find(device('d1')))?.node, 'b');
});

for (const isEnded of [false, true]) {
  const between = isEnded ? 'has been ended meanwhile' : 'is still claiming';
  test(`of three nodes the newest claim waits for the first connection, where the one between ${between}`, async () => {
    const { a, b, c, rooms, places, late, told, claimOf } = someNodes();
    const { promise: word, resolve: comes } = Promise.withResolvers<void>();
    const slow: PresenceRoom['connections'] = {
      ...b.connections,
      drop: async (...parameters) => {
        await word;
        await b.connections.drop(...parameters);
      },
    };
    rooms.set('b', { ...b, connections: slow });
    let arrives = (): void => {};
    late.answer = new Promise((resolve) => (arrives = resolve));
    await b.claim(claimOf('first'));
    const second = a.claim(claimOf('second'));
    await until(async () => (await places.find(device('d1')))?.node === 'a');
    if (isEnded) await a.drop(device('d1'), 'disabled');
    let isIn = false;
    const third = c.claim(claimOf('third')).then(() => {
      isIn = true;
    });
    for (let turn = 0; turn < 200; turn++) await undefined;
    assert.equal(isIn, false, 'the first has not been told yet');
    arrives();
    for (let turn = 0; turn < 200; turn++) await undefined;
    assert.equal(isIn, false, 'the first has not answered yet');
    comes();
    await Promise.all([second, third]);
    assert.deepEqual(told.toSorted(), ['first taken-over', `second ${isEnded ? 'disabled' : 'taken-over'}`]);
    assert.deepEqual([a.held(), b.held(), c.held()], [0, 0, 1]);
    assert.equal((await places.find(device('d1')))?.node, 'c');
  });
}

test('a connection that was displaced without a word of it is ended, and a place without a connection is freed', async () => {
  const { a, b, places, told, claimOf } = someNodes();
  await a.claim(claimOf('it'));
  await a.compare();
  assert.deepEqual(told, []);
  // The answer to such a claim was lost, or its node has died before it could tell.
  const lost = { key: device('d1'), generationId: 'g1', node: 'b', connection: 99, since: 0 };
  await places.claim([lost]);
  await a.compare();
  assert.deepEqual(told, ['it taken-over']);
  assert.equal(a.held(), 0);
  await b.compare();
  assert.equal(await places.find(device('d1')), undefined);
});

test('a claim whose answer is lost ends the older connection of its own node, and is waited for by who comes to another', async () => {
  const { a, b, places, late, told, state, pending, claimOf } = someNodes();
  await a.claim(claimOf('older'));
  late.isLost = 'behind it';
  state.isSettled = false;
  await assert.rejects(a.claim(claimOf('lost')), { code: 'ServiceUnavailable' });
  await turns();
  assert.deepEqual(told, ['older taken-over']);
  let isIn = false;
  const newer = b.claim(claimOf('newer')).then(() => {
    isIn = true;
  });
  await turns();
  assert.equal(isIn, false, 'what the older one has handed over is on its way');
  for (const resolve of pending) resolve();
  await newer;
  assert.equal((await places.find(device('d1')))?.node, 'b');
});

test('a claim that is carried out long behind its lost answer lets nobody in beside the connection that it has displaced', async () => {
  const { a, b, c, places, late, told, claimOf } = someNodes();
  late.isLost = 'before it';
  await assert.rejects(a.claim(claimOf('lost')), { code: 'ServiceUnavailable' });
  await turns();
  await b.claim(claimOf('second'));
  await places.claim([{ key: device('d1'), generationId: 'g1', node: 'a', connection: 1, since: 0 }]);
  await assert.rejects(c.claim(claimOf('third')), { code: 'ServiceUnavailable' });
  await turns();
  assert.deepEqual(told, ['second taken-over']);
  await c.claim(claimOf('third again'));
  assert.deepEqual([a.held(), b.held(), c.held()], [0, 0, 1]);
});

test('a place of a claim that is carried out long behind its lost answer is freed when whom it has displaced has ended', async () => {
  const { a, b, places, late, told, state, pending, claimOf } = someNodes();
  late.isLost = 'before it';
  await assert.rejects(a.claim(claimOf('lost')), { code: 'ServiceUnavailable' });
  await turns();
  await b.claim(claimOf('second'));
  await places.claim([{ key: device('d1'), generationId: 'g1', node: 'a', connection: 1, since: 0 }]);
  state.isSettled = false;
  const compared = a.compare();
  await turns();
  assert.deepEqual([told, (await places.find(device('d1')))?.node], [['second taken-over'], 'a']);
  for (const resolve of pending) resolve();
  await compared;
  assert.equal(await places.find(device('d1')), undefined);
});

test('a look at all places waits for claims that have no answer yet, and for what it has ended', async () => {
  const { a, b, places, late, told, state, pending, claimOf } = someNodes();
  let arrives = (): void => {};
  late.answer = new Promise((resolve) => (arrives = resolve));
  const claiming = a.claim(claimOf('it'));
  await until(async () => (await places.find(device('d1')))?.node === 'a');
  // Its node dies before it can tell.
  await places.claim([{ key: device('d1'), generationId: 'g1', node: 'x', connection: 1, since: 0 }]);
  let isCompared = false;
  const comparing = a.compare().then(() => {
    isCompared = true;
  });
  await turns();
  assert.deepEqual([isCompared, told], [false, []]);
  state.isSettled = false;
  arrives();
  await claiming;
  await turns();
  assert.deepEqual([isCompared, told], [false, ['it taken-over']]);
  for (const resolve of pending) resolve();
  await comparing;
  assert.deepEqual([a.held(), b.held()], [0, 0]);
});

test('two claims whose answers are lost at two nodes at the same time do not wait for each other', async () => {
  const { a, b, c, places, late, told, claimOf } = someNodes();
  await c.claim(claimOf('first'));
  late.isLost = 'behind it';
  await Promise.allSettled([a.claim(claimOf('at a')), b.claim(claimOf('at b'))]);
  await turns();
  delete late.isLost;
  await c.claim(claimOf('last'));
  assert.equal((await places.find(device('d1')))?.node, 'c');
  assert.equal(told.includes('first taken-over'), true);
});

test('a connection of another node is woken, told and asked; one whose node has gone is not there', async () => {
  const { a, b, rooms, told, claimOf } = someNodes();
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
  const { a, b, rooms, claimOf } = someNodes();
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
  // Its place is free when the older one has been ended after all.
  await until(async () => (await b.connectedDevices()) === 0);
  assert.equal(a.held(), 0);
  await a.claim(claimOf('older again'));
  broken(true);
  await b.claim(claimOf('newest'));
  assert.equal((await b.state({ deviceId: 'd1' })).connected, true);
});

function named(deviceId: string): Omit<ConnectionClaim, 'drop'> {
  return { key: { deviceId }, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' };
}

/** Enough for all that goes on by itself. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await undefined;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 100; turn++) if (await isSo()) return;
  assert.fail('it has not come to that');
}
