/** The forms that an archive's files may have. */
import type { ArchiveFormat } from '../../core/archive/types.ts';
import { avroEncoder } from './avro-encoder.ts';
import type { ArchiveEncoder } from './encoder.ts';
import { jsonEncoder } from './json-encoder.ts';
import { parquetEncoder } from './parquet-encoder.ts';

/** What a file says of itself, where its form has a place for it. */
export interface FileFacts {
  readonly eventHub: string;
  readonly partition: number;
  readonly firstSequence: number;
}

/** Writing the same rows again gives the same bytes. */
export function createEncoder(format: ArchiveFormat, file: FileFacts): ArchiveEncoder {
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
