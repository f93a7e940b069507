/** Archives of events: this hub's own addresses. */
import { z } from 'zod';
import {
  type ArchiveFileJson,
  type ArchiveJson,
  archiveFilesQuery,
  archiveFilesSchema,
  archiveReportSchema,
  archiveSchema,
  archiveVerifyQuery,
} from '../../api/archives.ts';
import type { ArchiveFacts, Archives } from '../../core/archive/room.ts';
import type { ListedFile } from '../../core/archive/types.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import { type ApiRoute, route } from './route.ts';

const tag = 'archives';

export function archiveRoutes(archives: Guarded<Archives>): readonly ApiRoute[] {
  return [
    route({
      method: 'GET',
      url: '/mooring/v1/archives',
      summary: 'The archives of the hub, and how they go at this node',
      tag,
      answers: { 200: z.array(archiveSchema) },
      handle: async ({ principal }) => ({ status: 200, body: (await archives.list(principal)).map(archiveJson) }),
    }),
    route({
      method: 'GET',
      url: '/mooring/v1/archives/:archiveName/files',
      summary: 'The files of one partition of an archive, in order of their events',
      tag,
      query: archiveFilesQuery,
      answers: { 200: archiveFilesSchema },
      async handle({ principal, params, query }) {
        const { files, next, partitionCount } = await archives.files(principal, params.archiveName ?? '', query);
        return {
          status: 200,
          body: { files: files.map(fileJson), partitionCount, ...(next !== undefined && { next }) },
        };
      },
    }),
    route({
      method: 'POST',
      url: '/mooring/v1/archives/:archiveName/verify',
      summary: 'Looks whether files of an archive are in its store, and as they must be',
      tag,
      waits: true,
      query: archiveVerifyQuery,
      answers: { 200: archiveReportSchema },
      async handle({ principal, params, query }) {
        const { content, repair, ...page } = query;
        const name = params.archiveName ?? '';
        const { endpoint: _, next, ...report } = await archives.verify(principal, name, page, { content, repair });
        return { status: 200, body: { ...report, ...(next !== undefined && { next }) } };
      },
    }),
  ];
}

function archiveJson({ endpoint, status }: ArchiveFacts): ArchiveJson {
  if (status === undefined) return endpoint;
  const { state, reason, since, partitions, lagEvents, lagSeconds, totals } = status;
  return {
    ...endpoint,
    status: {
      ...{ state, sinceTimeUtc: new Date(since).toISOString(), partitions, lagEvents, lagSeconds, ...totals },
      ...(reason !== undefined && { reason }),
    },
  };
}

function fileJson(file: ListedFile): ArchiveFileJson {
  const { path, partition, events, bytes, missed } = file;
  return {
    ...{ path, partition, events, missed },
    firstSequenceNumber: file.first,
    lastSequenceNumber: file.last,
    firstEnqueuedTimeUtc: new Date(file.firstTime).toISOString(),
    lastEnqueuedTimeUtc: new Date(file.lastTime).toISOString(),
    ...(bytes !== undefined && { bytes }),
  };
}
