/** The forms that an archive's files may have. */
import { avroEncoder } from './avro-encoder.ts';
import type { ArchiveEncoder } from './encoder.ts';
import { jsonEncoder } from './json-encoder.ts';
import { parquetEncoder } from './parquet-encoder.ts';

export const archiveFormats = ['parquet', 'avro', 'avrodeflate', 'json'] as const;

/** As the service's storage endpoints name them, and Parquet, which they do not have. */
export type ArchiveFormat = (typeof archiveFormats)[number];

/** What a file says of itself, where its form has a place for it. */
export interface ArchiveFile {
  readonly eventHub: string;
  readonly endpoint: string;
  readonly partition: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** The ends of the files' names, and their types. */
export const formatFacts: Readonly<
  Record<ArchiveFormat, { readonly extension: string; readonly contentType: string }>
> = {
  parquet: { extension: 'parquet', contentType: 'application/vnd.apache.parquet' },
  avro: { extension: 'avro', contentType: 'application/avro' },
  avrodeflate: { extension: 'avro', contentType: 'application/avro' },
  json: { extension: 'json', contentType: 'application/x-ndjson' },
};

/** Writing the same rows again gives the same bytes. */
export function createEncoder(format: ArchiveFormat, file: ArchiveFile): ArchiveEncoder {
  switch (format) {
    case 'parquet':
      return parquetEncoder({ ...file });
    case 'avro':
      return avroEncoder('null', JSON.stringify(file));
    case 'avrodeflate':
      return avroEncoder('deflate', JSON.stringify(file));
    case 'json':
      return jsonEncoder();
  }
}
