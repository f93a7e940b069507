import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { HubError } from '../../core/errors.ts';
import { createPresence } from '../../core/presence/presence.ts';
import type { ConnectionClaim, DisconnectReason } from '../../core/presence/types.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { openThreadLink } from './calls.ts';
import { presenceStandIn, servePresence } from './presence.ts';

const key = { deviceId: 'd1' };

/** Presence of a main thread and of two listener threads whose event logs are settled when the test says so. */
function threads() {
  const inner = createPresence({ places: createMemoryPlaces(), clock: systemClock });
  const sides = [0, 1].map((number) => {
    const channel = new MessageChannel();
    const mainLink = openThreadLink(channel.port1);
    const end = servePresence(mainLink, inner, `thread ${number}`);
    const pending: (() => void)[] = [];
    const state = { isSettled: true };
    const presence = presenceStandIn(openThreadLink(channel.port2), {
      clock: systemClock,
      log: silentLog,
      isSettled: () => state.isSettled,
      settled: () => new Promise<void>((resolve) => pending.push(resolve)),
    });
    const settle = (): void => {
      state.isSettled = true;
      for (const resolve of pending.splice(0)) resolve();
    };
    const die = (): void => {
      mainLink.close();
      end();
    };
    return { channel, presence, state, settle, die, pending };
  });
  const close = (): void => {
    for (const { channel } of sides) channel.port1.close();
  };
  return { inner, sides, close };
}

function claimOf(told: string[], name: string): ConnectionClaim {
  return {
    ...{ key, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
    drop: (reason) => void told.push(`${name} dropped ${reason}`),
    wake: () => told.push(`${name} woken`),
    notify: ({ kind, value }) => told.push(`${name} told ${kind} ${value}`),
    invoke: async ({ kind, value }, signal) => {
      if (kind === 'echo') return { from: name, value };
      if (kind !== 'wait') throw new HubError('OperationNotAvailable');
      told.push(`${name} waits`);
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          told.push(`${name} is not waited for`);
          reject(signal.reason);
        });
      });
    },
  };
}

/** Resolves when everything that was on its way over the ports by now has arrived. */
async function arrived(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function until(condition: () => boolean): Promise<void> {
  const late = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < late, 'it never happened');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('the newer connection wins on whichever thread it is, and the older one is told once', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  const first = await sides[0].presence.claim(claimOf(told, 'a'));
  await sides[1].presence.claim(claimOf(told, 'b'));
  await until(() => told.length > 0);
  first.release('taken-over');
  await arrived();
  assert.deepEqual(told, ['a dropped taken-over']);
  assert.equal(await inner.connectedDevices(), 1);
  await inner.claim(claimOf(told, 'main'));
  await until(() => told.length > 1);
  assert.deepEqual(told, ['a dropped taken-over', 'b dropped taken-over']);
  assert.equal((await sides[0].presence.state(key)).connected, true);
});

test('wakes and drops reach the connection on its thread; none comes after its release', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  const ticket = await sides[0].presence.claim(claimOf(told, 'a'));
  await inner.wake(key);
  await until(() => told.length === 1);
  ticket.release('by-client');
  await inner.wake(key);
  await inner.drop(key, 'disabled');
  await arrived();
  assert.deepEqual(told, ['a woken']);
  assert.equal(await inner.connectedDevices(), 0);
  await sides[1].presence.claim(claimOf(told, 'b'));
  await sides[0].presence.drop(key, 'deleted');
  await until(() => told.length === 2);
  assert.deepEqual(told, ['a woken', 'b dropped deleted']);
});

for (const [how, leave] of [
  ['is taken over', () => {}],
  ['has just left', (release: (reason: DisconnectReason) => void) => release('by-client')],
] as const) {
  test(`a claim on another thread waits until what the connection that ${how} has sent is settled`, async (t) => {
    const { sides, close } = threads();
    t.after(close);
    const told: string[] = [];
    const ticket = await sides[0].presence.claim(claimOf(told, 'a'));
    sides[0].state.isSettled = false;
    leave((reason) => ticket.release(reason));
    let isIn = false;
    const second = sides[1].presence.claim(claimOf(told, 'b')).then(() => {
      isIn = true;
    });
    await until(() => sides[0].pending.length > 0);
    await arrived();
    assert.equal(isIn, false);
    sides[0].settle();
    await second;
  });
}

