/** Jobs over many devices. Read as part of `limits` (`../limits.ts`), which says what stands here. */
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts';

const DAY_MS = 24 * HOUR_MS;

export const jobsLimits = {
  /** Service: characters of a job's id. */
  jobIdCharsMax: 64,
  /** Characters of a condition: a query of which it is a part has a little more. */
  jobConditionCharsMax: 8 * KiB - 64,
  /** Characters, as JSON, of what a job does: a full section of tags and one of desired properties, with room for escapes; a method's payload. */
  jobWorkCharsMax: 256 * KiB,
  /** Service: jobs that run at a time (its largest tier); others wait until one has ended. */
  jobsRunningMax: 10,
  /** Jobs that have not ended: those that run, wait, or begin later. */
  jobsOpenMax: 1000,
  /** How far ahead a job may begin, and how long it may take, in all and unless told (service SDKs send an hour). */
  jobStartAheadMsMax: 30 * DAY_MS,
  jobExecutionMsMax: 7 * DAY_MS,
  jobExecutionMsDefault: HOUR_MS,
  /** Identities that are selected in one step: a page of a query. */
  jobSelectRows: 1000,
  /** Twins that are updated in one transaction, and the time after which it takes no other one: everybody else waits meanwhile. */
  jobBatchTwins: 128,
  jobBatchMs: 8,
  /** Twins that all jobs together update in a second: telemetry and other calls have the rest of the machine. */
  jobTwinsPerSecond: 10_000,
  /** Methods that all jobs together begin in a second, and that are under way at a time: below those of one back end. */
  jobMethodsPerSecond: 500,
  jobMethodsAtOnceMax: 64,
  /** Devices that wait for their method of which one step asks whether they are connected. */
  jobLookRows: 512,
  /** For so long a device that was connected and did not take its method is left alone; and how many are remembered as such. */
  jobRestMs: 5 * SECOND_MS,
  jobRestsMax: 10_000,
  /** How long a job belongs to the node that runs it: a node that says nothing for so long has lost it. */
  jobLeaseMs: 15 * SECOND_MS,
  /** How often a node looks for jobs, and says that it still runs those that it has. */
  jobClaimMs: 1 * SECOND_MS,
  /** How long methods of jobs that are under way may take to end when the hub stops; what became of the others is not known. */
  jobStopMs: 2 * SECOND_MS,
  /** Service: how long a job and its device records are kept after it has ended. */
  jobsKeptMs: 30 * DAY_MS,
  /** Jobs and records that are kept: beyond that those that ended longest ago go before their time. A record has some 200 bytes. */
  jobsKeptMax: 10_000,
  jobRecordsKeptMax: 10_000_000,
  /** Records that one sweep removes, and how often it comes when there is nothing to remove. */
  jobSweepRows: 1000,
  jobSweepMs: 60 * SECOND_MS,
  /** Jobs in one page of a list, at most and unless told. */
  jobPageMax: 1000,
  jobPageDefault: 100,
  /** Characters of the jobs of a page; one that is reached ends it. */
  jobPageCharsMax: 2 * MiB,
  /** Characters of what a device or a refusal said that a record keeps; a method's payload counts by its own limit. */
  jobReasonCharsMax: 1 * KiB,
} as const;
