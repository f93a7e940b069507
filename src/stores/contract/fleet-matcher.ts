/** What every `FleetMatcher` answers: of each row the same as the query itself finds, and what a write has said is in the next answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { everyPart, partsOf, rowParts } from '../../core/query/parts.ts';
import type { FleetPlace, MatchedPiece, RowMatch } from '../../core/query/ports.ts';
import { parseQuery } from '../../core/query/statement.ts';
import { bodies, change, conditions, create, type FleetTrial, report } from './fleet.ts';

const never = new AbortController().signal;
const placeOf = ({ deviceId, moduleId }: IdentityKey): FleetPlace => ({ deviceId, moduleId: moduleId ?? '' });
const CONDITIONS = 60;

/** All pieces of a query. */
async function allOf({ fleet }: FleetTrial, query: number): Promise<MatchedPiece['rows']> {
  const rows: MatchedPiece['rows'][number][] = [];
  let after: FleetPlace | undefined;
  do {
    const piece = await fleet.matcher.piece(query, after);
    rows.push(...piece.rows);
    after = piece.end;
  } while (after !== undefined);
  return rows;
}

/** @param open Gives a new, empty store */
export function fleetMatcherContract(name: string, open: () => Promise<FleetTrial>): void {
  test(`${name}: rows are matched as queries find them, for random fleets and conditions`, async () => {
    const seed = Number(process.env.SEED ?? 20261130);
    const parts = await open();
    try {
      const { matcher } = parts.fleet;
      const keys = Array.from({ length: 30 }, (_, at) => ({ deviceId: `d${at}` }));
      await create(parts, ...keys);
      for (const [at, { tags, desired, reports }] of fc.sample(bodies, { seed, numRuns: keys.length }).entries()) {
        if (at % 5 > 0) await change(parts, keys[at], { tags, properties: { desired } });
        for (const patch of reports) await report(parts, keys[at], patch);
      }
      const texts = fc.sample(conditions, { seed, numRuns: CONDITIONS });
      const queries = texts.map((text, at) =>
        parseQuery(`SELECT ${at % 3 === 0 ? '*' : 'deviceId, tags.p'} FROM devices WHERE ${text}`),
      );
      const ids = queries.map((query) => matcher.add(query));
      const asks = [...keys, { deviceId: 'none' }].map((key) => ({ place: placeOf(key), parts: everyPart }));
      const matches = await matcher.match(asks);
      assert.deepEqual(matches.at(-1), [], 'what is not there passes nothing');
      let found = 0;
      for (const [at, query] of queries.entries()) {
        const page = await parts.fleet.page({ query, countMax: 1000 }, never);
        const wanted = [...(JSON.parse(page.text) as { readonly deviceId: string }[])];
        const byMatch = keys.flatMap(({ deviceId }, row) =>
          matches[row].filter((match) => match.query === ids[at]).map((match) => ({ deviceId, ...match })),
        );
        const byPiece = await allOf(parts, ids[at]);
        const inOrder = [...byMatch].sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
        const what = `seed ${seed}: ${texts[at]}`;
        assert.deepEqual(
          inOrder.map(({ text }) => JSON.parse(text)),
          wanted,
          what,
        );
        assert.deepEqual(
          byPiece.map(({ place, text, digest }) => ({ deviceId: place.deviceId, text, digest })),
          inOrder.map(({ deviceId, text, digest }) => ({ deviceId, text, digest })),
          what,
        );
        found += wanted.length;
      }
      assert.ok(found > CONDITIONS, `only ${found} rows were found in all`);
      for (const id of ids) matcher.remove(id);
      assert.deepEqual(
        (await matcher.match(asks)).filter((each) => each.length > 0),
        [],
      );
    } finally {
      await parts.close();
    }
  });

  test(`${name}: a match is as new as what was answered before; modules and devices do not mix`, async () => {
    const parts = await open();
    try {
      const { matcher } = parts.fleet;
      const [device, module] = [{ deviceId: 'd' }, { deviceId: 'd', moduleId: 'm' }];
      await create(parts, device, module);
      const devices = matcher.add(parseQuery("SELECT tags.n FROM devices WHERE tags.site = 'x'"));
      const modules = matcher.add(parseQuery("SELECT moduleId, tags.n FROM devices.modules WHERE tags.site IN ['x']"));
      const asks = [device, module].map((key) => ({ place: placeOf(key), parts: everyPart }));
      for (let n = 1; n <= 20; n++) {
        await change(parts, device, { tags: { site: 'x', n } });
        await change(parts, module, { tags: { site: 'x', n } });
        const [ofDevice, ofModule] = await matcher.match(asks);
        assert.deepEqual(
          [...ofDevice, ...ofModule].map(({ query, text }) => [query, JSON.parse(text)]),
          [
            [devices, { n }],
            [modules, { moduleId: 'm', n }],
          ],
        );
      }
      const [ofTags] = await matcher.match([{ place: placeOf(device), parts: rowParts.reported }]);
      assert.deepEqual(ofTags, [], 'neither query hangs on what is reported');
      assert.equal(partsOf(parseQuery('SELECT tags.n FROM devices')), rowParts.existence | rowParts.tags);
    } finally {
      await parts.close();
    }
  });

  test(`${name}: a match is bounded: long texts come in several answers, and what is too long is left out`, async () => {
    const parts = await open();
    try {
      const { matcher } = parts.fleet;
      const keys = Array.from({ length: 70 }, (_, at) => ({ deviceId: `d${100 + at}` }));
      await create(parts, ...keys);
      const text = 'x'.repeat(2500);
      for (const key of keys) await change(parts, key, { tags: { a: [text, text, text] } });
      await change(parts, keys[1], { properties: { desired: { a: Array(10).fill(text) } } });
      const items = (of: string, count: number) => Array.from({ length: count }, (_, at) => `${of} AS i${at}`).join();
      const long = matcher.add(parseQuery(`SELECT ${items('tags.a', 100)} FROM devices`));
      const longer = matcher.add(parseQuery(`SELECT ${items('properties.desired', 200)} FROM devices`));
      const short = matcher.add(parseQuery('SELECT deviceId FROM devices'));
      const asks = keys.map((key) => ({ place: placeOf(key), parts: everyPart }));
      const matches: RowMatch[][] = [];
      let answers = 0;
      while (matches.length < asks.length) {
        const some = await matcher.match(asks.slice(matches.length));
        const chars = some.flat().reduce((sum, each) => sum + each.text.length, 0);
        assert.ok(some.length > 0 && chars < limits.liveQueryMatchCharsMax + 2_000_000, `${some.length} of ${chars}`);
        matches.push(...some.map((each) => [...each]));
        answers++;
      }
      assert.ok(answers > 2, `${answers} answers`);
      assert.deepEqual(
        matches.map((found) => found.find(({ query }) => query === short)?.text),
        keys.map(({ deviceId }) => JSON.stringify({ deviceId })),
      );
      const leftOut = matches.map((found) => found.filter(({ isLeftOut }) => isLeftOut).map(({ query }) => query));
      assert.deepEqual(leftOut, [[], [longer], ...keys.slice(2).map(() => [])]);
      for (const id of [long, short]) assert.equal((await allOf(parts, id)).length, keys.length);
      await assert.rejects(allOf(parts, longer), { code: 'ThrottlingException', message: /queryRowCharsMax/ });
      const query = parseQuery(`SELECT ${items('properties.desired', 200)} FROM devices`);
      await assert.rejects(parts.fleet.page({ query, countMax: 10 }, never), { code: 'ThrottlingException' });
    } finally {
      await parts.close();
    }
  });

  test(`${name}: each change of a twin is told with its part, once it can be read`, async () => {
    const parts = await open();
    try {
      const told: string[] = [];
      const end = parts.twins.watchChanges(({ deviceId, moduleId }, part) =>
        told.push(`${deviceId}/${moduleId ?? ''} ${part}`),
      );
      await create(parts, { deviceId: 'd' }, { deviceId: 'd', moduleId: 'm' });
      await change(parts, { deviceId: 'd' }, { tags: { a: 1 } });
      await change(parts, { deviceId: 'd', moduleId: 'm' }, { tags: { a: 1 }, properties: { desired: { b: 1 } } });
      await report(parts, { deviceId: 'd' }, { c: 1 });
      assert.equal(await parts.twins.nameModel({ deviceId: 'd' }, 'none', 'dtmi:x;1'), false);
      assert.deepEqual(told, ['d/ tags', 'd/m tags', 'd/m desired', 'd/ reported']);
      end();
      await change(parts, { deviceId: 'd' }, { tags: { a: 2 } });
      assert.equal(told.length, 4);
    } finally {
      await parts.close();
    }
  });
}
