/** Import and export of the registry. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { DAY_MS, HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

export const registryJobsLimits = {
  /** Bytes of one line of a file that is imported: a twin with full sections and the metadata that its hub has written. */
  registryJobLineBytesMax: 1 * MiB,
  /** How deep and of how many values such a line may be. */
  registryJobLineDepthMax: 20,
  registryJobLineValuesMax: 192 * KiB,
  /** Bytes of a file that is imported: a million devices of 16 KiB each. */
  registryJobFileBytesMax: 16 * 1024 * MiB,
  /** Lines that a job may refuse; one more ends it. */
  registryJobErrorsMax: 1_000_000,
  /** Lines of one page of an import, and their bytes: what is done at a time, and done again after a crash. */
  registryJobPageLines: 100,
  registryJobPageBytes: 1 * MiB,
  /** Identities that an export reads at a time. */
  registryJobPageRows: 100,
  /** Twins that an import changes at a time. */
  registryJobTwinsAtOnce: 100,
  /** Bytes from which on an export writes a block. */
  registryJobBlockBytes: 4 * MiB,
  /** Lines of a file of configurations: twice as many as a hub has at most. */
  registryJobConfigurationsMax: 200,
  registryJobConfigurationsBytesMax: 64 * MiB,
  /** Edge devices below others in one file: their order is kept in memory. */
  registryJobEdgesMax: 100_000,
  /** Characters of a container's address. */
  registryJobUriCharsMax: 4 * KiB,
  /** How long a node has a job without saying that it goes on. */
  registryJobLeaseMs: 30 * SECOND_MS,
  /** How often it is looked for a job that nobody works on. */
  registryJobLookMs: 5 * SECOND_MS,
  /** How often old jobs, and the errors of jobs that ended, are removed. */
  registryJobsSweptMs: HOUR_MS,
  /** How long a container of the hub is good, unless its maker says; and at most. */
  registryJobAreaMs: HOUR_MS,
  registryJobAreaMsMax: DAY_MS,
  /** Containers that one look removes, and jobs in the list, and how long jobs are remembered (service: 30 days). */
  registryJobsListedMax: 100,
  registryJobsKeptMs: 30 * DAY_MS,
} as const;
