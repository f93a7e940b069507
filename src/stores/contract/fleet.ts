/** What every `FleetStore` answers: above all, the same as the evaluator says of each twin by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { twinDialect } from '../../core/query/dialects.ts';
import { compileExpression } from '../../core/query/evaluate.ts';
import { rowFields } from '../../core/query/fields.ts';
import type { Cursor, FleetStore } from '../../core/query/ports.ts';
import { parseQuery } from '../../core/query/statement.ts';
import type { Value } from '../../core/query/values.ts';
import type { TwinStore } from '../../core/twins/ports.ts';
import { readReportedPatch, readTwinChange } from '../../core/twins/rules.ts';
import { exampleIdentity } from './identities.ts';

export interface FleetTrial {
  readonly fleet: FleetStore;
  readonly twins: TwinStore;
  readonly identities: IdentityStore;
  readonly close: () => Promise<void>;
}

type Row = Readonly<Record<string, unknown>>;
const never = new AbortController().signal;
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const idsOf = (rows: readonly Row[]): readonly unknown[] => rows.map(({ deviceId }) => deviceId);

export async function create({ identities }: FleetTrial, ...keys: readonly IdentityKey[]): Promise<void> {
  const writes = keys.map((key) => ({ kind: 'create' as const, identity: exampleIdentity(key), countMax: 10_000 }));
  for (const { kind } of await identities.write(writes)) assert.equal(kind, 'done');
}

export async function change({ twins }: FleetTrial, key: IdentityKey, body: unknown): Promise<void> {
  const terms = { ifMatch: '*', time: 1, withEvents: false };
  assert.equal((await twins.change(key, readTwinChange(bytes(body), 'merge'), terms)).kind, 'done');
}

export async function report({ twins }: FleetTrial, key: IdentityKey, patch: unknown): Promise<void> {
  const { generationId } = exampleIdentity(key);
  const reports = [{ key, generationId, patch: readReportedPatch(bytes(patch)) }];
  const [outcome] = await twins.report(reports, { time: 2, withEvents: false });
  assert.equal(outcome.kind, 'done');
}

/** All rows of a query, by pages of `countMax`. */
async function rowsOf({ fleet }: FleetTrial, text: string, countMax = 1000): Promise<readonly Row[]> {
  const query = parseQuery(text);
  const rows: Row[] = [];
  let after: Cursor | undefined;
  do {
    const page = await fleet.page({ query, countMax, ...(after && { after }) }, never);
    const found = JSON.parse(page.text) as readonly Row[];
    assert.equal(found.length, page.count);
    assert.ok(
      found.length <= countMax && (found.length > 0 || page.next === undefined),
      'no page is empty but the last',
    );
    rows.push(...found);
    after = page.next;
  } while (after !== undefined);
  return rows;
}

