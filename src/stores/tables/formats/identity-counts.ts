import type { EngineName } from './counted-key.ts';

/**
 * Where many transactions create devices at a time, one row for all of them would let one through after the other: each holds it over its
 * commit. So each connection of the database counts in a part of its own, and the number of devices is the sum of `identity_counts` and these.
 */
export const identityCounts = (engine: EngineName): readonly string[] =>
  engine === 'postgres'
    ? [
        `create table identity_count_parts (status text not null, part integer not null, count bigint not null,
          primary key (status, part)) with (fillfactor = 50)`,
        `insert into identity_count_parts (status, part, count)
          select status, part, 0 from identity_counts cross join generate_series(0, 63) as part`,
      ]
    : [];
