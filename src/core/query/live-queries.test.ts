/** What a live query does at its bounds: a client that reads slowly, too many of them, ends of tokens, stores that fail. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { exampleIdentity } from '../../stores/contract/identities.ts';
import { LiveRows } from '../../stores/contract/live-rows.ts';
import { createMemoryFleetStore } from '../../stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../stores/memory/twins.ts';
import { HubError } from '../errors.ts';
import type { PolicyPrincipal } from '../identity/types.ts';
import { readTwinChange } from '../twins/rules.ts';
import { LiveQueries } from './live-queries.ts';
import type { FleetMatcher } from './ports.ts';
import type { LiveBatch } from './room.ts';
import { RowChanges } from './row-changes.ts';
import { parseQuery } from './statement.ts';

const HOUR_MS = 3_600_000;

async function openHouse(wrap: (matcher: FleetMatcher) => FleetMatcher = (matcher) => matcher) {
  const clock = new VirtualClock();
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const { matcher } = createMemoryFleetStore(identities, twins, {
    state: async () => ({ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0 }),
    commandDepths: async (keys) => keys.map(() => 0),
  });
  const changes = new RowChanges({ identities, twins, presence: { watch: () => {} } });
  const live = new LiveQueries({
    ...{ matcher: wrap(matcher), changes, clock, random: systemRandom, log: silentLog },
  });
  const principal = (policyName = 'service'): PolicyPrincipal => ({
    ...{ kind: 'policy', policyName, permissions: new Set(['ServiceConnect']), scope: [] },
    expiresAt: clock.now() + HOUR_MS,
  });
  const follow = (text: string, { after, by, signal }: { after?: string; by?: string; signal?: AbortSignal } = {}) => {
    const options = after === undefined ? {} : { after };
    const batches = live.follow(principal(by), text, parseQuery(text), options, signal ?? new AbortController().signal);
    return batches[Symbol.asyncIterator]();
  };
  const create = async (...ids: readonly string[]): Promise<void> => {
    const writes = ids.map((deviceId) => ({
      ...{ kind: 'create' as const, identity: exampleIdentity({ deviceId }), countMax: 1_000_000 },
    }));
    await identities.write(writes);
  };
  const tag = async (deviceId: string, tags: unknown, desired?: unknown): Promise<void> => {
    const body = { tags, ...(desired !== undefined && { properties: { desired } }) };
    const change = readTwinChange(Buffer.from(JSON.stringify(body)), 'merge');
    const done = await twins.change({ deviceId }, change, { ifMatch: '*', time: clock.now(), withEvents: false });
    assert.equal(done.kind, 'done');
  };
  /** Lets time pass, and what follows from it happen. */
  const pass = async (ms: number = limits.liveQueryRoundMs): Promise<void> => {
    clock.advance(ms);
    for (let at = 0; at < 20; at++) await turn();
  };
  return { clock, live, follow, create, tag, pass };
}

const batchOf = async (next: Promise<IteratorResult<LiveBatch, unknown>>): Promise<LiveBatch> => {
  const { value, done } = await next;
  assert.equal(done, false, 'it goes on');
  return value as LiveBatch;
};

const shown = ({ events }: LiveBatch): readonly string[] =>
  events.map((event) => {
    const text = 'text' in event ? ` ${event.text}` : '';
    return 'place' in event ? `${event.kind} ${event.place.deviceId}${text}` : event.kind;
  });

test('a client gets the rows, then what becomes of them, and nothing of what its query does not hang on', async () => {
  const { follow, create, tag, pass } = await openHouse();
  await create('a', 'b', 'c');
  await tag('a', { site: 'n' });
  const batches = follow("SELECT deviceId, tags.v FROM devices WHERE tags.site = 'n'");
  assert.deepEqual(shown(await batchOf(batches.next())), ['reset']);
  assert.deepEqual(shown(await batchOf(batches.next())), ['enter a {"deviceId":"a"}', 'ready']);
  const news = batches.next();
  await tag('b', { site: 'n', v: 1 });
  await tag('b', { v: 2 });
  await tag('c', { site: 's' });
  await tag('a', { other: 1 });
  await pass();
  assert.deepEqual(shown(await batchOf(news)), ['enter b {"deviceId":"b","v":2}']);
  const more = batches.next();
  await tag('a', { v: 3 });
  await tag('b', { site: null });
  await pass();
  assert.deepEqual(shown(await batchOf(more)), ['change a {"deviceId":"a","v":3}', 'leave b']);
  const quiet = batches.next();
  await pass(limits.liveQueryHeartbeatMs);
  const { events, id } = await batchOf(quiet);
  assert.deepEqual([events, id === undefined], [[], false], 'a sign of life says where the client is');
});

