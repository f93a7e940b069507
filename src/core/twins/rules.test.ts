import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import { sizeOf } from './content.ts';
import { deviceTwinText, metadataJson, sectionJson, stampText } from './json.ts';
import {
  changedTwin,
  freshTwin,
  readReportedPatch,
  readTwinChange,
  reportedTwin,
  twinETag,
  twinVersion,
} from './rules.ts';
import type { JsonObject, JsonValue, Twin, TwinChange } from './types.ts';

const isRefusal = (code: string) => (error: unknown) => error instanceof HubError && error.code === code;
const bytes = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const read = (value: unknown, kind: TwinChange['kind'] = 'merge') => readTwinChange(bytes(value), kind);
const patched = (twin: Twin, body: unknown, time = 1000, ifMatch = '*') =>
  changedTwin(twin, read(body), ifMatch, time).twin;
const reported = (twin: Twin, patch: unknown, time = 1000) => reportedTwin(twin, readReportedPatch(bytes(patch)), time);
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const nested = (levels: number): JsonValue => (levels === 0 ? 1 : { a: nested(levels - 1) });

test('a fresh twin has version 2, its sections version 1', () => {
  const twin = freshTwin();
  assert.equal(twinETag(twin), 'AAAAAAAAAAE=');
  assert.equal(twinVersion(twin), 2);
  assert.deepEqual(plain(sectionJson(twin.desired)), {
    $metadata: { $lastUpdated: '0001-01-01T00:00:00Z' },
    $version: 1,
  });
  assert.equal(deviceTwinText(twin), '{"desired":{"$version":1},"reported":{"$version":1}}');
});

test('etag and version of the traced twin: six changes of tags and desired, none of reported', () => {
  let twin = freshTwin();
  for (let at = 0; at < 4; at++) twin = patched(twin, { tags: { at } });
  twin = patched(twin, { properties: { desired: { a: 1 } } });
  assert.equal(twinETag(twin), 'AAAAAAAAAAY=');
  assert.deepEqual([twinVersion(twin), twin.desired.version, twin.reported.version], [7, 2, 1]);
});

test('null deletes, objects merge, arrays and scalars replace', () => {
  let twin = patched(freshTwin(), { properties: { desired: { a: { b: 1, c: { d: 2 } }, list: [1, { x: 2 }], s: 5 } } });
  twin = patched(twin, {
    properties: { desired: { a: { c: { d: null, e: 3 } }, list: [9], s: { now: true }, gone: null } },
  });
  assert.deepEqual(plain(twin.desired.values), { a: { b: 1, c: { e: 3 } }, list: [9], s: { now: true } });
  twin = patched(twin, { properties: { desired: { a: {} } } });
  assert.deepEqual(plain(twin.desired.values.a), { b: 1, c: { e: 3 } }, 'an empty object does not empty one');
  twin = patched(twin, { properties: { desired: { list: {}, fresh: { dropped: null } } } });
  assert.deepEqual(plain(twin.desired.values), {
    ...{ a: { b: 1, c: { e: 3 } }, list: {}, s: { now: true }, fresh: {} },
  });
});

test('null in place of a section clears it, and the device is told of each member', () => {
  const twin = patched(freshTwin(), { tags: { t: 1 }, properties: { desired: { a: 1, b: { c: 2 } } } });
  const { twin: after, desired } = changedTwin(twin, read({ tags: null, properties: { desired: null } }), '*', 5);
  assert.deepEqual([plain(after.tags), plain(after.desired.values)], [{}, {}]);
  assert.deepEqual([plain(desired?.patch), desired?.version], [{ a: null, b: null }, 3]);
});

