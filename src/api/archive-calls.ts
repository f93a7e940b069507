/** Calls about archives of events. */
import { z } from 'zod';
import {
  type ArchiveFilesJson,
  type ArchiveJson,
  type ArchiveReportJson,
  archiveFilesSchema,
  archiveReportSchema,
  archiveSchema,
} from './archives.ts';
import { type ApiTransport, exchange } from './exchange.ts';

export interface ArchivePage {
  readonly partition: number;
  /** As `next` of the page before. */
  readonly after?: number;
  readonly limit?: number;
}

export interface ArchiveCalls {
  list(): Promise<readonly ArchiveJson[]>;
  files(name: string, page: ArchivePage): Promise<ArchiveFilesJson>;
  verify(
    name: string,
    page: ArchivePage,
    how: { readonly content: boolean; readonly repair: boolean },
  ): Promise<ArchiveReportJson>;
}

export function archiveCalls(transport: ApiTransport): ArchiveCalls {
  const of = (name: string, rest: string): string => `/mooring/v1/archives/${encodeURIComponent(name)}/${rest}`;
  const asked = (query: object): { readonly query: Record<string, string> } => {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    return { query: Object.fromEntries(given.map(([key, value]) => [key, String(value)])) };
  };
  return {
    list: async () => (await exchange(transport, z.array(archiveSchema), 'GET', '/mooring/v1/archives')).data,
    files: async (name, page) =>
      (await exchange(transport, archiveFilesSchema, 'GET', of(name, 'files'), asked(page))).data,
    verify: async (name, page, how) =>
      (await exchange(transport, archiveReportSchema, 'POST', of(name, 'verify'), asked({ ...page, ...how }))).data,
  };
}