test('a client that reads too slowly is told that it is behind, and gets its rows anew', async () => {
  const { follow, create, tag, pass, live } = await openHouse();
  await create('a', 'b');
  const batches = follow('SELECT deviceId, tags.n, tags.long FROM devices WHERE tags.n > 0');
  const held = new LiveRows();
  const read = async () => {
    for (const event of (await batchOf(batches.next())).events) held.apply(event);
  };
  while (!held.isReady) await read();
  const long = 'x'.repeat(4000);
  const changes = Math.ceil(limits.liveQueryCharsMax / long.length) + 2;
  for (let n = 1; n <= changes; n++) {
    await tag('a', { n, long });
    await pass();
  }
  assert.equal(live.totals.rows, 0, 'nothing is kept for a client that is behind');
  await tag('b', { n: 1 });
  do await read();
  while (!held.isReady);
  assert.deepEqual(held.resets, ['new', 'behind']);
  assert.deepEqual(held.sorted(), [
    { deviceId: 'a', n: changes, long },
    { deviceId: 'b', n: 1 },
  ]);
  assert.equal(live.totals.behind, 1);
});

test('many that read slowly do not set back one that reads', async () => {
  const { follow, create, tag, pass, live } = await openHouse();
  // As much waits for the slow ones together as may wait at all.
  const slowCount = 65;
  const own = Math.floor(limits.liveQueriesCharsMax / slowCount);
  const around = 200 + '{"long":""}'.length;
  const count = Math.floor(own / (4000 + around));
  const rest = own - count * (4000 + around) - around;
  assert.ok(rest >= 0 && own < limits.liveQueryCharsMax, `${rest} characters are left`);
  const ids = Array.from({ length: count }, (_, at) => `a${at}`);
  await create(...ids, 'rest', 'b');
  const text = 'SELECT tags.long FROM devices WHERE tags.n > 0';
  const slow = Array.from({ length: slowCount }, () => follow(text, { by: 'slow' }));
  const batches = follow('SELECT tags.m FROM devices WHERE tags.m > 0');
  for (const each of [...slow, batches]) for (let at = 0; at < 2; at++) await batchOf(each.next());
  for (const id of ids) await tag(id, { n: 1, long: 'x'.repeat(4000) });
  await tag('rest', { n: 1, long: 'x'.repeat(rest) });
  await pass();
  assert.equal(live.totals.rows, slowCount * (count + 1), 'none is behind yet');
  for (let m = 1; m <= 3; m++) {
    const news = batches.next();
    await tag('b', { m });
    await pass();
    assert.deepEqual(shown(await batchOf(news)), [`${m === 1 ? 'enter' : 'change'} b {"m":${m}}`]);
  }
  await tag('a0', { n: 2, long: 'y' });
  await pass();
  assert.equal(live.totals.rows, (slowCount - 1) * (count + 1) + 1, 'one that holds too much gives way');
});

test('a client that comes back too late, with another query or another key, gets its rows anew', async () => {
  const { follow, create, tag, pass, live } = await openHouse();
  await create('a');
  const text = 'SELECT deviceId, tags.n FROM devices';
  const idOf = async (): Promise<string> => {
    const gone = new AbortController();
    const batches = follow(text, { signal: gone.signal });
    await batchOf(batches.next());
    const { id } = await batchOf(batches.next());
    gone.abort();
    assert.equal((await batches.next()).done, true);
    return id ?? assert.fail('a client that has all rows has an id');
  };
  const first = async (after: string, other: { text?: string; by?: string } = {}) => {
    const gone = new AbortController();
    const batches = follow(other.text ?? text, { after, signal: gone.signal, ...(other.by && { by: other.by }) });
    const next = batches.next();
    await pass();
    const batch = await batchOf(next);
    gone.abort();
    return batch.events.map((event) => (event.kind === 'reset' ? event.why : event.kind));
  };
  const soon = await idOf();
  await tag('a', { n: 1 });
  assert.deepEqual(await first(soon), ['enter']);
  assert.deepEqual(await first(await idOf(), { text: `${text} WHERE tags.n = 1` }), ['forgotten']);
  assert.deepEqual(await first(await idOf(), { by: 'other' }), ['forgotten']);
  for (const odd of ['x', `${'0'.repeat(36)}.1`, `${await idOf()}9`]) assert.deepEqual(await first(odd), ['forgotten']);
  const late = await idOf();
  await pass(limits.liveQueryLingerMs);
  assert.equal(live.totals.rows, 0);
  assert.deepEqual(await first(late), ['forgotten']);
  const busy = await idOf();
  for (let at = 0; at <= limits.liveQueryChangesKept; at++) await tag('a', { n: at });
  assert.deepEqual(await first(busy), ['forgotten']);
});

