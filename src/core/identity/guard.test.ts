import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { HubError } from '../errors.ts';
import { type Attempt, createGuard, type Guarded, type Sheet } from './guard.ts';
import type { IdentityKey, Permission, PolicyPrincipal, Principal } from './types.ts';

interface Lamps {
  light(principal: Principal, key: IdentityKey, colour: string): Promise<string>;
  count(principal: Principal): number;
  watch(listener: () => void): () => void;
}

const sheet: Sheet<Lamps> = {
  light: { operation: 'commands.send', target: (key) => key },
  count: (room, guard) => (principal) =>
    guard.runNow(principal, 'registry.read', undefined, () => room.count(principal)),
  watch: (room) => room.watch,
};

/** UTC milliseconds, some time after the clock's start. */
const END = new VirtualClock().now() + 1000;

const policy = (...permissions: readonly Permission[]): PolicyPrincipal => ({
  kind: 'policy',
  policyName: permissions.join(' '),
  permissions: new Set(permissions),
  expiresAt: END,
  scope: [],
});
const device = (deviceId: string): Principal => ({
  ...{ kind: 'device', key: { deviceId }, generationId: 'g', expiresAt: END, authScope: 'device', authType: 'sas' },
});
const d1 = { deviceId: 'd1' };

function house() {
  const clock = new VirtualClock();
  const told: [Attempt, string][] = [];
  const guard = createGuard(clock, {
    refused: (attempt, error) => void told.push([attempt, error instanceof HubError ? error.code : String(error)]),
  });
  let worked = 0;
  const room: Lamps = {
    async light(_principal, key, colour) {
      worked++;
      if (colour === 'none') throw new HubError('ArgumentInvalid');
      return `${key.deviceId} ${colour}`;
    },
    count: () => ++worked,
    watch: () => () => {},
  };
  return { clock, told, guard, lamps: guard.room(room, sheet), worked: () => worked };
}

test('what is allowed is done; what is not is told, thrown, and not begun', async () => {
  const { lamps, told, worked } = house();
  const backEnd = policy('ServiceConnect');
  assert.equal(await lamps.light(backEnd, d1, 'red'), 'd1 red');
  assert.equal(lamps.count(policy('RegistryRead')), 2);
  assert.deepEqual(told, []);

  const wrong = policy('RegistryRead');
  await assert.rejects(lamps.light(wrong, d1, 'red'), { code: 'IotHubUnauthorizedAccess' });
  assert.throws(() => lamps.count(backEnd), { code: 'IotHubUnauthorizedAccess' });
  assert.equal(worked(), 2);
  assert.deepEqual(told, [
    [{ operation: 'commands.send', principal: wrong, target: d1 }, 'IotHubUnauthorizedAccess'],
    [{ operation: 'registry.read', principal: backEnd }, 'IotHubUnauthorizedAccess'],
  ]);
});

test('what the room refuses is told too, and the end of a proof', async () => {
  const { lamps, told, clock } = house();
  const backEnd = policy('ServiceConnect');
  await assert.rejects(lamps.light(backEnd, d1, 'none'), { code: 'ArgumentInvalid' });
  clock.advance(END - clock.now());
  await assert.rejects(lamps.light(backEnd, d1, 'red'), { code: 'IotHubUnauthorized' });
  assert.deepEqual(
    told.map(([{ operation }, code]) => `${operation} ${code}`),
    ['commands.send ArgumentInvalid', 'commands.send IotHubUnauthorized'],
  );
});

test('of several targets each is asked about; of none, the hub', async () => {
  const { guard, told } = house();
  const scoped = { ...policy('RegistryWrite'), scope: ['devices', 'd1'] };
  const write = (...targets: readonly IdentityKey[]) =>
    guard.run(scoped, 'registry.write', targets, () => Promise.resolve('done'));
  assert.equal(await write(d1, { deviceId: 'd1', moduleId: 'm' }), 'done');
  await assert.rejects(write(d1, { deviceId: 'd2' }), { code: 'IotHubUnauthorizedAccess' });
  await assert.rejects(write(), { code: 'IotHubUnauthorizedAccess' });
  assert.equal(told.length, 2);
});

test('of several proofs the first that allows it is chosen; a refusal is told of the first', () => {
  const { guard, told } = house();
  const [own, reader, backEnd] = [device('d1'), policy('RegistryRead'), policy('ServiceConnect')];
  assert.equal(guard.choose([own, reader, backEnd], 'events.read', undefined, true), backEnd);
  assert.throws(() => guard.choose([], 'events.read', undefined, true), { code: 'IotHubUnauthorized' });
  assert.throws(() => guard.choose([own, reader], 'events.read', undefined, false));
  assert.deepEqual(told, []);
  assert.throws(() => guard.choose([own, reader], 'events.read', undefined, true));
  assert.deepEqual(told, [[{ operation: 'events.read', principal: own }, 'IotHubUnauthorizedAccess']]);
});

test('a call that is left out of the sheet, or a room without a guard, does not compile', () => {
  const room: Lamps = { light: async () => '', count: () => 0, watch: () => () => {} };
  // @ts-expect-error: no client could be refused `light`
  const forgotten: Sheet<Lamps> = { count: (lamps) => lamps.count, watch: (lamps) => lamps.watch };
  // @ts-expect-error: there is no such operation in the table
  const unknown: Sheet<Lamps> = { ...sheet, light: { operation: 'lamps.light' } };
  // @ts-expect-error: what is answered at once cannot be asked for by an entry that waits
  const late: Sheet<Lamps> = { ...sheet, count: { operation: 'registry.read' } };
  // @ts-expect-error: the room has not been put behind a guard
  const bare: Guarded<Lamps> = room;
  assert.equal([forgotten, unknown, late, bare].length, 4);
});
