/** Two hubs over one store: what one changes reaches the clients of the other by what it tells, and by a look at all rows where it did not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock, VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { exampleIdentity } from '../../stores/contract/identities.ts';
import { LiveRows } from '../../stores/contract/live-rows.ts';
import { createMemoryFleetStore } from '../../stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../stores/memory/twins.ts';
import type { PolicyPrincipal } from '../identity/types.ts';
import type { ConnectionWatcher } from '../presence/ports.ts';
import { readTwinChange } from '../twins/rules.ts';
import { LiveQueries } from './live-queries.ts';
import { rowParts } from './parts.ts';
import type { FleetMatcher } from './ports.ts';
import type { LiveBatch } from './room.ts';
import { RowChanges } from './row-changes.ts';
import { RowTeller } from './row-teller.ts';
import type { ElsewhereListener } from './rows-elsewhere.ts';
import { parseQuery } from './statement.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const presence = { watch: () => {} };

/** Clients follow at a hub that hears nothing of the store by itself. */
function openHouse() {
  const clock = new VirtualClock();
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const fleet = createMemoryFleetStore(identities, twins, {
    state: async () => ({ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 }),
    commandDepths: async (keys) => keys.map(() => 0),
  });
  let pieces = 0;
  const matcher: FleetMatcher = {
    ...fleet.matcher,
    piece: (query, after) => {
      pieces++;
      return fleet.matcher.piece(query, after);
    },
  };
  const deaf = { watchOwnWrites: () => () => {} };
  const silent = new RowChanges({ identities: deaf, twins: { watchChanges: () => () => {} }, presence });
  let listener: ElsewhereListener | undefined;
  let begin: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const elsewhere = {
    follow(heard: ElsewhereListener) {
      listener = heard;
      return {
        begun,
        end: () => {
          listener = undefined;
        },
      };
    },
    settle: async () => {},
  };
  const live = new LiveQueries({
    ...{ matcher, changes: silent, elsewhere, clock, random: systemRandom, log: silentLog },
  });
  const principal: PolicyPrincipal = {
    ...{ kind: 'policy', policyName: 'service', permissions: new Set(['ServiceConnect']), scope: [] },
    expiresAt: clock.now() + 3_600_000,
  };
  const follow = (text: string, after?: string, held = new LiveRows()) => {
    const gone = new AbortController();
    if (after !== undefined) held.comesBack();
    const seen: LiveBatch[] = [];
    const batches = live.follow(principal, text, parseQuery(text), after === undefined ? {} : { after }, gone.signal);
    const read = (async () => {
      for await (const batch of batches) {
        seen.push(batch);
        for (const event of batch.events) held.apply(event);
      }
    })();
    const leave = async (): Promise<void> => {
      gone.abort();
      await read;
    };
    return { held, seen, leave, id: () => seen.findLast(({ id }) => id !== undefined)?.id };
  };
  const create = (deviceId: string) =>
    identities.write([{ kind: 'create', identity: exampleIdentity({ deviceId }), countMax: 1000 }]);
  const remove = (deviceId: string) => identities.write([{ kind: 'delete', key: { deviceId }, ifMatch: '*' }]);
  const tag = (deviceId: string, tags: unknown) => {
    const change = readTwinChange(Buffer.from(JSON.stringify({ tags })), 'merge');
    return twins.change({ deviceId }, change, { ifMatch: '*', time: clock.now(), withEvents: false });
  };
  /** Lets time pass, and what follows from it happen. */
  const pass = async (ms = 0): Promise<void> => {
    clock.advance(ms);
    for (let at = 0; at < 40; at++) await turn();
  };
  return {
    clock,
    live,
    identities,
    twins,
    follow,
    create,
    remove,
    tag,
    pass,
    begin,
    heard: () => listener,
    pieces: () => pieces,
  };
}

const row = (deviceId: string, n?: number) => ({ deviceId, ...(n !== undefined && { n }) });
const QUERY = 'SELECT deviceId, tags.n AS n FROM devices WHERE tags.n > 0';

test('rows are read when the others tell their changes, and what they tell takes the way of own changes', async () => {
  const { follow, create, tag, pass, begin, heard } = openHouse();
  await create('a');
  const client = follow(QUERY);
  await pass();
  assert.deepEqual(client.seen, [], 'nothing is read yet');
  await tag('a', { n: 1 });
  begin();
  await pass();
  assert.deepEqual(client.held.sorted(), [row('a', 1)]);
  await tag('a', { n: 2 });
  heard()?.changed([{ place: { deviceId: 'a', moduleId: '' }, parts: rowParts.tags }]);
  await pass(limits.liveQueryRoundMs);
  assert.deepEqual(client.held.sorted(), [row('a', 2)]);
  await client.leave();
  await pass(limits.liveQueryLingerMs);
  assert.equal(heard(), undefined, 'nobody is asked while nobody follows');
});

test('changes that were missed are found by a look at all rows, of which a client sees the difference alone', async () => {
  const { live, follow, create, remove, tag, pass, begin, heard } = openHouse();
  begin();
  for (const id of ['a', 'b', 'c', 'd']) await create(id);
  for (const id of ['a', 'b', 'c']) await tag(id, { n: 1 });
  const client = follow(QUERY);
  await pass();
  await tag('a', { n: 2 });
  await tag('b', { n: 0 });
  await remove('c');
  await tag('d', { n: 1 });
  const before = client.seen.length;
  heard()?.missed();
  await pass();
  const news = client.seen.slice(before).flatMap(({ events }) => events.map(({ kind }) => kind));
  assert.deepEqual(news.sort(), ['change', 'enter', 'leave', 'leave']);
  assert.deepEqual(client.held.sorted(), [row('a', 2), row('d', 1)]);
  // Soon again is too soon.
  await tag('a', { n: 3 });
  heard()?.missed();
  await pass();
  assert.deepEqual(client.held.sorted(), [row('a', 2), row('d', 1)]);
  await pass(limits.liveQueryLookAgainMs);
  assert.deepEqual(client.held.sorted(), [row('a', 3), row('d', 1)]);
  assert.deepEqual(client.held.resets, ['new']);
  assert.equal(live.totals.looks, 2);
  await client.leave();
});

