/** What a query is asked of, as rows of tables. */
import type { FleetReader, PageRequest } from '../../core/query/ports.ts';
import { fleetReader, type ReaderOptions } from './fleet.ts';
import { jobRecordReader } from './job-records.ts';
import type { Transaction } from './schema.ts';

export function collectionReader(
  tables: Transaction,
  request: Pick<PageRequest, 'query' | 'countMax'>,
  options: ReaderOptions,
): FleetReader {
  return request.query.from === 'devices.jobs'
    ? jobRecordReader(tables, request)
    : fleetReader(tables, request, options);
}