test('stamps: the root, what changed and the way to it; siblings keep theirs; arrays have one', () => {
  let twin = patched(freshTwin(), { properties: { desired: { a: { b: 1, c: 2 }, list: [1, 2] } } }, 1000);
  twin = patched(twin, { properties: { desired: { a: { c: 3 } } } }, 2000);
  const [first, second] = ['1970-01-01T00:00:01.0000000Z', '1970-01-01T00:00:02.0000000Z'];
  assert.deepEqual(plain(metadataJson(twin.desired.stamp)), {
    $lastUpdated: second,
    $lastUpdatedVersion: 3,
    a: {
      ...{ $lastUpdated: second, $lastUpdatedVersion: 3 },
      b: { $lastUpdated: first, $lastUpdatedVersion: 2 },
      c: { $lastUpdated: second, $lastUpdatedVersion: 3 },
    },
    list: { $lastUpdated: first, $lastUpdatedVersion: 2 },
  });
  twin = reported(twin, { r: 1 }, 3000);
  assert.deepEqual(plain(metadataJson(twin.reported.stamp)), {
    $lastUpdated: stampText(3000),
    r: { $lastUpdated: stampText(3000) },
  });
});

test('only tags and desired properties are read of what a back end sends; stamps of the hub are left out', () => {
  const twin = patched(freshTwin(), {
    ...{ deviceId: 'other', etag: 'x', status: 'disabled', version: 9, $version: 4 },
    tags: { t: 1, $version: 7 },
    properties: { desired: { $metadata: { a: 1 }, $version: 1, a: 1 }, reported: { r: 1 } },
  });
  assert.deepEqual(plain([twin.tags, twin.desired.values, twin.reported.values]), [{ t: 1 }, { a: 1 }, {}]);
});

test('an ETag and a version of desired properties must be the current ones', () => {
  const twin = patched(freshTwin(), { properties: { desired: { a: 1 } } });
  assert.throws(() => patched(twin, { tags: { a: 1 } }, 1, 'AAAAAAAAAAE='), isRefusal('PreconditionFailed'));
  assert.equal(patched(twin, { tags: { a: 1 } }, 1, 'AAAAAAAAAAI=').changes, 3);
  assert.throws(
    () => patched(twin, { properties: { desired: { b: 1, $version: 1 } } }),
    isRefusal('PreconditionFailed'),
  );
  assert.equal(patched(twin, { properties: { desired: { b: 1, $version: 2 } } }).desired.version, 3);
  const patch = readReportedPatch(bytes({ a: 1 }), 2);
  assert.throws(() => reportedTwin(twin, patch, 1), isRefusal('PreconditionFailed'));
  assert.equal(reportedTwin(reported(twin, { z: 1 }), patch, 1).reported.version, 3);
});

test('what names nothing changes nothing', () => {
  const twin = patched(freshTwin(), { tags: { t: 1 }, properties: { desired: { a: 1 } } });
  for (const body of [{}, { tags: {} }, { properties: {} }, { properties: { desired: { $version: 2 } } }]) {
    assert.equal(patched(twin, body), twin);
  }
  assert.equal(reported(twin, {}), twin);
});

test('a replacement takes what is there, leaves out nulls, and keeps a section that is absent', () => {
  const twin = patched(freshTwin(), { tags: { t: 1 }, properties: { desired: { a: 1, b: 2 } } });
  const put = (body: unknown) => changedTwin(twin, read(body, 'replace'), '*', 7);
  const both = put({ tags: { u: 2 }, properties: { desired: { b: 3, c: null, d: { e: null, f: 1 } } } });
  assert.deepEqual(plain([both.twin.tags, both.twin.desired.values]), [{ u: 2 }, { b: 3, d: { f: 1 } }]);
  assert.deepEqual(plain(both.desired), { version: 3, patch: { b: 3, d: { f: 1 } } });
  assert.deepEqual(Object.keys(both.twin.desired.stamp[2] ?? {}), ['b', 'd']);
  const tagsOnly = put({ tags: {} });
  assert.deepEqual(plain([tagsOnly.twin.tags, tagsOnly.twin.desired.values]), [{}, { a: 1, b: 2 }]);
  assert.equal(tagsOnly.desired, undefined);
  assert.equal(put({ tags: { t: 1 } }).twin.changes, twin.changes + 1, 'the same content is a change too');
});

