/** Archives of events in the JSON of the REST API: this hub's own. */
import { z } from 'zod';
import { limits } from '../base/limits.ts';

export const archiveSchema = z.object({
  name: z.string(),
  format: z.enum(['parquet', 'avro', 'avrodeflate', 'json']),
  naming: z.enum(['hive', 'service']),
  prefix: z.string(),
  store: z.enum(['folder', 'azure', 's3']),
  fileBytes: z.number().int(),
  fileSeconds: z.number().int(),
  /** How it goes at the node that was asked; absent = it could not be opened there. */
  status: z
    .object({
      state: z.enum(['unknown', 'healthy', 'degraded']),
      reason: z.string().optional(),
      sinceTimeUtc: z.string(),
      /** That this node archives. */
      partitions: z.number().int(),
      lagEvents: z.number().int(),
      lagSeconds: z.number(),
      /** Since the start of the node. */
      files: z.number().int(),
      events: z.number().int(),
      bytes: z.number().int(),
      failures: z.number().int(),
      missed: z.number().int(),
    })
    .optional(),
});
export type ArchiveJson = z.output<typeof archiveSchema>;

export const archiveFileSchema = z.object({
  path: z.string(),
  partition: z.number().int(),
  firstSequenceNumber: z.number().int(),
  lastSequenceNumber: z.number().int(),
  firstEnqueuedTimeUtc: z.string(),
  lastEnqueuedTimeUtc: z.string(),
  events: z.number().int(),
  /** Absent = it is on its way to the store. */
  bytes: z.number().int().optional(),
  /** Events that retention had removed before they were archived. */
  missed: z.number().int(),
});
export type ArchiveFileJson = z.output<typeof archiveFileSchema>;

const pageQuery = {
  partition: z.coerce.number().int().min(0).max(limits.partitionsMax),
  /** Only files that begin behind this sequence number. */
  after: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(limits.archiveFilesPage).default(limits.archiveFilesPage),
};
export const archiveFilesQuery = z.object(pageQuery);

export const archiveFilesSchema = z.object({
  files: z.array(archiveFileSchema),
  /** For `after` of the next page. */
  next: z.number().int().optional(),
  partitionCount: z.number().int(),
});
export type ArchiveFilesJson = z.output<typeof archiveFilesSchema>;

const flag = z
  .enum(['true', 'false'])
  .default('false')
  .transform((word) => word === 'true');
/** `content` reads what is in files of Parquet; `repair` has files written again that are not as they must be. */
export const archiveVerifyQuery = z.object({ ...pageQuery, content: flag, repair: flag });

export const archiveReportSchema = z.object({
  files: z.number().int(),
  events: z.number().int(),
  bytes: z.number().int(),
  problems: z.array(
    z.object({
      partition: z.number().int(),
      path: z.string(),
      problem: z.enum(['missing', 'size', 'content', 'overlap', 'missed']),
      detail: z.string(),
    }),
  ),
  moreProblems: z.number().int(),
  next: z.number().int().optional(),
});
export type ArchiveReportJson = z.output<typeof archiveReportSchema>;
