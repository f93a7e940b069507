import type { Kysely } from 'kysely';

/** The tables, as both engines hold them. Absent text is null; times are UTC milliseconds; lists are JSON text. */
export interface Tables {
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

/** A transaction that is open: whoever calls an operation begins and commits it. */
export type Transaction = Kysely<Tables>;
