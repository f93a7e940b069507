/** Routes of events and where they lead (service reference 9). Plain data. */
import type { ArchiveEndpoint } from './endpoints/archive.ts';
import type { EventHubEndpoint } from './endpoints/event-hub.ts';
import type { KafkaEndpoint } from './endpoints/kafka.ts';
import type { PostgresEndpoint } from './endpoints/postgres.ts';
import type { WebhookEndpoint } from './endpoints/webhook.ts';

/** What a route takes events of. A message of a device is `DeviceMessages`. */
export const routeSources = [
  'DeviceMessages',
  'TwinChangeEvents',
  'DeviceLifecycleEvents',
  'DeviceConnectionStateEvents',
  'DeviceJobLifecycleEvents',
  'DigitalTwinChangeEvents',
] as const;

export type RouteSource = (typeof routeSources)[number];

/** The name by which routes lead to the built-in event hub. */
export const BUILT_IN_ENDPOINT = 'events';

export interface Route {
  readonly name: string;
  readonly source: RouteSource;
  /** In the routing dialect of the condition language; `true` takes everything. */
  readonly condition: string;
  /** Name of an endpoint, or `events`. */
  readonly endpoint: string;
  readonly isEnabled: boolean;
}

/** Takes messages of devices that no route has taken. */
export interface Fallback {
  readonly isEnabled: boolean;
  readonly endpoint: string;
}

/** A property that is added to each event on its way to these endpoints. */
export interface Enrichment {
  readonly key: string;
  /** A text, `$iothubname`, or a path that begins with `$twin.`. */
  readonly value: string;
  readonly endpoints: readonly string[];
}

/** An endpoint that is declared: its name, what it is, and the settings of its kind. */
export type Endpoint = EventHubEndpoint | KafkaEndpoint | WebhookEndpoint | PostgresEndpoint | ArchiveEndpoint;

export type EndpointKindName = Endpoint['kind'];

/** What an operator declares. */
export interface RouteDeclaration {
  readonly routes: readonly Route[];
  readonly fallback: Fallback;
  readonly enrichments: readonly Enrichment[];
  readonly endpoints: readonly Endpoint[];
}

/** An endpoint with what the hub knows it by. */
export interface PlacedEndpoint {
  readonly endpoint: Endpoint;
  /** Its bit in the records of events, from 0: `1 << slot` in `RoutedRecord.slots`. */
  readonly slot: number;
  /** Number of the set in which it came: an endpoint of the same name that comes later is another one. */
  readonly since: number;
}

/** A declaration in force. */
export interface RouteSet extends Omit<RouteDeclaration, 'endpoints'> {
  /** Grows by one with each change; 0 = nothing has ever been declared. */
  readonly number: number;
  readonly endpoints: readonly PlacedEndpoint[];
  /** Places of endpoints that were removed, which rest: UTC milliseconds of the removal. */
  readonly resting: readonly { readonly slot: number; readonly time: number }[];
}

/** The set of a hub in which nothing is declared: all events are in the built-in event hub. */
export const noRoutes: RouteSet = {
  number: 0,
  routes: [],
  fallback: { isEnabled: true, endpoint: BUILT_IN_ENDPOINT },
  enrichments: [],
  endpoints: [],
  resting: [],
};
