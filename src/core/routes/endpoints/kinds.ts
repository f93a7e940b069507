import { limits } from '../../../base/limits.ts';
import type { Endpoint, EndpointKindName } from '../types.ts';
import { archiveKind } from './archive.ts';
import { eventHubKind } from './event-hub.ts';
import { fieldsOf } from './fields.ts';
import { kafkaKind } from './kafka.ts';
import type { EndpointKind } from './kind.ts';
import { postgresKind } from './postgres.ts';
import { webhookKind } from './webhook.ts';

/** Each kind; one that is missing does not compile. */
const kinds: { readonly [Name in EndpointKindName]: EndpointKind<Extract<Endpoint, { readonly kind: Name }>> } = {
  eventHub: eventHubKind,
  kafka: kafkaKind,
  webhook: webhookKind,
  postgres: postgresKind,
  archive: archiveKind,
};

export const endpointKinds = Object.keys(kinds) as readonly EndpointKindName[];

/** What stands in the place of a secret. */
export const HIDDEN = '***';

const reservedNames = ['events', 'filenotifications', '$default'];

/**
 * An endpoint as it is declared. @param before One of the same name that is in force: a secret that is shown hidden stays as it is there
 * @throws HubError ArgumentInvalid, with the place
 */
export function readEndpoint(value: unknown, place: string, before?: Endpoint): Endpoint {
  const given = before === undefined ? value : restored(value, before);
  const fields = fieldsOf(given, place);
  const name = fields.text('name', { charsMax: limits.routeNameCharsMax });
  if (!/^[A-Za-z0-9._-]+$/.test(name)) fields.fail('name', "it has letters, digits, '.', '-' and '_'.");
  if (reservedNames.includes(name.toLowerCase())) fields.fail('name', `'${name}' is a name of the hub's own.`);
  const word = fields.text('kind', { charsMax: 32 });
  const kind = endpointKinds.find((each) => each === word);
  if (kind === undefined) return fields.fail('kind', `it must be one of ${endpointKinds.join(', ')}.`);
  const endpoint = kinds[kind].read(fields, name);
  for (const secret of secretsOf(kind)) {
    if ((endpoint as unknown as Record<string, unknown>)[secret] === HIDDEN) fields.fail(secret, 'it is missing.');
  }
  fields.end();
  return endpoint;
}

/** As it is declared, with its secrets. */
export const endpointJson = (endpoint: Endpoint): Readonly<Record<string, unknown>> => ({ ...endpoint });

/** As it may be shown: every secret is hidden. */
export function shownEndpoint(endpoint: Endpoint): Readonly<Record<string, unknown>> {
  const secrets: readonly string[] = secretsOf(endpoint.kind);
  return Object.fromEntries(
    Object.entries(endpoint).map(([name, value]) => [name, secrets.includes(name) ? HIDDEN : value]),
  );
}

const secretsOf = (kind: EndpointKindName): readonly string[] => kinds[kind].secrets;

function restored(value: unknown, before: Endpoint): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const given = value as Record<string, unknown>;
  if (given.kind !== before.kind) return value;
  const kept = before as unknown as Record<string, unknown>;
  const { sentTo = [] } = kinds[before.kind] as { readonly sentTo?: readonly string[] };
  // Who may change an address must not get a secret sent there.
  if (sentTo.some((name) => JSON.stringify(given[name]) !== JSON.stringify(kept[name]))) return value;
  const hidden = secretsOf(before.kind).filter((name) => given[name] === HIDDEN && kept[name] !== undefined);
  return { ...given, ...Object.fromEntries(hidden.map((name) => [name, kept[name]])) };
}