test('a claim on the same thread does not wait: one writer keeps the order', async (t) => {
  const { sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  await sides[0].presence.claim(claimOf(told, 'a'));
  sides[0].state.isSettled = false;
  await sides[0].presence.claim(claimOf(told, 'b'));
  assert.deepEqual(told, ['a dropped taken-over']);
});

test('a claim waits for every thread that the identity was on before', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  await sides[0].presence.claim(claimOf(told, 'a'));
  sides[0].state.isSettled = false;
  const second = sides[1].presence.claim(claimOf(told, 'b'));
  await until(() => told.length === 1);
  let isIn = false;
  const third = inner.claim(claimOf(told, 'main')).then(() => {
    isIn = true;
  });
  await until(() => told.length === 2);
  await arrived();
  assert.equal(isIn, false);
  sides[0].settle();
  await Promise.all([second, third]);
});

test('the connections of a thread that has ended are lost, and claims that wait for it go on', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  await sides[0].presence.claim(claimOf(told, 'a'));
  await sides[0].presence.claim({ ...claimOf(told, 'c'), key: { deviceId: 'd2' } });
  assert.equal(await inner.connectedDevices(), 2);
  sides[0].state.isSettled = false;
  const second = sides[1].presence.claim(claimOf(told, 'b'));
  await until(() => told.length === 1);
  sides[0].die();
  await second;
  assert.equal(await inner.connectedDevices(), 1);
});

test('a removed authority ends every connection of a thread, also more than calls may wait for it', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  const count = limits.threadCallsMax + 1;
  const claim = (at: number) => {
    const own = { key: { deviceId: `d${at}` }, authority: 'removed' };
    return sides[0].presence.claim({ ...claimOf(told, `d${at}`), ...own });
  };
  for (let at = 0; at < count; at += 1000) {
    const length = Math.min(1000, count - at);
    await Promise.all(Array.from({ length }, (_, nth) => claim(at + nth)));
  }
  assert.equal(await inner.connectedDevices(), count);
  await inner.dropAuthority('removed', 'authority-removed');
  await until(() => told.length >= count);
  assert.equal(await inner.connectedDevices(), 0);
});

test('activity of a connection is known in the main thread a little later', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const ticket = await sides[0].presence.claim(claimOf([], 'a'));
  const { lastActivityTime } = await inner.state(key);
  await until(() => Date.now() > lastActivityTime);
  ticket.touch();
  const late = performance.now() + 10_000;
  while ((await inner.state(key)).lastActivityTime === lastActivityTime) {
    assert.ok(performance.now() < late, 'the main thread never heard of it');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

test('notes reach the connection in their order, and a call its answer or its refusal', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  await sides[0].presence.claim(claimOf(told, 'a'));
  for (const value of [1, 2, 3]) assert.equal(await inner.notify(key, { kind: 'desired', value }), true);
  await until(() => told.length === 3);
  assert.deepEqual(told, ['a told desired 1', 'a told desired 2', 'a told desired 3']);
  const { signal } = new AbortController();
  // From the main thread, and from another listener thread over it.
  for (const presence of [inner, sides[1].presence]) {
    assert.deepEqual(await presence.invoke(key, { kind: 'echo', value: [1] }, signal), { from: 'a', value: [1] });
    await assert.rejects(presence.invoke(key, { kind: 'unknown' }, signal), { code: 'OperationNotAvailable' });
  }
  const nobody = { deviceId: 'd2' };
  assert.equal(await sides[0].presence.notify(nobody, { kind: 'desired' }), false);
  await assert.rejects(inner.invoke(nobody, { kind: 'echo' }, signal), { code: 'DeviceNotOnline' });
});

test('a call that is not waited for any more is told so on its thread; one whose thread dies is refused', async (t) => {
  const { inner, sides, close } = threads();
  t.after(close);
  const told: string[] = [];
  await sides[0].presence.claim(claimOf(told, 'a'));
  const late = new AbortController();
  const given = sides[1].presence.invoke(key, { kind: 'wait' }, late.signal);
  await until(() => told.length === 1);
  late.abort(new Error('too late'));
  await assert.rejects(given, { message: 'too late' });
  await until(() => told.length === 2);
  assert.deepEqual(told, ['a waits', 'a is not waited for']);
  const lost = inner.invoke(key, { kind: 'wait' }, new AbortController().signal);
  sides[0].die();
  await assert.rejects(lost, { code: 'ServiceUnavailable' });
});
