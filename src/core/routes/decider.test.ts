import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { HIDDEN_MARK } from '../events/ports.ts';
import type { Telemetry } from '../events/types.ts';
import { RoutingConditions } from '../query/routing-conditions.ts';
import { SetDecider } from './decider.ts';
import { RoutesInForce } from './routing.ts';
import { nextSet, readDeclaration } from './rules.ts';
import { noRoutes, type RouteSet } from './types.ts';

const stamp = { deviceId: 'd1', generationId: 'g', authMethod: '{}', source: 'Telemetry' };
const kafka = (name: string) => ({ kind: 'kafka', name, brokers: ['localhost:9092'], topic: 't' });
const setOf = (routes: readonly object[], more: object = {}, before: RouteSet = noRoutes): RouteSet =>
  nextSet(
    before,
    readDeclaration(
      { endpoints: [kafka('a'), kafka('b')], routes, ...more },
      (text) => void new RoutingConditions().add(text),
    ),
    0,
  );
const route = (endpoint: string, condition = 'true', more: object = {}) => ({
  name: `r-${endpoint}`,
  endpoint,
  condition,
  ...more,
});
const message = (
  properties: Record<string, string | null>,
  body = '',
  system: Telemetry['system'] = {},
): Telemetry => ({
  ...{ system, properties: Object.entries(properties), body: Buffer.from(body) },
});
const decide = (set: RouteSet, event: Telemetry, source = 'Telemetry'): number =>
  new SetDecider(set, new RoutingConditions()).decide({ ...stamp, source }, event, event.body, 0, event.body.length, 0);

test('a message goes to the endpoints of all routes that take it, and by fallback where none does', () => {
  const set = setOf([
    route('a', "level = 'alarm'"),
    route('b', "level <> 'none'"),
    route('events', 'show', { condition: "show = 'y'" }),
  ]);
  assert.equal(decide(set, message({ level: 'alarm' })), HIDDEN_MARK | 3);
  assert.equal(decide(set, message({ level: 'low' })), HIDDEN_MARK | 2);
  assert.equal(decide(set, message({ level: 'low', show: 'y' })), 2);
  assert.equal(decide(set, message({})), 0, 'the fallback route leads to the built-in event hub');
  assert.equal(decide({ ...set, fallback: { isEnabled: false, endpoint: 'events' } }, message({})), HIDDEN_MARK);
  assert.equal(decide({ ...set, fallback: { isEnabled: true, endpoint: 'b' } }, message({})), HIDDEN_MARK | 2);
  assert.equal(decide(setOf([route('a', 'true', { isEnabled: false })]), message({})), 0);
});

test('names are found in any case; what is not there, or null, matches nothing', () => {
  const takes = (condition: string, event: Telemetry): boolean =>
    (decide(setOf([route('a', condition)]), event) & 1) === 1;
  assert.equal(takes("LEVEL = 'alarm'", message({ level: 'alarm' })), true);
  assert.equal(takes("level = 'Alarm'", message({ Level: 'alarm' })), false);
  assert.equal(takes("level <> 'x'", message({})), false);
  assert.equal(takes('NOT (level = "x")', message({})), false);
  assert.equal(takes('level = null', message({ level: null })), true);
  assert.equal(takes('is_defined(level)', message({ level: null })), true);
  assert.equal(takes("$ContentType = 'text/plain'", message({}, '', { contentType: 'text/plain' })), true);
  assert.equal(takes("$connectionDeviceId = 'd1' AND $messageSource = 'Telemetry'", message({})), true);
  // The hub's name first, then a property that is called so.
  assert.equal(takes("$own = 'p'", message({ $own: 'p' })), true);
  assert.equal(takes("$messageId = 'p'", message({ $messageId: 'p' })), true);
  assert.equal(takes("$messageId = 'p'", message({ $messageId: 'p' }, '', { messageId: 's' })), false);
  assert.equal(takes("{$messageId} = 'p'", message({ $messageId: 'p' })), false);
  assert.equal(takes('as_number(t) > 20', message({ t: '21.5' })), true);
  assert.equal(takes("a.b = '1'", message({ 'a.b': '1' })), true);
});

test('conditions look into bodies of JSON in the encodings of Unicode, and into no others', () => {
  const json = { contentType: 'application/json', contentEncoding: 'utf-8' };
  const set = setOf([route('a', '$body.w.list[1].t > 20')]);
  const takes = (body: Buffer, system: Telemetry['system']): boolean =>
    (decide(set, { ...message({}, '', system), body }) & 1) === 1;
  const text = '{"w":{"list":[{},{"t":21}]}}';
  assert.equal(takes(Buffer.from(text), json), true);
  assert.equal(takes(Buffer.from(text, 'utf16le'), { ...json, contentEncoding: 'UTF-16' }), true);
  const utf32 = Buffer.alloc(4 * text.length);
  for (const [at, each] of [...text].entries()) utf32.writeUInt32LE(each.charCodeAt(0), 4 * at);
  assert.equal(takes(utf32, { ...json, contentEncoding: 'utf-32' }), true);
  assert.equal(takes(Buffer.from(text), { ...json, contentType: 'Application/JSON; charset=utf-8' }), true);
  assert.equal(takes(Buffer.from(text), { contentType: 'application/json' }), false);
  assert.equal(takes(Buffer.from(text), { ...json, contentType: 'text/plain' }), false);
  assert.equal(takes(Buffer.from(text.slice(1)), json), false);
  assert.equal(takes(Buffer.from('{"w":{"list":[{},{"t":"21"}]}}'), json), false);
  // A body behind other bytes.
  const shifted = Buffer.from(`xx${text}yy`);
  const mark = new SetDecider(set, new RoutingConditions()).decide(
    stamp,
    message({}, '', json),
    shifted,
    2,
    shifted.length - 2,
    0,
  );
  assert.equal(mark & 1, 1);
});