test('an id that is made up is one that is not known, also with a number that was passed over', async () => {
  const { follow, create, tag, pass, live } = await openHouse();
  await create('a');
  const text = 'SELECT deviceId, tags.n FROM devices';
  const lost = new AbortController();
  follow(text, { signal: lost.signal });
  lost.abort();
  // What was before is forgotten: the numbers go on behind a gap.
  assert.equal(live.totals.followers, 0);
  const gone = new AbortController();
  const batches = follow(text, { signal: gone.signal });
  await batchOf(batches.next());
  const { id } = await batchOf(batches.next());
  const [, name, number] = /^(.*)\.(\d+)$/.exec(id ?? '') ?? assert.fail('it has an id');
  gone.abort();
  assert.equal((await batches.next()).done, true);
  for (const less of [1, 5, 60_000]) {
    const again = new AbortController();
    const next = follow(text, { after: `${name}.${Number(number) - less}`, signal: again.signal });
    assert.deepEqual(shown(await batchOf(next.next())), ['reset'], `${less} less`);
    again.abort();
  }
  const back = follow(text, { after: `${name}.${number}` });
  const news = back.next();
  await tag('a', { n: 1 });
  await pass();
  assert.deepEqual(shown(await batchOf(news)), ['change a {"deviceId":"a","n":1}'], 'the one who knows it goes on');
});

test('a client that is followed is ended by no other caller and no other query that names it', async () => {
  const { follow, create, tag, pass, live } = await openHouse();
  await create('a');
  const text = 'SELECT deviceId, tags.n FROM devices';
  const batches = follow(text);
  await batchOf(batches.next());
  const { id } = await batchOf(batches.next());
  const gone = new AbortController();
  const after = id ?? assert.fail('it has an id');
  follow(text, { after, by: 'other', signal: gone.signal });
  follow(`${text} WHERE tags.n = 1`, { after, signal: gone.signal });
  assert.equal(live.totals.followers, 3);
  const news = batches.next();
  await tag('a', { n: 1 });
  await pass();
  assert.deepEqual(shown(await batchOf(news)), ['change a {"deviceId":"a","n":1}']);
  gone.abort();
});

test('nothing is read for a client that has gone while it waited for its rows', async () => {
  let pieces = 0;
  const { follow, create, pass } = await openHouse((matcher) => ({
    ...matcher,
    piece: (...args) => {
      pieces++;
      return matcher.piece(...args);
    },
  }));
  await create('a');
  const gone = new AbortController();
  const lost = Array.from({ length: 20 }, () => follow('SELECT deviceId FROM devices', { signal: gone.signal }));
  for (const each of lost) await batchOf(each.next());
  const waiting = lost.map((each) => each.next());
  gone.abort();
  await pass();
  for (const each of waiting) assert.equal((await each).done, true);
  assert.ok(pieces <= 1, `${pieces} pieces were read`);
});

test('a row that is too long ends its query with the reason, and no other query', async () => {
  const { follow, create, tag, pass } = await openHouse();
  await create('a', 'b');
  const items = Array.from({ length: 220 }, (_, at) => `properties AS a${at}`).join(',');
  const [long, other] = [follow(`SELECT ${items} FROM devices`), follow('SELECT tags.n FROM devices')];
  const starts = async (batches: typeof long): Promise<void> => {
    for (let at = 0; at < 2; at++) await batchOf(batches.next());
  };
  await Promise.all([starts(long), starts(other)]);
  const [ofLong, ofOther] = [long.next(), other.next()];
  await tag('a', { n: 1 }, { d: 'x'.repeat(4000), e: Array(6).fill('x'.repeat(4000)) });
  await pass();
  assert.deepEqual(shown(await batchOf(ofOther)), ['change a {"n":1}']);
  assert.deepEqual(shown(await batchOf(ofLong)), ['reset']);
  assert.match(
    JSON.stringify(await batchOf(long.next())),
    /"kind":"end","code":"ThrottlingException".*queryRowCharsMax/,
  );
});