const refused: readonly (readonly [string, unknown])[] = [
  ['null in an array', { ok: 1, list: [1, null] }],
  ['null below an array', { list: [{ a: { b: null } }] }],
  ['a name with $', { ok: 1, [`$${'0'.repeat(36)}`]: 1 }],
  ['a name with .', { 'a.b': 1 }],
  ['a name with #', { 'a#': 1 }],
  ['a name with a blank', { 'a b': 1 }],
  ['a name with a control character', { 'a\u0001': 1 }],
  ['a name with a control character of C1', { 'a\u0085': 1 }],
  ['a name below an array', { list: [{ $x: 1 }] }],
  ['an empty name', { '': 1 }],
  ['a name that is too long', { ['é'.repeat(513)]: 1 }],
  ['a text that is too long', { a: 'é'.repeat(2049) }],
  ['an integer that is too large', '{"a":4503599627370497}'],
  ['an integer that is too small', '{"a":-99999999999999999999}'],
  ['a number that is none', '{"a":1e999}'],
  ['a depth of eleven', nested(12)],
  ['a depth of eleven by arrays', { a: [[[[[[[[[[[1]]]]]]]]]]] }],
  [
    'a section that is too large',
    Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`n${at}`, 'x'.repeat(4000)])),
  ],
];

for (const [what, patch] of refused) {
  test(`${what} refuses all of a change`, () => {
    const twin = freshTwin();
    const text = typeof patch === 'string' ? patch : JSON.stringify(patch);
    assert.throws(() => reported(twin, text), isRefusal('ArgumentInvalid'));
    const body = `{"properties":{"desired":${text}}}`;
    assert.throws(
      () => changedTwin(twin, readTwinChange(Buffer.from(body), 'merge'), '*', 1),
      isRefusal('ArgumentInvalid'),
    );
  });
}

test('what is just allowed', () => {
  const largest = readReportedPatch(Buffer.from('{"a":4503599627370495,"b":-4503599627370496,"c":1.5e300,"d":-0.1}'));
  const twin = reportedTwin(freshTwin(), largest, 1);
  assert.deepEqual(plain(twin.reported.values), { a: 4503599627370495, b: -4503599627370496, c: 1.5e300, d: -0.1 });
  assert.equal(reported(freshTwin(), nested(11)).reported.version, 2, 'ten objects below the section, then a value');
  assert.equal(reported(freshTwin(), { ['é'.repeat(512)]: 'é'.repeat(2048) }).reported.version, 2);
});

test('a section that has reached its bound may shrink and change', () => {
  const value = (length: number) => ({ v: 'x'.repeat(length) });
  const full = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`k${at}`, value(4000)]));
  const twin = reported(freshTwin(), full);
  const size = sizeOf(twin.reported.values);
  assert.ok(size < limits.twinSectionBytesMax && size > limits.twinSectionBytesMax - 1000);
  assert.throws(() => reported(twin, { more: 'x'.repeat(1000) }), isRefusal('ArgumentInvalid'));
  const tagsMax = Object.fromEntries(Array.from({ length: 3 }, (_, at) => [`k${at}`, 'x'.repeat(3000)]));
  assert.throws(() => patched(freshTwin(), { tags: tagsMax }), isRefusal('ArgumentInvalid'));
  const over: Twin = {
    ...twin,
    reported: { ...twin.reported, values: { ...twin.reported.values, big: 'x'.repeat(4000) } },
  };
  assert.equal(reported(over, { k0: null }).reported.version, 3, 'it shrinks, though it is too large still');
  assert.equal(reported(over, { big: 'y'.repeat(4000) }).reported.version, 3, 'it does not grow');
});

