/** Telemetry and the event log that keeps it. Plain data, no behaviour. */
import type { IdTypes } from '../../base/id-type.ts';

/** A message from a device as a door read it, before it is stamped and encoded. Absent = not set by the device. */
export interface Telemetry {
  readonly system: TelemetrySystem;
  /** Application properties in the order sent; a value may be null (a name without `=`, device reference 2.3). */
  readonly properties: readonly (readonly [name: string, value: string | null])[];
  readonly body: Uint8Array;
  /** The hub's own id of a message that it traces (`core/monitoring/traced-events.ts`); no door sets it. */
  readonly traceId?: string;
  /** Where exactly an adapter has it from (a topic, a path), for its trace; it is not stored. */
  readonly address?: string;
}

/** System properties (device reference 2.3). Values are text as the device sent them, decoded once. */
export interface TelemetrySystem {
  readonly messageId?: string;
  readonly correlationId?: string;
  /** Of ids that came as something else than text, which AMQP alone can say. */
  readonly idTypes?: IdTypes;
  readonly userId?: string;
  readonly to?: string;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  /** UTC milliseconds. */
  readonly expiry?: number;
  /** UTC milliseconds. */
  readonly creationTime?: number;
  readonly subject?: string;
  readonly interfaceId?: string;
  readonly messageSchema?: string;
  readonly outputName?: string;
  readonly diagnosticId?: string;
  readonly correlationContext?: string;
}

/** What the hub itself says of a message; a device cannot set or forge these. */
export interface EventStamp {
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly generationId: string;
  /** JSON text of `iothub-connection-auth-method`. */
  readonly authMethod: string;
  /** `iothub-message-source`: `Telemetry`, or the name of a hub event's source. */
  readonly source: string;
  /** Model id of the device's CONNECT or attach (`dt-dataschema`). */
  readonly modelId?: string;
}

/** Of an event of the hub itself: a device may be concerned, or none. */
export type HubEventStamp = Partial<EventStamp> & Pick<EventStamp, 'source'>;

/**
 * Stored records of one partition, next to each other: `count` records, sequence numbers from `firstSequence` on, each
 * as a 32-bit little-endian length and its bytes, from `start` up to `end` of `bytes`. Never written to: readers copy.
 */
export interface EventRun {
  readonly firstSequence: number;
  readonly count: number;
  /** Enqueued time of all of them, UTC milliseconds. Never goes back within a partition. */
  readonly time: number;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Where a reader begins (service reference 5.4). `inclusive` = from that one, else behind it. */
export type EventPosition =
  | { readonly kind: 'start' }
  | { readonly kind: 'end' }
  | { readonly kind: 'sequence'; readonly sequence: number; readonly inclusive: boolean }
  | { readonly kind: 'time'; readonly time: number; readonly inclusive: boolean };

/** Facts of one partition. Empty: `lastSequence` is `firstSequence - 1`. */
export interface PartitionFacts {
  readonly partition: number;
  /** Oldest sequence number that is still kept, or the next one to be given if none is. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** UTC milliseconds of the last event ever enqueued; 0 = none. */
  readonly lastTime: number;
}

/** Offsets are sixteen digits: this plus the sequence number (design section 4). */
export const OFFSET_BASE = 10 ** 15;
