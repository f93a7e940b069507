/** What may be declared, and what becomes of it: a numbered set, in which each endpoint has its place. Pure. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import { sharesFiles } from './endpoints/archive.ts';
import { fieldsOf } from './endpoints/fields.ts';
import { readEndpoint } from './endpoints/kinds.ts';
import {
  BUILT_IN_ENDPOINT,
  type Endpoint,
  type Enrichment,
  type Fallback,
  type PlacedEndpoint,
  type Route,
  type RouteDeclaration,
  type RouteSet,
  routeSources,
} from './types.ts';

/** Checks a condition. @throws HubError ArgumentInvalid, with the place in it */
export type ConditionCheck = (condition: string) => void;

const fail = (place: string, what: string): never => {
  throw new HubError('ArgumentInvalid', `${place}: ${what}`);
};

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

function listOf(value: unknown, place: string, max: number): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return fail(place, 'it must be a list.');
  if (value.length > max) return fail(place, `it has ${value.length} entries, ${max} are allowed.`);
  return value;
}

/**
 * Everything that is declared, as JSON. @param before What is in force: secrets that are hidden in `value` stay as they are there
 * @throws HubError ArgumentInvalid, with the place: `routes[2].condition: …`
 */
export function readDeclaration(value: unknown, check: ConditionCheck, before?: RouteSet): RouteDeclaration {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return fail('routes', 'a declaration is an object.');
  const { routes, fallback, enrichments, endpoints, ...rest } = value as Record<string, unknown>;
  for (const name of Object.keys(rest)) fail(name, 'a declaration has routes, fallback, enrichments and endpoints.');
  const declaration = {
    endpoints: listOf(endpoints, 'endpoints', limits.endpointsMax).map((each, at) =>
      readEndpoint(each, `endpoints[${at}]`, endpointBefore(each, before)),
    ),
    routes: listOf(routes, 'routes', limits.routesMax).map((each, at) => readRoute(each, `routes[${at}]`, check)),
    fallback: readFallback(fallback),
    enrichments: listOf(enrichments, 'enrichments', limits.enrichmentsMax).map((each, at) =>
      readEnrichment(each, `enrichments[${at}]`),
    ),
  };
  checkWhole(declaration);
  return declaration;
}

function endpointBefore(value: unknown, before: RouteSet | undefined): Endpoint | undefined {
  const name = (value as { readonly name?: unknown } | null)?.name;
  return before?.endpoints.find(({ endpoint }) => typeof name === 'string' && same(endpoint.name, name))?.endpoint;
}

/** @throws HubError ArgumentInvalid, with the place */
export function readRoute(value: unknown, place: string, check: ConditionCheck): Route {
  const fields = fieldsOf(value, place);
  const name = fields.text('name', { charsMax: limits.routeNameCharsMax });
  if (!/^[A-Za-z0-9._-]+$/.test(name)) fields.fail('name', "it has letters, digits, '.', '-' and '_'.");
  const source = fields.oneOf('source', routeSources, 'DeviceMessages');
  const condition = fields.text('condition', { default: 'true', charsMax: limits.queryCharsMax });
  const endpoint = fields.text('endpoint', { charsMax: limits.routeNameCharsMax });
  const isEnabled = fields.flag('isEnabled', true);
  fields.end();
  try {
    check(condition);
  } catch (error) {
    fail(`${place}.condition`, (error as Error).message);
  }
  return { name, source, condition, endpoint, isEnabled };
}

function readFallback(value: unknown): Fallback {
  if (value === undefined) return { isEnabled: true, endpoint: BUILT_IN_ENDPOINT };
  const fields = fieldsOf(value, 'fallback');
  const isEnabled = fields.flag('isEnabled', true);
  const endpoint = fields.text('endpoint', { default: BUILT_IN_ENDPOINT, charsMax: limits.routeNameCharsMax });
  fields.end();
  return { isEnabled, endpoint };
}

function readEnrichment(value: unknown, place: string): Enrichment {
  const fields = fieldsOf(value, place);
  const key = fields.text('key', { charsMax: limits.enrichmentKeyCharsMax });
  if (!/^[A-Za-z0-9._-]+$/.test(key)) fields.fail('key', "it has letters, digits, '.', '-' and '_'.");
  const text = fields.text('value', { charsMax: limits.enrichmentValueCharsMax });
  const isPath = /^\$twin\.(?:tags|properties\.(?:desired|reported))\.[^\s$]+$/.test(text);
  if (text.startsWith('$') && text !== '$iothubname' && !isPath) {
    fields.fail(
      'value',
      'it is a text, $iothubname, or a path below $twin.tags or $twin.properties.desired or .reported.',
    );
  }
  const endpoints = fields.texts('endpoints', limits.endpointsMax + 1);
  if (endpoints.some((name) => same(name, BUILT_IN_ENDPOINT))) {
    fields.fail('endpoints', 'events of the built-in event hub are not enriched.');
  }
  fields.end();
  return { key, value: text, endpoints };
}

