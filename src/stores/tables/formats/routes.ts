/** Routes in force, and how far events of each partition have come to each endpoint. `docs/data-files.md` says what stands in them. */
export const routesFormat: readonly string[] = [
  `create table route_sets (
    name text not null primary key,
    number bigint not null,
    declaration text not null
  )`,
  `create table route_cursors (
    endpoint text not null,
    since bigint not null,
    partition_number integer not null,
    sequence bigint not null,
    node text not null,
    fence bigint not null,
    held_until bigint not null,
    primary key (endpoint, partition_number)
  )`,
  `create table route_rows (
    endpoint text not null,
    partition_number integer not null,
    row_key text not null,
    value text not null,
    primary key (endpoint, partition_number, row_key)
  )`,
];
