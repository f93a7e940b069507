import { countedKey, type EngineName } from './counted-key.ts';

/**
 * From each format to the next, in SQL that SQLite and PostgreSQL both read (a column of type `bytea` takes bytes as they
 * are in SQLite, too). A step that has been released is never changed: data folders of its format exist.
 */
export const released = (engine: EngineName): readonly (readonly string[])[] => [
  [
    `create table identities (
      device_id text not null,
      module_id text not null,
      generation_id text not null,
      etag text not null,
      status text not null,
      status_reason text,
      status_updated_time bigint not null,
      auth_type text not null,
      primary_key text,
      secondary_key text,
      primary_thumbprint text,
      secondary_thumbprint text,
      iot_edge integer not null,
      device_scope text,
      parent_scopes text not null,
      managed_by text,
      primary key (device_id, module_id)
    )`,
    `create index identities_devices on identities (device_id) where module_id = ''`,
    // Counted as they change: a creation must know the number of devices, and counting a million rows takes too long.
    `create table identity_counts (status text not null primary key, count bigint not null)`,
    `insert into identity_counts (status, count) values ('enabled', 0), ('disabled', 0)`,
    `create table policies (
      name text not null primary key,
      position integer not null,
      primary_key text not null,
      secondary_key text not null,
      permissions text not null
    )`,
    `create table consumer_groups (
      event_hub text not null,
      name_key text not null,
      name text not null,
      created_time bigint not null,
      primary key (event_hub, name_key)
    )`,
    `create table subscriptions (
      device_id text not null,
      module_id text not null,
      generation_id text not null,
      filters text not null,
      saved_time bigint not null,
      primary key (device_id, module_id)
    )`,
  ],
  [
    `create table command_queues (
      device_id text not null,
      module_id text not null,
      last_sequence bigint not null,
      waiting integer not null,
      locked integer not null,
      next_due bigint not null,
      primary key (device_id, module_id)
    )`,
    `create table commands (
      device_id text not null,
      module_id text not null,
      sequence bigint not null,
      generation_id text not null,
      message_id text,
      ack text not null,
      enqueued_time bigint not null,
      expires_at bigint not null,
      delivery_count integer not null,
      handed_over integer not null,
      state integer not null,
      due bigint,
      lock_token text,
      holder text,
      ended_time bigint,
      trail text not null,
      primary key (device_id, module_id, sequence)
    )`,
    // A million ended commands do not slow down what is asked of the few open ones of a device, nor the other way round.
    `create index commands_open on commands (device_id, module_id, sequence) where state <= 1`,
    `create index commands_due on commands (due) where state <= 1`,
    `create index commands_age on commands (enqueued_time) where state <= 1`,
    `create index commands_ended on commands (ended_time) where state >= 2`,
    `create index commands_dead on commands (device_id, module_id, sequence) where state >= 3`,
    `create index commands_message on commands (device_id, module_id, message_id)`,
    `create table command_messages (
      device_id text not null,
      module_id text not null,
      sequence bigint not null,
      header text not null,
      body bytea not null,
      primary key (device_id, module_id, sequence),
      foreign key (device_id, module_id, sequence) references commands on delete cascade
    )`,
    `create table command_receipts (
      sequence ${countedKey[engine]},
      device_id text not null,
      module_id text not null,
      generation_id text not null,
      command_sequence bigint not null,
      message_id text,
      outcome text not null,
      enqueued_time bigint not null,
      lock_token text,
      locked_until bigint not null
    )`,
    `create index command_receipts_time on command_receipts (enqueued_time, sequence)`,
    `create index command_receipts_lock on command_receipts (lock_token) where lock_token is not null`,
    `create index command_receipts_device on command_receipts (device_id, module_id)`,
  ],
  [
    `create table authorities (
      name text not null primary key,
      etag text not null,
      thumbprint text not null unique,
      certificate text not null,
      verified integer not null,
      verification_code text,
      created_time bigint not null,
      updated_time bigint not null
    )`,
    `create table authority_intermediates (
      thumbprint text not null primary key,
      authority text not null,
      certificate text not null,
      position bigint not null
    )`,
  ],
  [
    `create table presence_states (
      device_id text not null,
      module_id text not null,
      generation_id text not null,
      connected integer not null,
      state_time bigint not null,
      activity_time bigint not null,
      primary key (device_id, module_id)
    )`,
    // After a crash: who was connected, without looking at everybody.
    `create index presence_connected on presence_states (device_id, module_id) where connected = 1`,
  ],
  [
    `create table secrets (name text not null primary key, value text not null)`,
    `create table file_uploads (
      device_id text not null,
      module_id text not null,
      correlation_id text not null,
      generation_id text not null,
      path text not null,
      opened_time bigint not null,
      expires_at bigint not null,
      is_open integer not null,
      primary key (device_id, module_id, correlation_id)
    )`,
    `create index file_uploads_time on file_uploads (expires_at)`,
    `create table file_notifications (
      sequence ${countedKey[engine]},
      device_id text not null,
      module_id text not null,
      path text not null,
      blob_uri text not null,
      bytes bigint not null,
      last_modified bigint not null,
      enqueued_time bigint not null,
      expires_at bigint not null,
      lock_token text,
      locked_until bigint not null,
      delivery_count integer not null
    )`,
    `create index file_notifications_lock on file_notifications (lock_token) where lock_token is not null`,
    `create index file_notifications_time on file_notifications (expires_at)`,
    `create table twins (
      device_id text not null,
      module_id text not null,
      generation_id text not null,
      changes bigint not null,
      desired_version bigint not null,
      reported_version bigint not null,
      reported_size bigint not null,
      model_id text not null,
      tail text not null,
      primary key (device_id, module_id)
    )`,
    // Apart from the row that every reported patch changes: a row is rewritten as a whole.
    `create table twin_documents (
      device_id text not null,
      module_id text not null,
      document text not null,
      primary key (device_id, module_id)
    )`,
    `create table twin_patches (
      device_id text not null,
      module_id text not null,
      version bigint not null,
      patch text not null,
      primary key (device_id, module_id, version)
    )`,
    `create table twin_events (
      sequence ${countedKey[engine]},
      device_id text not null,
      module_id text not null,
      generation_id text not null,
      version bigint not null,
      time bigint not null,
      kind text not null,
      content text not null
    )`,
    `create table file_grants (
      sequence ${countedKey[engine]},
      id text not null unique,
      device_id text not null,
      module_id text not null,
      generation_id text not null,
      path text not null,
      name text not null,
      created_time bigint not null,
      expires_at bigint not null,
      granted_by text not null,
      etag text,
      bytes bigint not null,
      sent_bytes bigint not null,
      first_time bigint not null,
      last_time bigint not null,
      completed_time bigint
    )`,
    `create index file_grants_device on file_grants (device_id, module_id, name)`,
    `create index file_grants_path on file_grants (path, sequence)`,
    `create index file_grants_time on file_grants (expires_at)`,
    `create table file_rollouts (
      sequence ${countedKey[engine]},
      id text not null unique,
      name text not null,
      created_time bigint not null,
      created_by text not null,
      plan text not null,
      state text not null,
      reason text not null,
      not_before bigint not null,
      wave integer not null
    )`,
    `create index file_rollouts_running on file_rollouts (sequence) where state = 'running'`,
    `create table file_rollout_targets (
      rollout text not null,
      position integer not null,
      device_id text not null,
      module_id text not null,
      state text not null,
      grant_id text not null,
      time bigint not null,
      reason text not null,
      primary key (rollout, position)
    )`,
    `create index file_rollout_targets_state on file_rollout_targets (rollout, state, position)`,
    `create index identities_children on identities (parent_scopes, device_id) where parent_scopes <> '[]'`,
  ],
];
