import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import type { DesiredNote, ReportOutcome, TwinStore } from '../../core/twins/ports.ts';
import { changedTwin, freshTwin, readReportedPatch, readTwinChange, reportedTwin } from '../../core/twins/rules.ts';
import type { Twin } from '../../core/twins/types.ts';
import { exampleIdentity } from './identities.ts';

export interface TwinTrial {
  readonly store: TwinStore;
  readonly identities: IdentityStore;
  /** The same twins after a restart; absent where nothing outlives the store. */
  reopen?(): Promise<TwinStore>;
  readonly close: () => Promise<void>;
}

const d1 = { deviceId: 'd1' };
const m1 = { deviceId: 'd1', moduleId: 'm1' };
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const merge = (body: unknown) => readTwinChange(bytes(body), 'merge');
const terms = (time: number, change: { ifMatch?: string; withEvents?: boolean } = {}) => ({
  ...{ time, ifMatch: '*', withEvents: false },
  ...change,
});
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

async function create(identities: IdentityStore, key: IdentityKey, generationId = 'g1'): Promise<void> {
  const identity = exampleIdentity(key, { generationId });
  const [outcome] = await identities.write([{ kind: 'create', identity, countMax: 1000 }]);
  assert.equal(outcome.kind, 'done');
}

async function remove(identities: IdentityStore, key: IdentityKey): Promise<void> {
  assert.equal((await identities.write([{ kind: 'delete', key, ifMatch: '*' }]))[0].kind, 'done');
}

/** One report of a device; `patch` is JSON or an object. */
async function report(store: TwinStore, key: IdentityKey, patch: unknown, time = 1, generationId = 'g1') {
  const [outcome] = await store.report([{ key, generationId, patch: readReportedPatch(bytes(patch)) }], terms(time));
  return outcome;
}

async function twinOf(store: TwinStore, key: IdentityKey): Promise<Twin> {
  const kept = await store.load(key);
  assert.ok(kept !== undefined, 'there is such a twin');
  return kept.twin;
}

