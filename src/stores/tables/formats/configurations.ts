/** Configurations, what they have made of each identity, and what is still to be looked at. */
export const configurations: readonly string[] = [
  `create table configurations (
    id text not null primary key,
    serial bigint not null,
    etag text not null,
    schema_version text not null,
    labels text not null,
    content text not null,
    target_condition text not null,
    priority bigint not null,
    metrics text not null,
    counters text not null,
    created_time bigint not null,
    updated_time bigint not null,
    goal_lap bigint not null,
    goal_device text not null,
    goal_module text not null
  )`,
  `create table configuration_counts (counter bigint not null primary key, count bigint not null)`,
  // Identities that have changed in a way that configurations may depend on.
  `create table configuration_marks (
    device_id text not null,
    module_id text not null,
    touched bigint not null,
    primary key (device_id, module_id)
  )`,
  `create table configured (
    device_id text not null,
    module_id text not null,
    generation_id text not null,
    states text not null,
    kept text not null,
    primary key (device_id, module_id)
  )`,
  // One row: what all have to know of the configurations, held by who changes one.
  `create table configuration_facts (
    id integer not null primary key,
    revision bigint not null,
    is_any integer not null,
    reported integer not null,
    next_number bigint not null,
    goal_lap bigint not null,
    goal_device text not null,
    goal_module text not null
  )`,
  `insert into configuration_facts values (1, 0, 0, 0, 1, 0, '', '')`,
  // One row: how far the walk and the look at the marks have come, held by who takes a step.
  `create table configuration_turn (
    id integer not null primary key,
    lap bigint not null,
    device_id text not null,
    module_id text not null,
    mark_device text not null,
    mark_module text not null
  )`,
  `insert into configuration_turn values (1, 0, '', '', '', '')`,
];
