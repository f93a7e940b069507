/**
 * Storage as one value: what the rest of the server knows of where things are kept. `openEmbedded` makes it of a journal and
 * SQLite on this machine; another way of keeping things is another function that gives this, and no other room changes.
 */
import type { Metric } from 'prom-client';
import type { Clock } from '../../base/clock.ts';
import type { RecordCodec } from '../../core/events/ports.ts';
import type { Standing } from '../../core/nodes/processes.ts';
import type { Places } from '../../core/presence/places.ts';
import type { PresenceStateStore } from '../../core/presence/states.ts';
import type { FleetStore } from '../../core/query/ports.ts';
import type { BegunTwinEventStore } from '../../core/twins/ports.ts';
import type { StoredLog } from '../../stores/event-log/stored-log.ts';
import type { TableStores } from '../../stores/tables/stores.ts';
import type { NodeStores } from '../nodes/nodes.ts';
import type { HealthCheck } from '../observe/health/health.ts';
import type { EventHubWish, OpenEventHub } from '../routes/endpoint-hubs.ts';

/** Everything but events. */
export interface Stores extends TableStores {
  readonly presenceStates: PresenceStateStore;
  readonly fleet: FleetStore;
}

/** A log as it takes room on the disk of the data folder. */
export interface LogOnDisk {
  readonly name: string;
  /** `bytesMax` is infinite where the log has no bound. */
  stats(): { readonly bytes: number; readonly bytesMax: number };
}

export interface SharedByNodes extends NodeStores {
  /**
   * Whether this node may answer for the hub: asked before what devices have sent is written, and before that is acknowledged; and as which
   * process it takes work that nodes share. Set once its name is free.
   */
  readonly fence: { mayAnswer: () => boolean; standing: () => Standing | undefined };
}

export interface Storage {
  readonly stores: Stores;
  readonly logs: { readonly telemetry: StoredLog; readonly monitoring: StoredLog };
  /** Opens another event hub, which is made if it is not there. @throws Error whose message says what to do */
  readonly openEventHub: (wish: EventHubWish) => Promise<OpenEventHub<StoredLog>>;
  /** How messages are written into the logs. */
  readonly codec: RecordCodec;
  /**
   * The time by which the stores count locks, times to live and ages: this machine's where one process owns them, the database's
   * where nodes share it. What the core passes to a store as `now` is from here.
   */
  readonly clock: Clock;
  /** What nodes share that keep everything in the same place; absent = this process is the hub. */
  readonly nodes?: SharedByNodes;
  /** Who holds the connection of an identity. */
  readonly places: Places;
  /**
   * Calls when a write of rows of the fleet may have been carried out of which no store tells, because its answer was lost; absent = there
   * is no such thing here. The returned function ends it.
   */
  readonly watchLost?: (listener: () => void) => () => void;
  /** Absent = the times of the logs are this machine's, as those of the stores. */
  readonly begunTwinEvents?: BegunTwinEventStore;
  /** Keeps events of telemetry beyond their age, where that can be (`EmbeddedEventLog.keepFor`). */
  readonly keepFor?: (wanted: () => readonly number[] | undefined) => void;
  /** What of the events lies on the disk of the data folder; empty where they are kept elsewhere. */
  readonly onDisk: readonly LogOnDisk[];
  /** Whether things can be kept; the hub is not ready while one of them fails. */
  readonly checks: readonly HealthCheck[];
  /** What is measured of it; in no registry yet. */
  readonly metrics: readonly Metric[];
  /** Finishes what waits, then takes nothing more. A part that cannot be closed is logged, and the others still are. */
  close(): Promise<void>;
}
