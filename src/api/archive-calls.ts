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
  const of = (name: string, rest: string, query: object): string => {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const text = new URLSearchParams(given.map(([key, value]): [string, string] => [key, String(value)]));
    return `/mooring/v1/archives/${encodeURIComponent(name)}/${rest}?${text}`;
  };
  return {
    list: async () => (await exchange(transport, z.array(archiveSchema), 'GET', '/mooring/v1/archives')).data,
    files: async (name, page) => (await exchange(transport, archiveFilesSchema, 'GET', of(name, 'files', page))).data,
    verify: async (name, page, how) =>
      (await exchange(transport, archiveReportSchema, 'POST', of(name, 'verify', { ...page, ...how }))).data,
  };
}