test('a look at what many clients follow reads the rows of one query for many of them at once', async () => {
  const { follow, create, tag, pass, begin, heard, pieces } = openHouse();
  for (let at = 0; at < 20; at++) {
    await create(`d${at}`);
    await tag(`d${at}`, { n: 1 });
  }
  const clients = Array.from({ length: 40 }, () => follow(QUERY));
  const other = follow('SELECT deviceId, tags.n AS n FROM devices WHERE tags.n > 1');
  begin();
  await pass();
  assert.equal(clients.filter(({ held }) => held.sorted().length === 20).length, 40);
  assert.ok(pieces() <= 5, `${pieces()} readings to begin`);
  await tag('d7', { n: 2 });
  const before = pieces();
  heard()?.missed();
  await pass();
  const wanted = Array.from({ length: 20 }, (_, at) => row(`d${at}`, at === 7 ? 2 : 1));
  wanted.sort((one, other) => (one.deviceId < other.deviceId ? -1 : 1));
  for (const { held } of clients) assert.deepEqual(held.sorted(), wanted);
  assert.deepEqual(other.held.sorted(), [row('d7', 2)]);
  assert.ok(pieces() - before <= 5, `${pieces() - before} readings to look`);
  for (const client of [...clients, other]) await client.leave();
});

test('a client that comes back with an id of before something was missed gets its rows anew, one of behind it goes on', async () => {
  const { follow, create, tag, pass, begin, heard } = openHouse();
  begin();
  await create('a');
  await tag('a', { n: 1 });
  const first = follow(QUERY);
  await pass();
  const old = first.id();
  await first.leave();
  heard()?.missed();
  await tag('a', { n: 2 });
  await pass();
  const second = follow(QUERY, old);
  await pass();
  assert.deepEqual(second.held.resets, ['forgotten']);
  assert.deepEqual(second.held.sorted(), [row('a', 2)]);
  heard()?.missed();
  await tag('a', { n: 3 });
  await pass(limits.liveQueryLookAgainMs);
  // The sign of life says where it is behind the look.
  await pass(limits.liveQueryHeartbeatMs);
  const id = second.id();
  await second.leave();
  const third = follow(QUERY, id, second.held);
  await pass();
  await tag('a', { n: 4 });
  heard()?.changed([{ place: { deviceId: 'a', moduleId: '' }, parts: rowParts.tags }]);
  await pass(limits.liveQueryRoundMs);
  assert.deepEqual(third.held.resets, ['forgotten'], 'no other one');
  assert.deepEqual(third.held.sorted(), [row('a', 4)]);
  await third.leave();
});

test('who finds out that changes may have been missed has all rows looked at, while there is a client', async () => {
  const { live, follow, create, tag, pass, begin } = openHouse();
  begin();
  live.missed();
  await pass(limits.liveQueryLookAgainMs);
  assert.equal(live.totals.looks, 0, 'for nobody');
  await create('a');
  const client = follow(QUERY);
  await pass();
  await tag('a', { n: 1 });
  live.missed();
  await pass();
  assert.deepEqual([client.held.sorted(), client.held.resets], [[row('a', 1)], ['new']]);
  await client.leave();
});

test('what is told goes on from a number, each row once, and numbers that are not remembered are said to be so', async () => {
  const { identities, twins, create, tag } = openHouse();
  let settled = 0;
  let connect: (key: { key: { deviceId: string } }) => void = () => {};
  let storeLate: (key: { deviceId: string }) => void = () => {};
  const watched = {
    watch: (watcher: ConnectionWatcher) => {
      connect = (claim) => watcher.connected(claim as never, 1);
      storeLate = (key) => watcher.storedLate?.(key);
    },
  };
  const teller = new RowTeller({
    changes: new RowChanges({ identities, twins, presence: watched }),
    settlePresence: async () => void settled++,
    clock: systemClock,
  });
  const { signal } = new AbortController();
  await create('a');
  const { through, changes } = await teller.since(undefined, signal);
  assert.equal(changes, undefined);
  const asked = teller.since(through, signal);
  await tag('a', { n: 1 });
  await create('b');
  await tag('a', { n: 2 });
  const told = await asked;
  const names = (all = told.changes) => all?.map(({ place, parts }) => [place.deviceId, parts]);
  assert.deepEqual(names(), [
    ['a', rowParts.tags],
    ['b', 255],
  ]);
  const before = settled;
  connect({ key: { deviceId: 'b' } });
  assert.deepEqual(names((await teller.since(told.through, signal)).changes), [['b', rowParts.presence]]);
  assert.equal(settled, before + 1, 'who is connected is in the store before it is told');
  assert.deepEqual(names((await teller.since(through, signal)).changes)?.length, 2, 'an answer may be asked for again');
  storeLate({ deviceId: 'a' });
  assert.deepEqual(names((await teller.since(told.through + 1, signal)).changes), [['a', rowParts.presence]]);
  const waiting = teller.since(told.through + 2, signal);
  teller.forget();
  const forgotten = await waiting;
  assert.equal(forgotten.changes, undefined);
  teller.close();
});
