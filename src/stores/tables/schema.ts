import type { Generated, Kysely } from 'kysely';
import type { JobDeviceRow, JobRow } from './job-tables.ts';
import type { NodeTables } from './node-tables.ts';
import type { RegistryJobErrorRow, RegistryJobRow } from './registry-job-rows.ts';
import type { RouteCursorRow, RouteExtraRow, RouteSetRow } from './route-tables.ts';

/** The tables, as both engines hold them. Absent text is null; times are UTC milliseconds; lists are JSON text. */
export interface Tables extends NodeTables {
  facts: { name: string; value: string };
  identities: IdentityRow;
  identity_counts: { status: string; count: number };
  policies: { name: string; position: number; primary_key: string; secondary_key: string; permissions: string };
  consumer_groups: { event_hub: string; name_key: string; name: string; created_time: number };
  subscriptions: {
    device_id: string;
    module_id: string;
    generation_id: string;
    filters: string;
    saved_time: number;
  };
  presence_states: PresenceRow;
  command_queues: CommandQueueRow;
  commands: CommandRow;
  command_messages: CommandMessageRow;
  command_receipts: CommandReceiptRow;
  authorities: AuthorityRow;
  secrets: SecretRow;
  file_uploads: FileUploadRow;
  file_notifications: FileNotificationRow;
  twins: TwinRow;
  twin_documents: { device_id: string; module_id: string; document: string };
  twin_patches: { device_id: string; module_id: string; version: number; patch: string };
  twin_events: TwinEventRow;
  jobs: JobRow;
  job_devices: JobDeviceRow;
  configured: ConfiguredRow;
  file_grants: FileGrantRow;
  registry_jobs: RegistryJobRow;
  registry_job_errors: RegistryJobErrorRow;
  route_sets: RouteSetRow;
  route_cursors: RouteCursorRow;
  route_rows: RouteExtraRow;
  file_rollouts: FileRolloutRow;
  file_rollout_targets: FileRolloutTargetRow;
  authority_intermediates: { thumbprint: string; authority: string; certificate: string; position: number };
}

export interface AuthorityRow {
  name: string;
  etag: string;
  thumbprint: string;
  certificate: string;
  verified: number;
  verification_code: string | null;
  created_time: number;
  updated_time: number;
}

/** One identity's queue. Never removed: `last_sequence` is not used again, whatever becomes of the identity. */
export interface CommandQueueRow {
  device_id: string;
  module_id: string;
  last_sequence: number;
  /** Commands in state 0 and 1. */
  waiting: number;
  locked: number;
  /** No open command is due before this; `NEVER` (`command-rows.ts`) when there is none. May be too early, never too late. */
  next_due: number;
}

/** What the lifecycle needs of a command; its message is in `command_messages`. */
export interface CommandRow {
  device_id: string;
  module_id: string;
  sequence: number;
  generation_id: string;
  message_id: string | null;
  ack: string;
  enqueued_time: number;
  expires_at: number;
  delivery_count: number;
  handed_over: number;
  /** Its place in `command-rows.ts`' list: 0 waits, 1 is locked, from 2 on ended. */
  state: number;
  /** When time does something to it: the lock's end or its own. Null once it has ended. */
  due: number | null;
  lock_token: string | null;
  holder: string | null;
  ended_time: number | null;
  /** JSON list of [time, step, detail]. */
  trail: string;
}

/** Goes with its command (foreign key). Written once. */
export interface CommandMessageRow {
  device_id: string;
  module_id: string;
  sequence: number;
  /** JSON list: correlation id, user id, content type, content encoding, expiry (each null when absent), properties. */
  header: string;
  body: Uint8Array;
}

export interface CommandReceiptRow {
  sequence: Generated<number>;
  device_id: string;
  module_id: string;
  generation_id: string;
  command_sequence: number;
  message_id: string | null;
  outcome: string;
  enqueued_time: number;
  lock_token: string | null;
  /** 0 when nobody holds it. */
  locked_until: number;
}

/** A secret of the hub itself, sealed (`key-cipher.ts`). */
export interface SecretRow {
  name: string;
  value: string;
}

export interface FileUploadRow {
  device_id: string;
  module_id: string;
  correlation_id: string;
  generation_id: string;
  path: string;
  opened_time: number;
  expires_at: number;
  /** 1 until the device has said that it has ended. */
  is_open: number;
}

export interface FileNotificationRow {
  sequence: Generated<number>;
  device_id: string;
  module_id: string;
  path: string;
  blob_uri: string;
  bytes: number;
  last_modified: number;
  enqueued_time: number;
  expires_at: number;
  lock_token: string | null;
  /** 0 when nobody holds it. */
  locked_until: number;
  delivery_count: number;
}

export interface FileGrantRow {
  /** In the order of granting. */
  sequence: Generated<number>;
  id: string;
  device_id: string;
  module_id: string;
  generation_id: string;
  path: string;
  name: string;
  created_time: number;
  expires_at: number;
  granted_by: string;
  /** Null until something of the file was sent; the columns below are 0 or null then. */
  etag: string | null;
  bytes: number;
  sent_bytes: number;
  first_time: number;
  last_time: number;
  completed_time: number | null;
}

export interface FileRolloutRow {
  /** In the order of creation. */
  sequence: Generated<number>;
  id: string;
  name: string;
  created_time: number;
  created_by: string;
  /** JSON. */
  plan: string;
  state: string;
  reason: string;
  not_before: number;
  wave: number;
}

export interface FileRolloutTargetRow {
  rollout: string;
  position: number;
  device_id: string;
  module_id: string;
  state: string;
  grant_id: string;
  time: number;
  reason: string;
}

export interface IdentityRow {
  device_id: string;
  /** Empty for the device itself. */
  module_id: string;
  generation_id: string;
  etag: string;
  status: string;
  status_reason: string | null;
  status_updated_time: number;
  auth_type: string;
  /** Sealed (`key-cipher.ts`). */
  primary_key: string | null;
  secondary_key: string | null;
  primary_thumbprint: string | null;
  secondary_thumbprint: string | null;
  iot_edge: number;
  device_scope: string | null;
  parent_scopes: string;
  managed_by: string | null;
}

/** What presence knew of an identity when it was last written. */
export interface PresenceRow {
  device_id: string;
  module_id: string;
  generation_id: string;
  connected: number;
  state_time: number;
  activity_time: number;
  /** Who has said so; empty where there is one node only. */
  node: string;
}

/** There is none while a twin is fresh. Its document is in `twin_documents`; `core/twins/kept.ts` says what a tail is. */
export interface TwinRow {
  device_id: string;
  module_id: string;
  generation_id: string;
  changes: number;
  desired_version: number;
  /** With the tail. */
  reported_version: number;
  /** What names and values of the reported properties may have at most, with the tail. */
  reported_size: number;
  /** As the device named it last, when it connected; empty = none. */
  model_id: string;
  tail: string;
}

/** What configurations have made of an identity; none where they have nothing to do with it (`configuration-rows.ts`). */
export interface ConfiguredRow {
  device_id: string;
  module_id: string;
  generation_id: string;
  /** JSON, `ConfigurationStates`. */
  states: string;
  /** JSON, the rest of `Configured`. */
  kept: string;
}

export interface TwinEventRow {
  sequence: Generated<number>;
  device_id: string;
  module_id: string;
  generation_id: string;
  version: number;
  time: number;
  kind: string;
  /** JSON, `TwinEventContent`. */
  content: string;
}

/** A transaction that is open: the caller of an operation begins and commits it. */
export type Transaction = Kysely<Tables>;
