import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { HIDDEN, shownEndpoint } from './endpoints/kinds.ts';
import { changesOf, nextSet, readDeclaration } from './rules.ts';
import { noRoutes, type RouteSet } from './types.ts';

const kafka = (name: string) => ({ kind: 'kafka', name, brokers: ['localhost:9092'], topic: 't' });
const read = (value: unknown, before?: RouteSet) => readDeclaration(value, () => {}, before);
const refused = (value: unknown, message: RegExp): void => {
  assert.throws(
    () => read(value),
    (error) => error instanceof HubError && error.code === 'ArgumentInvalid' && message.test(error.message),
  );
};

test('what is left out of a declaration has its default', () => {
  const declared = read({ endpoints: [kafka('k')], routes: [{ name: 'r', endpoint: 'K' }] });
  assert.deepEqual(declared.fallback, { isEnabled: true, endpoint: 'events' });
  assert.deepEqual(declared.routes, [
    { name: 'r', source: 'DeviceMessages', condition: 'true', endpoint: 'K', isEnabled: true },
  ]);
});

test('a declaration that cannot be is refused with the place', () => {
  refused([], /^routes: a declaration is an object/);
  refused({ route: [] }, /^route: a declaration has/);
  refused({ routes: [{ name: 'r', endpoint: 'none' }] }, /^routes\[0\]\.endpoint: there is no endpoint 'none'/);
  refused({ routes: [{ name: 'r' }] }, /^routes\[0\]\.endpoint: it is missing/);
  refused({ routes: [{ name: 'r', endpoint: 'events', more: 1 }] }, /^routes\[0\]\.more: there is no such setting/);
  const route = { name: 'r', endpoint: 'events' };
  refused({ routes: [route, { ...route, name: 'R' }] }, /^routes\[1\]: there is another one/);
  refused({ endpoints: [{ ...kafka('k'), kind: 'queue' }] }, /^endpoints\[0\]\.kind: it must be one of/);
  refused({ endpoints: [kafka('Events')] }, /name of the hub's own/);
  refused({ endpoints: [{ ...kafka('k'), brokers: ['x'] }] }, /^endpoints\[0\]\.brokers: 'x' is no host:port/);
  refused({ endpoints: [{ ...kafka('k'), mechanism: 'plain', user: 'u' }] }, /needs user and password/);
  refused({ endpoints: [{ ...kafka('k'), password: HIDDEN }] }, /password: it is missing/);
  refused({ routes: new Array(limits.routesMax + 1).fill(route) }, /^routes: it has 101 entries/);
  refused({ enrichments: [{ key: 'k', value: '$twin.x', endpoints: [] }] }, /^enrichments\[0\]\.value/);
  refused({ enrichments: [{ key: 'k', value: 'v', endpoints: ['no'] }] }, /^enrichments\[0\]\.endpoints/);
  refused({ enrichments: [{ key: 'k', value: 'v', endpoints: ['Events'] }] }, /built-in event hub are not enriched/);
  const archive = (name: string, more: object = {}) => ({ kind: 'archive', name, ...more });
  for (const prefix of ['cold', 'Cold/x']) {
    refused(
      { endpoints: [archive('cold'), archive('b', { prefix })] },
      /^endpoints\[1\]\.prefix: '.*' and 'cold' of the archive 'cold' are one folder/,
    );
  }
  const s3 = { store: 's3', prefix: 'cold', bucket: 'b', accessKeyId: 'k', secretAccessKey: 's' };
  const at = (host: string) => ({ ...s3, s3Endpoint: `https://${host}` });
  refused({ endpoints: [archive('a', at('one')), archive('b', at('one'))] }, /^endpoints\[1\]\.prefix/);
  read({ endpoints: [archive('cold'), archive('cold2'), archive('a', at('one')), archive('b', at('two'))] });
  const wrong = () => {
    throw new HubError('ArgumentInvalid', 'line 1, column 3');
  };
  assert.throws(() => readDeclaration({ routes: [route] }, wrong), /routes\[0\]\.condition: line 1, column 3/);
});

test('a secret is shown hidden, stays when it comes back so, and goes to no other address', () => {
  const secret = { ...kafka('k'), mechanism: 'plain', user: 'u', password: 'very-secret' };
  const set = nextSet(noRoutes, read({ endpoints: [secret] }), 1);
  const shown = shownEndpoint(set.endpoints[0].endpoint);
  assert.equal(shown.password, HIDDEN);
  const again = read({ endpoints: [{ ...shown, topic: 'other' }] }, set).endpoints[0];
  assert.deepEqual(again, { ...set.endpoints[0].endpoint, topic: 'other' });
  assert.throws(() => read({ endpoints: [{ ...shown, brokers: ['evil:9092'] }] }, set), /password: it is missing/);
});

test('an endpoint keeps its place while it is there, and a place that was left rests', () => {
  const with_ = (set: RouteSet, names: readonly string[], now: number): RouteSet =>
    nextSet(set, read({ endpoints: names.map(kafka) }), now);
  const slots = (set: RouteSet) => set.endpoints.map(({ endpoint, slot, since }) => [endpoint.name, slot, since]);
  const first = with_(noRoutes, ['a', 'b'], 0);
  const second = with_(first, ['B', 'c'], 1);
  assert.deepEqual(slots(second), [
    ['B', 1, 1],
    ['c', 2, 2],
  ]);
  const { come, go } = changesOf(first, second);
  assert.deepEqual([come.map(({ slot }) => slot), go.map(({ slot }) => slot)], [[2], [0]]);
  const early = with_(second, ['B', 'c', 'a'], limits.endpointPlaceRestMs);
  assert.deepEqual(slots(early).at(-1), ['a', 3, 3]);
  const late = with_(second, ['B', 'c', 'a'], limits.endpointPlaceRestMs + 1);
  assert.deepEqual(slots(late).at(-1), ['a', 0, 3]);
  const names = Array.from({ length: limits.endpointsMax }, (_, at) => `n${at}`);
  const full = with_(noRoutes, names, 0);
  assert.throws(() => with_(full, [...names.slice(1), 'new'], 1), /wait and try again/);
});