/** What must hold between its parts. @throws HubError ArgumentInvalid */
export function checkWhole({ routes, fallback, enrichments, endpoints }: RouteDeclaration): void {
  const once = (names: readonly string[], place: string): void => {
    const seen = new Set<string>();
    for (const [at, name] of names.entries()) {
      if (seen.has(name.toLowerCase())) fail(`${place}[${at}]`, `there is another one of the name '${name}'.`);
      seen.add(name.toLowerCase());
    }
  };
  once(
    endpoints.map(({ name }) => name),
    'endpoints',
  );
  once(
    routes.map(({ name }) => name),
    'routes',
  );
  for (const [at, endpoint] of endpoints.entries()) {
    if (endpoint.kind !== 'archive') continue;
    const archives = endpoints.slice(0, at).filter((other) => other.kind === 'archive');
    const other = sharesFiles(endpoint, archives);
    if (other === undefined) continue;
    fail(
      `endpoints[${at}].prefix`,
      `'${endpoint.prefix}' and '${other.prefix}' of the archive '${other.name}' are one folder, or one is in the other: each archive needs its own.`,
    );
  }
  once(
    endpoints.flatMap((each) => (each.kind === 'eventHub' ? [each.eventHub] : [])),
    'eventHub of endpoints',
  );
  const known = (name: string, place: string): void => {
    if (same(name, BUILT_IN_ENDPOINT) || endpoints.some((endpoint) => same(endpoint.name, name))) return;
    fail(place, `there is no endpoint '${name}'.`);
  };
  for (const [at, { endpoint }] of routes.entries()) known(endpoint, `routes[${at}].endpoint`);
  known(fallback.endpoint, 'fallback.endpoint');
  for (const [at, { endpoints: names }] of enrichments.entries()) {
    for (const name of names) known(name, `enrichments[${at}].endpoints`);
  }
}

/**
 * The set that comes after `current`. An endpoint that stays, by name and kind, keeps its place; one that comes gets a place that no
 * other one had lately. @throws HubError ArgumentInvalid: no place is free
 */
export function nextSet(current: RouteSet, declared: RouteDeclaration, now: number): RouteSet {
  const number = current.number + 1;
  const stays = (endpoint: Endpoint): PlacedEndpoint | undefined =>
    current.endpoints.find((one) => same(one.endpoint.name, endpoint.name) && one.endpoint.kind === endpoint.kind);
  const kept = declared.endpoints.map((endpoint) => ({ endpoint, before: stays(endpoint) }));
  const gone = current.endpoints.filter((one) => !kept.some(({ before }) => before === one));
  const resting = [
    ...current.resting.filter(({ time }) => now - time < limits.endpointPlaceRestMs),
    ...gone.map(({ slot }) => ({ slot, time: now })),
  ];
  const taken = new Set([...current.endpoints, ...resting].map(({ slot }) => slot));
  const endpoints = kept.map(({ endpoint, before }) => {
    if (before !== undefined) return { endpoint, slot: before.slot, since: before.since };
    const slot = Array.from({ length: limits.endpointsMax }, (_, at) => at).find((at) => !taken.has(at));
    if (slot === undefined) {
      return fail(
        `endpoints '${endpoint.name}'`,
        `${limits.endpointsMax} endpoints are there or were removed in the last ${limits.endpointPlaceRestMs / 60_000} minutes; wait and try again.`,
      );
    }
    taken.add(slot);
    return { endpoint, slot, since: number };
  });
  const { routes, fallback, enrichments } = declared;
  return { number, routes, fallback, enrichments, endpoints, resting };
}

/** Endpoints that come and go with a set. */
export function changesOf(
  before: RouteSet,
  after: RouteSet,
): { readonly come: readonly PlacedEndpoint[]; readonly go: readonly PlacedEndpoint[] } {
  const isIn = (one: PlacedEndpoint, set: RouteSet): boolean =>
    set.endpoints.some((other) => same(other.endpoint.name, one.endpoint.name) && other.since === one.since);
  return {
    come: after.endpoints.filter((one) => !isIn(one, before)),
    go: before.endpoints.filter((one) => !isIn(one, after)),
  };
}
