import type { EngineName } from './counted-key.ts';

/** What nodes that share the tables know of each other. Times are the database's, UTC milliseconds. */
export const nodes = (engine: EngineName): readonly string[] => (engine === 'postgres' ? tables : []);

const tables: readonly string[] = [
  `create table nodes (
    id text not null primary key,
    name text not null,
    folder text not null,
    address text not null,
    port bigint not null,
    version text not null,
    started_time bigint not null,
    draining bigint not null default 0,
    devices bigint not null default 0,
    lease_until bigint not null
  )`,
  // Who reads a partition for a consumer group.
  `create table receivers (
    event_hub text not null,
    group_key text not null,
    partition bigint not null,
    node text not null,
    receiver bigint not null,
    name text not null,
    epoch bigint,
    primary key (event_hub, group_key, partition, node, receiver)
  )`,
  `create index receivers_node on receivers (node)`,
  // What a node that cannot be reached is told with the next renewal of its lease.
  `create table node_notices (
    id text not null primary key,
    node text not null,
    created_time bigint not null,
    body text not null
  )`,
  `create index node_notices_node on node_notices (node, created_time)`,
  // Work that one node does for all, for as long as its lease lasts.
  `create table node_duties (duty text not null primary key, node text not null)`,
];