test('too many followers are refused with the limit, of one policy before of all', async () => {
  const { follow } = await openHouse();
  const gone = new AbortController();
  const text = 'SELECT deviceId FROM devices';
  for (let at = 0; at < limits.liveQueriesPerPolicyMax; at++) follow(text, { signal: gone.signal });
  assert.throws(() => follow(text), {
    code: 'ThrottlingException',
    limit: { name: 'liveQueriesPerPolicyMax', scope: 'policy service', current: 128, max: 128 },
  });
  const rest = limits.liveQueriesMax - limits.liveQueriesPerPolicyMax;
  for (let at = 0; at < rest; at++) follow(text, { by: 'other', signal: gone.signal });
  assert.throws(() => follow(text, { by: 'third' }), {
    limit: { name: 'liveQueriesMax', scope: 'hub', current: 160, max: 160 },
  });
  gone.abort();
  assert.deepEqual(shown(await batchOf(follow(text).next())), ['reset']);
});

test('a client that has gone before it is served takes no place', async () => {
  const { follow, live } = await openHouse();
  const gone = new AbortController();
  gone.abort(new HubError('ServiceUnavailable'));
  assert.throws(() => follow('SELECT * FROM devices', { signal: gone.signal }), { code: 'ServiceUnavailable' });
  assert.equal(live.totals.followers, 0);
});

test('a query that cannot be followed is refused with the place', async () => {
  const { follow } = await openHouse();
  const refused: readonly (readonly [string, RegExp])[] = [
    ['SELECT COUNT() AS n FROM devices', /column 8, near 'COUNT.*aggregates/],
    ['SELECT tags.a FROM devices GROUP BY tags.a', /GROUP BY/],
    ['SELECT TOP 5 * FROM devices', /TOP/],
    ['SELECT * FROM devices.jobs', /devices or devices.modules/],
    ["SELECT * FROM devices WHERE lastActivityTime > '2026'", /column 29, .*lastActivityTime/],
    ['SELECT deviceId, cloudToDeviceMessageCount FROM devices', /cloudToDeviceMessageCount/],
  ];
  for (const [text, message] of refused) assert.throws(() => follow(text), { code: 'ArgumentInvalid', message }, text);
});

test('it ends with the token and with the hub, and the client is told so', async () => {
  const { follow, create, pass, live } = await openHouse();
  await create('a');
  const text = 'SELECT deviceId FROM devices';
  const batches = follow(text);
  for (let at = 0; at < 2; at++) await batchOf(batches.next());
  // Signs of life until then.
  let last: LiveBatch = { events: [] };
  while (last.events.length === 0) {
    const next = batches.next();
    await pass(HOUR_MS / 4);
    last = await batchOf(next);
  }
  assert.match(JSON.stringify(last), /IotHubUnauthorized.*token has ended/);
  assert.equal((await batches.next()).done, true);
  const other = follow(text);
  await batchOf(other.next());
  live.close();
  const left: string[] = [];
  for (let next = await other.next(); !next.done; next = await other.next())
    left.push(...shown(next.value as LiveBatch));
  assert.equal(left.at(-1), 'end');
  assert.throws(() => follow(text), { code: 'ServiceUnavailable' });
});

test('rows that could not be read are read again, and a beginning that fails ends with the reason', async () => {
  let fails = false;
  const { follow, create, tag, pass } = await openHouse((matcher) => ({
    ...matcher,
    match: (asks) => (fails ? Promise.reject(new HubError('ServiceUnavailable')) : matcher.match(asks)),
    piece: (...args) => (fails ? Promise.reject(new HubError('ServiceUnavailable')) : matcher.piece(...args)),
  }));
  await create('a', 'b');
  const batches = follow("SELECT deviceId FROM devices WHERE tags.site = 'n'");
  for (let at = 0; at < 2; at++) await batchOf(batches.next());
  fails = true;
  const news = batches.next();
  await tag('a', { site: 'n' });
  await pass();
  await tag('b', { site: 'n' });
  const second = follow('SELECT deviceId FROM devices');
  assert.deepEqual(shown(await batchOf(second.next())), ['reset']);
  assert.match(JSON.stringify(await batchOf(second.next())), /"kind":"end","code":"ServiceUnavailable"/);
  fails = false;
  await pass(limits.liveQueryRetryMs);
  assert.deepEqual(shown(await batchOf(news)), ['enter a {"deviceId":"a"}', 'enter b {"deviceId":"b"}']);
});
