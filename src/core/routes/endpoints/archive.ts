import type { EndpointKind } from './kind.ts';

/** Files of events in a store of objects. */
export interface ArchiveEndpoint {
  readonly kind: 'archive';
  readonly name: string;
  readonly format: 'parquet' | 'avro' | 'json';
}

export const archiveKind: EndpointKind<ArchiveEndpoint> = {
  secrets: [],
  read: (fields, name) => ({
    ...{ kind: 'archive', name },
    format: fields.oneOf('format', ['parquet', 'avro', 'json'], 'parquet'),
  }),
};
