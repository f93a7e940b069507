/** Routes, endpoints and delivery. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { KiB, MiB, SECOND_MS } from './units.ts';

export const routesLimits = {
  /** Service: routes of a hub. */
  routesMax: 100,
  /** Endpoints beside the built-in one: a record has a bit for each (`wire/amqp/record.ts`). */
  endpointsMax: 16,
  /** Service: characters of the name of a route or endpoint. */
  routeNameCharsMax: 64,
  /** Enrichments of a hub, and characters of the key and of the value of one. */
  enrichmentsMax: 10,
  enrichmentKeyCharsMax: 128,
  enrichmentValueCharsMax: 2 * KiB,
  /** Bytes of an event of the log with what enrichments add to it: more, and it goes without them (service: it is dropped). */
  enrichedEventBytesMax: 256 * KiB,
  /** Bytes that enrichments add to events that are handed over together: values of twins may be longer than the events themselves. */
  enrichmentsBytesMax: 4 * MiB,
  /** That events go without enrichments is logged once in so long, for each endpoint. */
  enrichmentsLeftOutLogMs: 60 * SECOND_MS,
  /** Characters of a declaration as JSON, in a file or a request: a hundred routes with long conditions. */
  routesDeclarationCharsMax: 1 * MiB,
  /** Values of a declaration in a request, names included. */
  routesValuesMax: 5000,
  /** Characters of a setting of an endpoint that is text (an address, a key, a certificate). */
  endpointSettingCharsMax: 16 * KiB,
  /** Names of properties, as devices spell them, that are remembered for routes. */
  routePropertyNamesMax: 4096,
  /** Twins that routes have asked for and that each thread remembers. */
  routeTwinsMax: 50_000,
  /** How old such a twin may be before it is read again, and how many are read at a time. */
  routeTwinAgeMs: 5 * SECOND_MS,
  routeTwinReadsMax: 32,
  /** How often a node of several asks whether another one has changed the routes. */
  routesLookMs: SECOND_MS,
  /** For so long the place of an endpoint that was removed is given to no other: by then every node has the set without it. */
  endpointPlaceRestMs: 600 * SECOND_MS,
  /** Between two tries to open the event hub of an endpoint: a node that delivers nothing to it lets it be read. */
  endpointHubRetryMs: 10 * SECOND_MS,
  /** How long an endpoint's partition belongs to the node that delivers it: one that says nothing for so long has lost it. */
  deliveryLeaseMs: 15 * SECOND_MS,
  /** Rows that an owner of a cursor may keep beside it, per endpoint and partition, and characters of one. */
  cursorRowsMax: 10_000,
  cursorRowCharsMax: 16 * KiB,
  /** Records that one reading of the log for endpoints takes, and bytes of the log that it looks through. */
  deliveryBatchRecords: 1000,
  deliveryReadBytes: 1 * MiB,
  /** A cursor that only passes events of others is saved once in so long: after a crash they are looked through again. */
  deliveryIdleSaveMs: 5 * SECOND_MS,
  /** Pause after a batch that an endpoint has not taken: doubles up to the second one, a quarter of it by chance. */
  deliveryRetryMsMin: 200,
  deliveryRetryMsMax: 60 * SECOND_MS,
  /** An endpoint that has taken nothing for so long counts as dead (service: an hour); it is still tried, and drops nothing. */
  endpointDeadMs: 3600 * SECOND_MS,
  /** Share of the time that events are kept from which on an endpoint that is behind is a warning. */
  deliveryLagWarnShare: 0.5,
} as const;