/** What every store of the fleet does. `open` gives a new, empty one. */
export function fleetStoreContract(name: string, open: () => Promise<FleetTrial>): void {
  const trial = (title: string, body: (parts: FleetTrial) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const parts = await open();
      try {
        await body(parts);
      } finally {
        await parts.close();
      }
    });
  };

  trial('twins and modules come whole, in the order of their ids, with what was written before', async (parts) => {
    await create(parts, { deviceId: 'b' }, { deviceId: 'a' }, { deviceId: 'a', moduleId: 'm2' });
    await create(parts, { deviceId: 'a', moduleId: 'm1' });
    await change(parts, { deviceId: 'a' }, { tags: { site: 'x' }, properties: { desired: { t: 1 } } });
    await report(parts, { deviceId: 'a' }, { t: 2 });
    await report(parts, { deviceId: 'a' }, { t: 3, u: { v: true } });
    const [a, b] = await rowsOf(parts, 'SELECT * FROM devices');
    assert.deepEqual(idsOf([a, b]), ['a', 'b']);
    const { $metadata: _, ...reported } = (a.properties as { reported: Row }).reported;
    assert.deepEqual(reported, { t: 3, u: { v: true }, $version: 3 });
    assert.deepEqual(a.tags, { site: 'x' });
    assert.equal(a.version, 5);
    assert.equal(a.etag, 'AAAAAAAAAAI=');
    assert.deepEqual((b.properties as { desired: Row }).desired.$version, 1);
    const modules = await rowsOf(parts, 'SELECT deviceId, moduleId FROM devices.modules', 1);
    assert.deepEqual(modules, [
      { deviceId: 'a', moduleId: 'm1' },
      { deviceId: 'a', moduleId: 'm2' },
    ]);
  });

  trial('each field by itself is what the whole twin shows', async (parts) => {
    await create(parts, { deviceId: 'a' }, { deviceId: 'b' }, { deviceId: 'a', moduleId: 'm' });
    await change(parts, { deviceId: 'a' }, { tags: { site: 'x' }, properties: { desired: { t: 1 } } });
    await report(parts, { deviceId: 'a' }, { t: 2 });
    for (const from of ['devices', 'devices.modules']) {
      const twins = await rowsOf(parts, `SELECT * FROM ${from}`);
      for (const field of rowFields) {
        const rows = await rowsOf(parts, `SELECT ${field} AS x FROM ${from}`);
        assert.deepEqual(
          rows.map(({ x }) => x),
          twins.map((twin) => twin[field]),
          `${field} of ${from}`,
        );
      }
    }
  });

  trial('pages go on where the last one ended, also while the fleet changes', async (parts) => {
    const ids = Array.from({ length: 30 }, (_, at) => `d${String(at).padStart(2, '0')}`);
    await create(parts, ...ids.map((deviceId) => ({ deviceId })));
    for (const size of [1, 7, 30, 31]) {
      assert.deepEqual(idsOf(await rowsOf(parts, 'SELECT * FROM devices', size)), ids, `pages of ${size}`);
    }
    const query = parseQuery('SELECT deviceId FROM devices');
    const first = await parts.fleet.page({ query, countMax: 10 }, never);
    await create(parts, { deviceId: 'd005' }, { deviceId: 'd155' });
    await parts.identities.write(
      ['d09', 'd20'].map((deviceId) => ({ kind: 'delete', key: { deviceId }, ifMatch: '*' })),
    );
    const rest = await parts.fleet.page({ query, countMax: 1000, after: first.next ?? assert.fail() }, never);
    const seen = idsOf([...JSON.parse(first.text), ...JSON.parse(rest.text)]);
    assert.deepEqual(
      seen.filter((id) => id !== 'd155'),
      ids.filter((id) => id !== 'd20'),
    );
    assert.equal(new Set(seen).size, seen.length);
    assert.deepEqual(idsOf(await rowsOf(parts, 'SELECT TOP 5 deviceId FROM devices', 2)), [
      ...['d00', 'd005', 'd01', 'd02', 'd03'],
    ]);
  });

  trial('a fleet larger than one piece is read to its end, by any way in', async (parts) => {
    const count = limits.querySliceRows + 40;
    const ids = Array.from({ length: count }, (_, at) => `d${String(at).padStart(4, '0')}`);
    await create(parts, ...ids.map((deviceId) => ({ deviceId })));
    await create(parts, { deviceId: ids[count - 1], moduleId: 'm' });
    await change(parts, { deviceId: ids[count - 2] }, { tags: { rare: 1 } });
    assert.deepEqual(await rowsOf(parts, 'SELECT COUNT() AS n FROM devices'), [{ n: count }]);
    const rare = await rowsOf(parts, 'SELECT deviceId FROM devices WHERE tags.rare = 1');
    assert.deepEqual(rare, [{ deviceId: ids[count - 2] }]);
    assert.deepEqual(await rowsOf(parts, 'SELECT moduleId FROM devices.modules'), [{ moduleId: 'm' }]);
    assert.deepEqual(idsOf(await rowsOf(parts, 'SELECT deviceId FROM devices', 500)), ids);
    const some = ids.filter((_, at) => at % 7 === 0);
    const list = some.map((id) => `'${id}'`).join(',');
    assert.deepEqual(idsOf(await rowsOf(parts, `SELECT deviceId FROM devices WHERE deviceId IN [${list}]`, 9)), some);
    const begin = await rowsOf(parts, "SELECT deviceId FROM devices WHERE STARTSWITH(deviceId, 'd000')", 3);
    assert.deepEqual(idsOf(begin), ids.slice(0, 10));
  });

  trial('a part of an id finds devices and modules, and nothing else is read of the others', async (parts) => {
    const ids = ['Pump-1', 'pump-1', 'pump-12', '1', '%1', "o'1", 'x_pump', 'pump'];
    await create(parts, ...ids.map((deviceId) => ({ deviceId })));
    await create(parts, { deviceId: 'x_pump', moduleId: 'pump-m' }, { deviceId: 'pump', moduleId: 'm' });
    const texts = ['pump', 'pump-1', 'PUMP', '1', '%', '_', "'", 'pump-123456789', '', '\ue000', 'x\u0000'];
    const ways: Readonly<Record<string, (id: string, text: string) => boolean>> = {
      CONTAINS: (id, text) => id.includes(text),
      STARTSWITH: (id, text) => id.startsWith(text),
      ENDSWITH: (id, text) => id.endsWith(text),
    };
    for (const [way, fits] of Object.entries(ways)) {
      for (const text of texts) {
        const found = await rowsOf(parts, `SELECT deviceId FROM devices WHERE ${way}(deviceId, ${literalText(text)})`);
        assert.deepEqual(idsOf(found), ids.filter((id) => fits(id, text)).sort(), `${way} ${text}`);
        const not = await rowsOf(
          parts,
          `SELECT deviceId FROM devices WHERE NOT ${way}(deviceId, ${literalText(text)})`,
        );
        assert.equal(not.length, ids.length - found.length);
      }
    }
    const modules = await rowsOf(parts, "SELECT moduleId FROM devices.modules WHERE CONTAINS(moduleId, 'ump-')");
    assert.deepEqual(modules, [{ moduleId: 'pump-m' }]);
    const query = parseQuery("SELECT deviceId, status, tags FROM devices WHERE CONTAINS(deviceId, 'pump')");
    const { found, read, database } = await parts.fleet.explain({ query, countMax: 100 }, never);
    assert.equal(found, 4);
    // Only a database can leave rows unread.
    if (database.length > 0) assert.equal(read, 4);
  });

  trial('groups are counted, with those of nothing, and come in pages', async (parts) => {
    for (let at = 0; at < 7; at++) {
      const key = { deviceId: `d${at}` };
      await create(parts, key);
      if (at < 5) await change(parts, key, { tags: { site: ['n', 's', 1, true][at % 4] } });
      await report(parts, key, { t: at });
    }
    const grouped = await rowsOf(parts, 'SELECT tags.site AS s, COUNT() AS n FROM devices GROUP BY tags.site', 2);
    assert.deepEqual(
      [...grouped].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
      [{ n: 2 }, { s: 'n', n: 2 }, { s: 's', n: 1 }, { s: 1, n: 1 }, { s: true, n: 1 }],
    );
    const text = `SELECT COUNT(), SUM(properties.reported.t) AS s, AVG(properties.reported.t) AS a,
      MIN(properties.reported.t) AS lo, MAX(deviceId) AS hi, MAX(tags.none) AS none FROM devices`;
    assert.deepEqual(await rowsOf(parts, text), [{ $1: 7, s: 21, a: 3, lo: 0, hi: 'd6' }]);
    assert.deepEqual(await rowsOf(parts, `${text} WHERE deviceId = 'none'`), [{ $1: 0 }]);
    // A token that says so is none that a page has ended with, but a client can write one.
    const query = parseQuery('SELECT TOP 2 deviceId, COUNT() FROM devices GROUP BY deviceId');
    const after = { kind: 'group', key: '[["d0"]]', given: 5 } as const;
    assert.deepEqual(await parts.fleet.page({ query, countMax: 10, after }, never), { text: '[]', count: 0 });
  });

  trial('a value of a query comes with its type, whatever its name', async (parts) => {
    await create(parts, { deviceId: 'd' });
    const odd = { 'a"b': 1, 'c\\d': 'x', __proto__x: 2, 'größe-1': { 温: null, on: true }, list: [1, { q: 'z' }] };
    await change(parts, { deviceId: 'd' }, { tags: odd });
    await report(parts, { deviceId: 'd' }, { wide: '\u0000\ud83d\ude00', big: 4503599627370495, small: 1.5e-7 });
    const text = `SELECT tags.[[a"b]], tags.[[c\\d]], tags.größe-1.on AS flag, tags.list[1].q AS q, tags.list AS list,
      properties.reported.wide, properties.reported.big, properties.reported.small, properties.reported.big + 1 AS more,
      properties.desired.$version AS v, properties.reported.$metadata.big.$lastUpdated AS at FROM devices
      WHERE tags.list[0] = 1`;
    const at = '1970-01-01T00:00:00.0020000Z';
    assert.deepEqual(await rowsOf(parts, text), [
      {
        ...{ 'a"b': 1, 'c\\d': 'x', flag: true, q: 'z', list: [1, { q: 'z' }], wide: '\u0000\ud83d\ude00' },
        ...{ big: 4503599627370495, small: 1.5e-7, more: 4503599627370496, v: 1, at },
      },
    ]);
  });

  trial('too many groups, and long ones, are refused with the limit', async (parts) => {
    await create(parts, { deviceId: 'd' });
    await change(parts, { deviceId: 'd' }, { tags: { long: 'x'.repeat(limits.queryGroupCharsMax) } });
    await assert.rejects(rowsOf(parts, 'SELECT COUNT() FROM devices GROUP BY tags.long'), {
      code: 'ArgumentInvalid',
      limit: { name: 'queryGroupCharsMax', scope: 'group', current: 1030, max: 1024 },
    });
  });

  trial('groups that hold too many values, or too much text, are refused with the limit', async (parts) => {
    const aggregates = 249;
    const devices = Math.floor(limits.queryGroupValuesMax / (aggregates + 1)) + 1;
    const ids = Array.from({ length: devices }, (_, at) => `d${at}`);
    await create(parts, ...ids.map((deviceId) => ({ deviceId })));
    const select = (aggregate: string, count: number) =>
      `SELECT ${Array.from({ length: count }, (_, at) => `${aggregate} AS a${at}`).join()} FROM devices GROUP BY deviceId`;
    await assert.rejects(rowsOf(parts, select('COUNT()', aggregates)), {
      code: 'ThrottlingException',
      limit: { name: 'queryGroupValuesMax', scope: 'query', current: devices * (aggregates + 1), max: 100_000 },
    });
    assert.equal((await rowsOf(parts, select('COUNT()', aggregates - 1))).length, devices);
    const long = 'x'.repeat(4000);
    for (const deviceId of ids.slice(0, 6)) await change(parts, { deviceId }, { tags: { long } });
    await assert.rejects(rowsOf(parts, select('MIN(tags.long)', 180)), {
      code: 'ThrottlingException',
      message: /MIN and MAX of shorter texts/,
    });
    assert.equal((await rowsOf(parts, select('SUM(tags.long)', 180))).length, devices);
  });

  trial('an explanation says how rows are found, and what it took', async (parts) => {
    const ids = Array.from({ length: 20 }, (_, at) => `d${at}`);
    await create(parts, ...ids.map((deviceId) => ({ deviceId })));
    for (const deviceId of ids.slice(0, 5)) await change(parts, { deviceId }, { tags: { site: 'n' } });
    const explain = (text: string, countMax = 100) => parts.fleet.explain({ query: parseQuery(text), countMax }, never);
    const all = await explain('SELECT * FROM devices');
    assert.deepEqual([all.looked, all.found, all.isWhole, all.wholeTwins], [20, 20, true, true]);
    assert.match(all.summary, /20 looked at, 20 whole twins read, 20 answered, to the end/);
    const page = await explain('SELECT deviceId FROM devices', 7);
    assert.deepEqual([page.found, page.isWhole, page.wholeTwins], [7, false, false]);
    const count = await explain('SELECT COUNT() FROM devices WHERE properties.reported.a = 1');
    assert.deepEqual([count.looked, count.found, count.isWhole], [20, 1, true]);
    assert.deepEqual(count.advice, ['Reported properties cannot be indexed: keep what you search by in tags.']);
    const tagged = await explain("SELECT deviceId FROM devices WHERE tags.site = 'n'");
    assert.equal(tagged.found, 5);
    if (tagged.way.kind === 'index') {
      assert.deepEqual([tagged.way.name, tagged.looked, tagged.advice], ['tags.site', 5, []]);
    } else {
      assert.equal(tagged.looked, 20);
      assert.match(tagged.advice.join(), /^--query-indexes tags\.site \(setting queryIndexes\)/);
    }
    const odd = await explain("SELECT deviceId FROM devices WHERE tags.a > 1 OR tags.b = 'x'");
    assert.match(odd.advice.join(), /Only a comparison by =/);
    for (const value of ['0.5', '1e300', 'null', "'\\ud800'"]) {
      const { way, advice } = await explain(`SELECT deviceId FROM devices WHERE tags.site = ${value}`);
      assert.equal(way.kind, 'scan', value);
      assert.match(advice.join(), /with a text, a whole number, true or false/, value);
    }
    const modules = await explain("SELECT moduleId FROM devices.modules WHERE tags.site = 'n'");
    assert.match(modules.advice.join(), /FROM devices only/);
  });

  trial('what is found is what the evaluator says of each twin, for random fleets and conditions', async (parts) => {
    const seed = Number(process.env.SEED ?? 20261129);
    const keys = Array.from({ length: 40 }, (_, at) => ({ deviceId: `d${at}` }));
    await create(parts, ...keys);
    const random = fc.sample(bodies, { seed, numRuns: keys.length });
    for (const [at, key] of keys.entries()) {
      const { tags, desired, reports } = random[at];
      if (at % 5 > 0) await change(parts, key, { tags, properties: { desired } });
      for (const patch of reports) await report(parts, key, patch);
    }
    const twins = await rowsOf(parts, 'SELECT * FROM devices');
    let found = 0;
    for (const condition of fc.sample(conditions, { seed, numRuns: CONDITIONS })) {
      const query = parseQuery(`SELECT deviceId FROM devices WHERE ${condition}`);
      const passes = compileExpression<Row>(query.where ?? assert.fail(), twinDialect.functions, ({ segments }) => {
        return (twin) => memberOf(twin, segments);
      });
      const wanted = idsOf(twins.filter((twin) => passes(twin) === true));
      const rows = await rowsOf(parts, `SELECT deviceId FROM devices WHERE ${condition}`);
      assert.deepEqual(idsOf(rows), wanted, `seed ${seed}: ${condition}`);
      const whole = await rowsOf(parts, `SELECT * FROM devices WHERE ${condition}`);
      assert.deepEqual(idsOf(whole), wanted, `seed ${seed}: * of ${condition}`);
      found += wanted.length;
    }
    assert.ok(found > CONDITIONS, `only ${found} twins were found in all`);
  });
}