test('what is not a JSON object is refused, and bytes are bounded before they are parsed', () => {
  for (const text of ['', ' ', '[]', '1', 'null', '{"a":', '{"a":1}}', '\u00ff{']) {
    assert.throws(() => reported(freshTwin(), text), isRefusal('IotHubFormatError'), text);
    assert.throws(() => readTwinChange(bytes(text), 'merge'), isRefusal('IotHubFormatError'), text);
  }
  assert.throws(
    () => readReportedPatch(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
    isRefusal('IotHubFormatError'),
  );
  assert.throws(
    () => readReportedPatch(Buffer.alloc(limits.twinReportedBytesMax + 1, 0x20)),
    isRefusal('MessageTooLarge'),
  );
  assert.throws(() => reported(freshTwin(), `{"a":${'['.repeat(60_000)}`), isRefusal('ArgumentInvalid'));
  assert.throws(() => reported(freshTwin(), `{"a":[${'{},'.repeat(20_000)}1]}`), isRefusal('ArgumentInvalid'));
  for (const body of [{ tags: 1 }, { tags: [] }, { properties: 'x' }, { properties: { desired: [1] } }]) {
    assert.throws(() => read(body), isRefusal('ArgumentInvalid'), JSON.stringify(body));
  }
});

test('a member may have any name that is allowed, also one that objects have by themselves', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '__t'];
  for (const name of names) {
    const twin = reported(freshTwin(), `{"${name}":{"a":1}}`);
    const again = reported(twin, `{"${name}":{"b":2}}`);
    assert.equal(JSON.stringify(again.reported.values), `{"${name}":{"a":1,"b":2}}`);
    assert.equal(({} as { a?: unknown }).a, undefined, 'nothing else has become of it');
    assert.equal(JSON.stringify(reported(again, `{"${name}":null}`).reported.values), '{}');
  }
});

test('any history: contents are those of RFC 7396, stamps mirror them, and versions count', () => {
  const seed = Number(process.env.SEED ?? 20261128);
  const random = seededRandom(seed).next;
  for (let round = 0; round < 200; round++) {
    let twin = freshTwin();
    let model: unknown = {};
    for (let step = 1; step <= 12; step++) {
      const patch = randomObject(random, 3, true);
      const before = twin;
      twin = reported(twin, patch, step);
      model = rfc7396(model, plain(patch));
      const at = `seed ${seed}, round ${round}, step ${step}`;
      assert.deepEqual(plain(twin.reported.values), model, at);
      const isChange = Object.keys(patch).length > 0;
      assert.equal(twin.reported.version, before.reported.version + (isChange ? 1 : 0), at);
      if (isChange) assert.equal(twin.reported.stamp[0], step, at);
      checkStamps(twin.reported.values, twin.reported.stamp, at);
    }
  }
});

function checkStamps(value: JsonValue, stamp: Twin['desired']['stamp'], at: string): void {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  const members = stamp[2];
  assert.deepEqual(Object.keys(members ?? {}).sort(), isMap ? Object.keys(value).sort() : [], at);
  if (!isMap || members === undefined) return;
  for (const [name, below] of Object.entries(members)) {
    assert.ok(below[0] <= stamp[0] && below[0] > 0, `${at}: ${name} is not newer than what it lies in`);
    checkStamps((value as JsonObject)[name], below, at);
  }
}

/** The standard's own words as code: an independent model. */
function rfc7396(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = rfc7396(result[name], value);
  }
  return result;
}

function randomObject(random: () => number, depth: number, mayDelete: boolean): JsonObject {
  const object: Record<string, JsonValue> = {};
  const count = Math.floor(random() * 4);
  for (let at = 0; at < count; at++) object['abcde'[Math.floor(random() * 5)]] = randomValue(random, depth, mayDelete);
  return object;
}

function randomValue(random: () => number, depth: number, mayDelete: boolean): JsonValue {
  const kind = random();
  if (mayDelete && kind < 0.25) return null;
  if (depth > 0 && kind < 0.6) return randomObject(random, depth - 1, mayDelete);
  if (depth > 0 && kind < 0.7) return [randomValue(random, depth - 1, false), 1];
  return kind < 0.8 ? Math.floor(random() * 10) : kind < 0.9 ? 'text' : true;
}