test('other sources go where they went before, until a route is about them', () => {
  const set = setOf([route('a')], { fallback: { isEnabled: false } });
  assert.equal(decide(set, message({}), 'twinChangeEvents'), 0);
  const about = setOf([route('a', "opType = 'updateTwin'", { source: 'TwinChangeEvents' })]);
  assert.equal(decide(about, message({ opType: 'updateTwin' }), 'twinChangeEvents'), HIDDEN_MARK | 1);
  assert.equal(
    decide(about, message({ opType: 'replaceTwin' }), 'twinChangeEvents'),
    HIDDEN_MARK,
    'it has no fallback',
  );
  assert.equal(decide(about, message({ opType: 'updateTwin' })), 0);
});

test('what hangs on properties alone is decided once for them', () => {
  const of = (condition: string) => new SetDecider(setOf([route('a', condition)]), new RoutingConditions());
  assert.equal(of("level = 'x'").decideHead(stamp, message({ level: 'x' })), HIDDEN_MARK | 1);
  for (const condition of ['$body.t = 1', '$twin.tags.a = 1', "$enqueuedTime > '2026'"]) {
    assert.equal(of(condition).decideHead(stamp, message({})), undefined, condition);
  }
});

test('a twin is read once, again when it is old, and until it is known the routes before decide', async () => {
  const clock = new VirtualClock();
  let site = 'north';
  const reads: string[] = [];
  const answers: (() => void)[] = [];
  const routing = new RoutesInForce({
    newConditions: () => new RoutingConditions(),
    loadTwin: (key) => {
      reads.push(key.deviceId);
      return new Promise((resolve) => answers.push(() => resolve({ tags: { site }, properties: {} })));
    },
    clock,
  });
  const mark = (): number => {
    const { body } = message({});
    return routing.current?.decide(stamp, message({}), body, 0, 0, 0) ?? 0;
  };
  const answered = async (): Promise<void> => {
    for (const answer of answers.splice(0)) answer();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const first = setOf([route('b')]);
  routing.apply(first);
  assert.equal(mark(), HIDDEN_MARK | 2);
  assert.equal(routing.ready({ deviceId: 'd1' }), undefined);
  routing.apply(setOf([route('a', "$twin.tags.site = 'north'")], {}, first));
  assert.equal(mark(), HIDDEN_MARK | 2, 'its twin is not known: the routes before decide');
  assert.deepEqual(reads, ['d1']);
  await answered();
  assert.equal(mark(), HIDDEN_MARK | 1);
  site = 'south';
  clock.advance(6000);
  assert.equal(mark(), HIDDEN_MARK | 1, 'it is old and still answers');
  await answered();
  assert.equal(mark(), 0);
  assert.deepEqual(reads, ['d1', 'd1']);
  const ready = routing.ready({ deviceId: 'd2' });
  assert.ok(ready !== undefined);
  await answered();
  await ready;
  assert.equal(routing.ready({ deviceId: 'd2' }), undefined);
});

test('a trial says of each route why', () => {
  const set = setOf([
    { name: 'yes', endpoint: 'a', condition: "level = 'x'" },
    { name: 'no', endpoint: 'b', condition: "level = 'y'" },
    { name: 'missing', endpoint: 'b', condition: 'speed > "3"' },
    { name: 'body', endpoint: 'b', condition: '$body.t > 3' },
    { name: 'twin', endpoint: 'b', condition: '$twin.tags.site = "n"' },
    { name: 'off', endpoint: 'b', isEnabled: false },
    { name: 'other', endpoint: 'b', source: 'TwinChangeEvents' },
  ]);
  const trial = new SetDecider(set, new RoutingConditions()).explain({
    ...{ stamp, message: message({ level: 'x' }), body: Buffer.from('{}'), time: 0, twin: undefined },
  });
  assert.deepEqual(trial.endpoints, ['a']);
  assert.deepEqual(
    trial.answers.map(({ route: name, matches, reason }) => [name, matches, reason]),
    [
      ['yes', true, 'the condition is true'],
      ['no', false, 'the condition is false'],
      ['missing', false, 'the condition is undefined, which counts as false: speed is not there'],
      [
        'body',
        false,
        'the condition is undefined, which counts as false: $body.t is not there, because conditions look into bodies of content type application/json and content encoding utf-8, utf-16 or utf-32',
      ],
      [
        'twin',
        false,
        'the condition is undefined, which counts as false: $twin.tags.site is not there: no twin is known',
      ],
      ['off', false, 'the route is not enabled'],
      ['other', false, 'the route takes TwinChangeEvents, and this is of DeviceMessages'],
    ],
  );
});
