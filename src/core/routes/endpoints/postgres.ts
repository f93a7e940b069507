import type { EndpointKind } from './kind.ts';

/** A table of PostgreSQL or Timescale: a row for each event, written once by its partition and sequence number. */
export interface PostgresEndpoint {
  readonly kind: 'postgres';
  readonly name: string;
  /** `postgresql://user:password@host:port/database`. */
  readonly url: string;
  readonly table: string;
}

export const postgresKind: EndpointKind<PostgresEndpoint> = {
  secrets: ['url'],
  read(fields, name) {
    const url = fields.text('url', { charsMax: 2048 });
    if (!/^postgres(?:ql)?:\/\//.test(url) || !URL.canParse(url)) {
      fields.fail('url', 'it is no address of PostgreSQL, as postgresql://user:password@host:5432/database.');
    }
    const table = fields.text('table', { default: 'mooring_events', charsMax: 127 });
    if (!/^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?$/.test(table)) {
      fields.fail('table', 'it is a name, or schema.name, of letters, digits and _.');
    }
    return { kind: 'postgres', name, url, table };
  },
};
