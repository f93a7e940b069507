/** Claims while the store of places takes its time, hangs, or speaks against them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { PlaceOutcome, Places } from './places.ts';
import { createPresence } from './presence.ts';
import type { ConnectionClaim } from './types.ts';

const device = (deviceId: string): IdentityKey => ({ deviceId });

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

test('a claim that the store carries out behind its lost answer does not keep the older connection from being displaced by the next', async () => {
  const inner = createMemoryPlaces();
  let late: () => Promise<unknown> = async () => undefined;
  let loses = false;
  const places: Places = {
    ...inner,
    async claim(claims) {
      if (!loses) return inner.claim(claims);
      late = () => inner.claim(claims);
      return claims.map((): PlaceOutcome => ({ kind: 'unknown', error: new Error('connection reset') }));
    },
  };
  const presence = createPresence({ places, clock: new VirtualClock() });
  const told: string[] = [];
  const connect = (name: string) =>
    presence.claim({ ...named('d1'), drop: (reason) => void told.push(`${name} ${reason}`) });
  const first = await connect('first');
  loses = true;
  await assert.rejects(connect('second'), { code: 'ServiceUnavailable' });
  await late();
  loses = false;
  await connect('third');
  assert.deepEqual(told, ['first taken-over']);
  first.release('connection-lost');
  assert.equal((await presence.state({ deviceId: 'd1' })).connected, true);
  await presence.drop({ deviceId: 'd1' }, 'disabled');
  assert.deepEqual(told, ['first taken-over', 'third disabled']);
});

test('a place that could not be freed while the store was away is freed when it is back, unless it is another’s by then', async () => {
  const inner = createMemoryPlaces();
  let isAway = true;
  let tries = 0;
  const places: Places = {
    ...inner,
    async release(holders) {
      tries++;
      if (isAway) throw new Error('the database is away');
      await inner.release(holders);
    },
  };
  const clock = new VirtualClock();
  const presence = createPresence({ places, clock });
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await undefined;
  };
  for (const name of ['d1', 'd2']) {
    const ticket = await presence.claim({ ...named(name), drop: () => {} });
    ticket.release('by-client');
  }
  await settled();
  clock.advance(limits.placesFreeAgainMs);
  await settled();
  assert.equal(await presence.connectedDevices(), 2);
  await presence.claim({ ...named('d2'), drop: () => {} });
  isAway = false;
  clock.advance(limits.placesFreeAgainMs);
  await settled();
  assert.equal(await inner.find(device('d1')), undefined);
  assert.notEqual(await inner.find(device('d2')), undefined);
  const before = tries;
  clock.advance(10 * limits.placesFreeAgainMs);
  assert.equal(tries, before, 'all are free');
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
