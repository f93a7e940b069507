import type { EngineName } from './counted-key.ts';

/**
 * Which connection, at which node, holds the place of an identity, and which one it has taken it from. Only where nodes share the tables. The
 * room that a page leaves free lets a row be written anew beside itself.
 */
export const places = (engine: EngineName): readonly string[] =>
  engine === 'postgres'
    ? [
        `create table places (
          device_id text not null,
          module_id text not null,
          node text not null,
          connection bigint not null,
          generation_id text not null,
          authority text,
          credentials text,
          since bigint not null,
          was_node text,
          was_connection bigint,
          was_generation_id text,
          was_since bigint,
          primary key (device_id, module_id)
        ) with (fillfactor = 70)`,
      ]
    : [];