/** What every `TwinStore` does. `open` gives a new, empty one, with the identities that its twins are of. */
export function twinStoreContract(name: string, open: () => Promise<TwinTrial>): void {
  const trial = (title: string, body: (parts: TwinTrial) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const parts = await open();
      try {
        await body(parts);
      } finally {
        await parts.close();
      }
    });
  };

  trial(
    'a twin is there with its identity, goes with it, and the next bearer of the id has a fresh one',
    async (parts) => {
      const { store, identities } = parts;
      assert.equal(await store.load(d1), undefined);
      assert.deepEqual(await store.change(d1, merge({ tags: { a: 1 } }), terms(1)), { kind: 'gone' });
      assert.deepEqual(await report(store, d1, { a: 1 }), { kind: 'gone' });
      await create(identities, d1);
      await create(identities, m1);
      assert.deepEqual(plain(await store.load(d1)), plain({ generationId: 'g1', modelId: '', twin: freshTwin() }));
      assert.deepEqual(plain(await store.load(m1)), plain({ generationId: 'g1', modelId: '', twin: freshTwin() }));
      assert.deepEqual(await report(store, d1, { a: 1 }), { kind: 'done', version: 2 });
      await store.change(d1, merge({ properties: { desired: { a: 1 } } }), terms(1));
      await store.change(m1, merge({ tags: { m: 1 } }), terms(1));
      await remove(identities, d1);
      for (const key of [d1, m1]) assert.equal(await store.load(key), undefined);
      assert.equal(await store.desiredVersion(d1, 'g1'), undefined);
      await create(identities, d1, 'g2');
      await create(identities, m1, 'g2');
      for (const key of [d1, m1]) {
        assert.deepEqual(plain(await store.load(key)), plain({ generationId: 'g2', modelId: '', twin: freshTwin() }));
        assert.equal(await store.load(key, 'g1'), undefined, 'what the former bearer knows opens nothing');
      }
      assert.deepEqual(await report(store, d1, { a: 2 }, 1, 'g1'), { kind: 'gone' });
      assert.deepEqual(await store.desiredSince(d1, 'g2', 1, 10), { version: 1, patches: [] });
      assert.equal(await store.desiredSince(d1, 'g1', 1, 10), undefined);
    },
  );

  trial('what is only for twins of which nobody has reported leaves the others as they are', async (parts) => {
    const { store, identities } = parts;
    const once = async (key: IdentityKey, patch: unknown): Promise<ReportOutcome> => {
      const reports = [{ key, generationId: 'g1', patch: readReportedPatch(bytes(patch)) }];
      return (await store.report(reports, { time: 1, withEvents: true, isFirstOnly: true }))[0];
    };
    await create(identities, d1);
    await create(identities, m1);
    await report(store, d1, { a: 1 });
    assert.deepEqual(await once(d1, { a: 2, b: 2 }), { kind: 'done', version: 2 });
    assert.deepEqual(plain((await twinOf(store, d1)).reported.values), { a: 1 });
    assert.deepEqual(await store.events(10), [], 'nothing has changed');
    assert.deepEqual(await once(m1, { a: 2 }), { kind: 'done', version: 2 });
    assert.deepEqual(await once(m1, { a: 3 }), { kind: 'done', version: 2 });
    assert.deepEqual(plain((await twinOf(store, m1)).reported.values), { a: 2 });
    await store.change(m1, merge({ tags: { a: 1 } }), terms(2));
    assert.deepEqual(await once(m1, { a: 4 }), { kind: 'done', version: 2 });
    assert.deepEqual(await once({ deviceId: 'd2' }, { a: 1 }), { kind: 'gone' });
    // A twin that a back end has changed, and whose device is silent still.
    await create(identities, { deviceId: 'd3' });
    await store.change({ deviceId: 'd3' }, merge({ tags: { a: 1 } }), terms(2));
    assert.deepEqual(await once({ deviceId: 'd3' }, { a: 1 }), { kind: 'done', version: 2 });
  });

  trial('device and module have twins of their own', async ({ store, identities }) => {
    await create(identities, d1);
    await create(identities, m1);
    await store.report(
      [
        { key: m1, generationId: 'g1', patch: readReportedPatch(bytes({ who: 'module' })) },
        { key: d1, generationId: 'g1', patch: readReportedPatch(bytes({ who: 'device' })) },
        { key: m1, generationId: 'g1', patch: readReportedPatch(bytes({ again: true })) },
      ],
      terms(5),
    );
    assert.deepEqual(plain((await twinOf(store, m1)).reported.values), { who: 'module', again: true });
    assert.deepEqual(plain((await twinOf(store, d1)).reported.values), { who: 'device' });
  });

  trial(
    'patches of one device in one call take effect in order; one that is refused leaves the others',
    async (parts) => {
      const { store, identities } = parts;
      await create(identities, d1);
      const patches = [
        readReportedPatch(bytes({ a: 1 })),
        readReportedPatch(bytes({ a: 2 }), 9),
        readReportedPatch(bytes({ b: 'x'.repeat(4000), c: 'x'.repeat(4000) })),
        readReportedPatch(bytes({})),
        readReportedPatch(bytes({ a: null, d: { e: 1 } }), 3),
      ];
      const outcomes = await store.report(
        patches.map((patch) => ({ key: d1, generationId: 'g1', patch })),
        terms(7),
      );
      const seen = outcomes.map((each) =>
        each.kind === 'done' ? each.version : each.kind === 'gone' ? 'gone' : each.code,
      );
      assert.deepEqual(seen, [2, 'PreconditionFailed', 3, 3, 4]);
      const { reported } = await twinOf(store, d1);
      assert.deepEqual(Object.keys(reported.values).sort(), ['b', 'c', 'd']);
      assert.equal(reported.version, 4);
    },
  );

  trial('a section never grows over its bound, by however many small patches', async ({ store, identities }) => {
    await create(identities, d1);
    const outcomes: ReportOutcome[] = [];
    for (let at = 0; at < 40; at++) outcomes.push(await report(store, d1, { [`n${at}`]: 'x'.repeat(1000) }, at + 1));
    const refused = outcomes.findIndex(({ kind }) => kind === 'refused');
    assert.equal(refused, Math.floor(limits.twinSectionBytesMax / (1000 + 3)));
    const outcome = outcomes[refused];
    assert.ok(
      outcome.kind === 'refused' && outcome.code === 'ArgumentInvalid' && outcome.limit?.name === 'twinSectionBytesMax',
    );
    // Overwriting adds to what the hub counts at most, not to what is there: it is accepted however often.
    for (let at = 0; at < 80; at++) {
      assert.equal((await report(store, d1, { n0: `${at}`.padEnd(1000, 'y') }, 100 + at)).kind, 'done');
    }
    assert.equal((await report(store, d1, { n1: null })).kind, 'done', 'it may shrink');
  });

  trial('a change of a back end asks for the ETag, bumps it, and answers the twin', async ({ store, identities }) => {
    await create(identities, d1);
    const first = await store.change(d1, merge({ tags: { a: 1 }, properties: { desired: { b: 1 } } }), terms(1));
    assert.ok(first.kind === 'done');
    assert.deepEqual([first.kept.twin.changes, first.kept.twin.desired.version], [2, 2]);
    const stale = await store.change(d1, merge({ tags: { a: 2 } }), terms(1, { ifMatch: 'AAAAAAAAAAE=' }));
    assert.ok(stale.kind === 'refused' && stale.code === 'PreconditionFailed');
    assert.equal(
      (await store.change(d1, merge({ tags: { a: 2 } }), terms(1, { ifMatch: 'AAAAAAAAAAI=' }))).kind,
      'done',
    );
    await report(store, d1, { c: 1 });
    const nothing = await store.change(d1, merge({}), terms(9));
    assert.ok(nothing.kind === 'done' && nothing.kept.twin.changes === 3);
    const replaced = await store.change(d1, readTwinChange(bytes({ tags: {} }), 'replace'), terms(9));
    assert.ok(replaced.kind === 'done');
    assert.deepEqual(plain([replaced.kept.twin.tags, replaced.kept.twin.desired.values]), [{}, { b: 1 }]);
    assert.deepEqual(plain(replaced.kept.twin.reported.values), { c: 1 }, 'what the device said is left alone');
    assert.deepEqual(plain(await store.load(d1)), plain(replaced.kept));
  });

  trial('changes of desired properties are told of, and can be read in order from a version on', async (parts) => {
    const { store, identities } = parts;
    await create(identities, d1);
    const notes: DesiredNote[] = [];
    const end = store.watchOwnWrites((note) => notes.push(note));
    await store.change(d1, merge({ tags: { a: 1 } }), terms(1));
    assert.deepEqual(notes, [], 'tags are no matter of the device');
    for (let at = 2; at <= 4; at++)
      await store.change(d1, merge({ properties: { desired: { at, gone: null } } }), terms(at));
    assert.deepEqual(
      plain(notes),
      [2, 3, 4].map((version) => ({ key: d1, generationId: 'g1', version })),
    );
    assert.equal(await store.desiredVersion(d1, 'g1'), 4);
    const text = (at: number) => ({ version: at, text: `{"at":${at},"gone":null,"$version":${at}}` });
    assert.deepEqual(plain(await store.desiredSince(d1, 'g1', 2, 10)), { version: 4, patches: [text(3), text(4)] });
    assert.deepEqual(plain(await store.desiredSince(d1, 'g1', 1, 2)), { version: 4, patches: [text(2), text(3)] });
    assert.deepEqual(plain(await store.desiredSince(d1, 'g1', 4, 10)), { version: 4, patches: [] });
    end();
    for (let at = 0; at < limits.twinPatchesKept; at++)
      await store.change(d1, merge({ properties: { desired: { at } } }), terms(9));
    assert.equal(notes.length, 3);
    const gap = await store.desiredSince(d1, 'g1', 3, 100);
    assert.deepEqual([gap?.version, gap?.patches], [4 + limits.twinPatchesKept, undefined]);
    const kept = await store.desiredSince(d1, 'g1', 4, 100);
    assert.equal(kept?.patches?.length, limits.twinPatchesKept);
  });

  trial('which twins have newer desired properties is told for many at once', async ({ store, identities }) => {
    const module = { deviceId: d1.deviceId, moduleId: 'm1' };
    await create(identities, d1);
    await create(identities, { deviceId: 'd2' });
    await create(identities, module);
    await store.change(d1, merge({ properties: { desired: { a: 1 } } }), terms(1));
    await store.change(module, merge({ properties: { desired: { a: 1 } } }), terms(1));
    await store.change(module, merge({ properties: { desired: { a: 2 } } }), terms(1));
    const asked = (key: IdentityKey, version: number, generationId = 'g1') => ({ key, generationId, version });
    const newer = await store.desiredNewer([
      ...[asked(d1, 1), asked(module, 1), asked({ deviceId: 'd2' }, 1), asked({ deviceId: 'nobody' }, 0)],
      ...[asked(d1, 2), asked(d1, 0, 'another')],
    ]);
    assert.deepEqual(plain(newer), [asked(d1, 2), asked(module, 3)]);
    assert.deepEqual(await store.desiredNewer([]), []);
  });

  trial('the model that a device names is kept, and goes with its generation', async ({ store, identities }) => {
    assert.equal(await store.nameModel(d1, 'g1', 'dtmi:a;1'), false);
    await create(identities, d1);
    assert.equal((await store.load(d1))?.modelId, '');
    assert.equal(await store.nameModel(d1, 'g1', 'dtmi:a;1'), true);
    await report(store, d1, { a: 1 });
    const changed = await store.change(d1, merge({ tags: { t: 1 } }), terms(1));
    assert.ok(
      changed.kind === 'done' && changed.kept.modelId === 'dtmi:a;1' && changed.kept.twin.reported.version === 2,
    );
    assert.equal(await store.nameModel(d1, 'g0', 'dtmi:b;1'), false);
    assert.equal((await store.load(d1, 'g1'))?.modelId, 'dtmi:a;1');
    await remove(identities, d1);
    await create(identities, d1, 'g2');
    assert.equal((await store.load(d1))?.modelId, '');
  });

  trial('events are kept with the changes, in order, where they are wanted, until they are dropped', async (parts) => {
    const { store, identities } = parts;
    await create(identities, d1);
    await report(store, d1, { quiet: true });
    const withEvents = terms(5, { withEvents: true });
    const patches = [{ a: 1 }, {}, { b: [1] }].map((patch) => readReportedPatch(bytes(patch)));
    await store.report(
      patches.map((patch) => ({ key: d1, generationId: 'g1', patch })),
      withEvents,
    );
    await store.change(d1, merge({ tags: { t: null }, properties: { desired: { x: 1 } } }), withEvents);
    await store.change(d1, merge({ tags: {} }), withEvents);
    await store.change(d1, merge({ properties: { desired: { $version: 1, y: 1 } } }), withEvents);
    await store.change(d1, readTwinChange(bytes({ tags: { u: 1 } }), 'replace'), withEvents);
    const events = await store.events(100);
    const seen = events.map(({ kind, version, time, generationId, key }) => [
      kind,
      version,
      time,
      generationId,
      key.deviceId,
    ]);
    assert.deepEqual(seen, [
      ['update', 4, 5, 'g1', 'd1'],
      ['update', 5, 5, 'g1', 'd1'],
      ['update', 6, 5, 'g1', 'd1'],
      ['replace', 7, 5, 'g1', 'd1'],
    ]);
    assert.deepEqual(
      events.slice(0, 3).map(({ content }) => JSON.parse(content)),
      [
        { reported: { version: 3, patch: { a: 1 } } },
        { reported: { version: 4, patch: { b: [1] } } },
        { tags: { t: null }, desired: { version: 2, patch: { x: 1 } } },
      ],
    );
    assert.deepEqual(JSON.parse(events[3].content).twin.tags, { u: 1 });
    assert.deepEqual(plain(await store.events(2)), plain(events.slice(0, 2)));
    // Those that are named, and none between them.
    await store.dropEvents([events[0].sequence, events[2].sequence]);
    assert.deepEqual(plain(await store.events(100)), plain([events[1], events[3]]));
    await store.dropEvents([events[0].sequence, events[1].sequence, events[2].sequence]);
    assert.deepEqual(plain(await store.events(100)), plain(events.slice(3)));
    await store.dropEvents([]);
  });

  trial('a member may have any name, and texts come back as they were', async ({ store, identities }) => {
    await create(identities, d1);
    const text = `{"__proto__":{"a":"\\u0000\\ud800 \\u2028"},"constructor":[{"__proto__":1}],"ü":-0.5}`;
    await store.report([{ key: d1, generationId: 'g1', patch: readReportedPatch(Buffer.from(text)) }], terms(1));
    await store.change(
      d1,
      readTwinChange(Buffer.from(`{"tags":${text},"properties":{"desired":${text}}}`), 'merge'),
      terms(1),
    );
    const twin = await twinOf(store, d1);
    const expected = JSON.stringify(JSON.parse(text));
    for (const values of [twin.reported.values, twin.tags, twin.desired.values])
      assert.equal(JSON.stringify(values), expected);
    const since = await store.desiredSince(d1, 'g1', 1, 1);
    assert.equal(since?.patches?.[0].text, `${expected.slice(0, -1)},"$version":2}`);
  });

  trial('any history is that of the rules, at every step and after a restart', async (parts) => {
    const { identities } = parts;
    let { store } = parts;
    const seed = Number(process.env.SEED ?? 20261129);
    const random = seededRandom(seed);
    const keys = [d1, m1, { deviceId: 'd2' }];
    for (const key of keys) await create(identities, key);
    const models = keys.map(() => freshTwin());
    const pick = (count: number): number => Math.floor(random.next() * count);
    const randomPatch = (): Record<string, unknown> => {
      const value = [null, 1, 'y'.repeat(pick(300)), { n: pick(3), deep: { gone: null } }, [1, { z: 2 }]][pick(5)];
      return { [`k${pick(6)}`]: value, ...(pick(3) === 0 && { [`k${pick(6)}`]: { n: null } }) };
    };
    for (let step = 1; step <= 150; step++) {
      const at = pick(keys.length);
      if (pick(4) > 0) {
        const sent = Array.from({ length: 1 + pick(3) }, () => ({
          at: pick(keys.length),
          patch: readReportedPatch(bytes(randomPatch())),
        }));
        await store.report(
          sent.map((each) => ({ key: keys[each.at], generationId: 'g1', patch: each.patch })),
          terms(step),
        );
        for (const each of sent) models[each.at] = reportedTwin(models[each.at], each.patch, step);
      } else {
        const change = readTwinChange(
          bytes({
            tags: pick(3) === 0 ? null : randomPatch(),
            properties: { desired: pick(5) === 0 ? null : randomPatch() },
          }),
          pick(4) === 0 ? 'replace' : 'merge',
        );
        await store.change(keys[at], change, terms(step));
        models[at] = changedTwin(models[at], change, '*', step).twin;
      }
      if (step % 50 === 0 && parts.reopen !== undefined) store = await parts.reopen();
      const where = `seed ${seed}, step ${step}`;
      assert.deepEqual(plain((await store.load(keys[at], 'g1'))?.twin), plain(models[at]), where);
    }
  });
}