const CONDITIONS = 400;

/** The value in a whole twin as it was answered: names are as they are written in it. */
function memberOf(twin: Row, segments: readonly (string | number)[]): Value {
  let value: unknown = twin;
  for (const segment of segments) {
    const isComposite = typeof value === 'object' && value !== null;
    const fits =
      isComposite && Array.isArray(value) === (typeof segment === 'number') && Object.hasOwn(value as Row, segment);
    value = fits ? (value as Row)[segment] : undefined;
  }
  return value as Value;
}

const texts = ['a', 'b', '', 'ab', '1', 'true', '\ue000', '\u{1f600}', 'x\u0000y', "it's"];
const scalars = fc.constantFrom<unknown>(...texts, 0, 1, 2, -1, 1.5, 0.1, 1e21, 2 ** 51, true, false);
const member = fc.constantFrom('p', 'q', 'r-s', 'ü"', 'in');
const objects = fc.dictionary(
  member,
  fc.oneof(scalars, scalars, fc.array(scalars, { maxLength: 2 }), fc.dictionary(member, scalars, { maxKeys: 2 })),
  { maxKeys: 4 },
);
export const bodies = fc.record({ tags: objects, desired: objects, reports: fc.array(objects, { maxLength: 3 }) });

const section = fc.constantFrom('tags', 'tags', 'properties.desired', 'properties.reported', 'properties.reported');
const path = fc.oneof(
  fc.tuple(section, member).map(([of, name]) => `${of}.[[${name}]]`),
  fc.tuple(section, member, member).map(([of, name, below]) => `${of}.[[${name}]].[[${below}]]`),
  fc.tuple(section, member).map(([of, name]) => `${of}.[[${name}]][0]`),
  fc.constantFrom('properties.desired.$version', 'properties.reported.$version', 'version', 'status', 'deviceId'),
);
const literal = fc.oneof(scalars, fc.constantFrom<unknown>('d1', 'd12', 'enabled', null, 3)).map(literalText);
const leaf = fc.oneof(
  fc.tuple(path, fc.constantFrom('=', '!=', '<', '<=', '>', '>='), literal).map((parts) => parts.join(' ')),
  fc.tuple(literal, fc.constantFrom('=', '<', '>='), path).map((parts) => parts.join(' ')),
  fc.tuple(path, fc.constantFrom('=', '!=', '<'), path).map((parts) => parts.join(' ')),
  fc
    .tuple(path, fc.constantFrom('IN', 'NIN'), fc.array(literal, { maxLength: 3 }))
    .map(([of, how, list]) => `${of} ${how} [${list}]`),
  path.map((of) => `IS_DEFINED(${of})`),
  path.map((of) => `IS_STRING(${of})`),
  fc
    .tuple(fc.constantFrom('STARTSWITH', 'ENDSWITH', 'CONTAINS'), path, fc.constantFrom(...texts, 'd1'))
    .map(([how, of, text]) => `${how}(${of}, ${literalText(text)})`),
  fc.tuple(path, literal).map(([of, item]) => `ARRAY_CONTAINS(${of}, ${item})`),
  fc.tuple(section, member).map(([of, name]) => `${of}.[[${name}]]`),
);
export const conditions: fc.Arbitrary<string> = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    leaf,
    fc
      .tuple(tie('condition'), fc.constantFrom('AND', 'OR'), tie('condition'))
      .map(([a, how, b]) => `(${a}) ${how} (${b})`),
    tie('condition').map((operand) => `NOT (${operand})`),
  ),
})).condition;

function literalText(value: unknown): string {
  if (typeof value !== 'string') return String(value);
  const escaped = value.replace(/[\\']/g, (each) => `\\${each}`).replace(/\0/g, '\\u0000');
  return `'${escaped}'`;
}
