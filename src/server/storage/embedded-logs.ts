/** Opens the event logs of the hub, with their bounds. */
import { statfs } from 'node:fs/promises';
import { limits } from '../../base/limits.ts';
import { type EmbeddedEventLog, openEmbeddedEventLog } from '../../stores/embedded/event-log/event-log.ts';
import { systemFiles } from '../../stores/embedded/event-log/files.ts';
import type { Settings } from '../config/config.ts';
import { monitoringName } from '../endpoints.ts';
import type { Shutdown } from '../lifecycle.ts';
import type { EventHubWish } from '../routes/endpoint-hubs.ts';
import type { EmbeddedParts } from './embedded-parts.ts';
import type { LogMetrics } from './log-metrics.ts';
import { timedFiles } from './timed-files.ts';

type LogParts = EmbeddedParts & Pick<LogMetrics, 'committedOf'>;

interface OpenParts extends LogParts {
  /** What is opened says there how it is closed. */
  readonly steps: Shutdown;
}

const DAY_MS = 86_400_000;

/** @throws Error whose message says what to do */
export async function openEventLogs(
  parts: OpenParts,
): Promise<{ readonly telemetry: EmbeddedEventLog; readonly monitoring: EmbeddedEventLog }> {
  const { settings } = parts;
  const { hubName, partitions } = parts.folder.facts;
  const kept = async (facts: LogFacts): Promise<EmbeddedEventLog> => {
    const eventLog = await openLog(parts, facts);
    parts.steps.add(`event log ${facts.name}`, () => eventLog.close());
    return eventLog;
  };
  const bytesOf = (diskShare: number) => (at: string) => retentionBound(settings.retentionBytes, diskShare, at);
  const telemetry = await kept({
    name: hubName,
    partitions,
    retentionMs: settings.retentionDays * DAY_MS,
    retentionBytes: bytesOf(limits.retentionDiskShare),
    retentionWaits: settings.retentionWaitsForArchive,
  });
  const monitoring = await kept({
    name: monitoringName(hubName),
    partitions: 1,
    retentionMs: settings.monitoringRetentionDays * DAY_MS,
    retentionBytes: bytesOf(limits.monitoringDiskShare),
    retentionWaits: false,
  });
  return { telemetry, monitoring };
}

/** The log of an event hub that routes lead to. @throws Error whose message says what to do */
export function openEndpointLog(parts: LogParts, wish: EventHubWish): Promise<EmbeddedEventLog> {
  // Event hubs are found by their names in any case, and must be in one folder on every file system.
  const place = wish.name.toLowerCase();
  return openLog(parts, { ...wish, place, retentionBytes: () => wish.retentionBytes, retentionWaits: false });
}

type RetentionBound = number | ((heldBytes: number) => Promise<number>);

interface LogFacts {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  /** Of the log in this folder. */
  readonly retentionBytes: (at: string) => RetentionBound;
  /** See `EmbeddedEventLogOptions`. */
  readonly retentionWaits: boolean;
  /** What the folder is called; absent = as the log. */
  readonly place?: string;
}

async function openLog(
  { settings, folder, runningTime, clock, random, log, committedOf }: LogParts,
  { name, partitions, retentionMs, retentionBytes, retentionWaits, place = name }: LogFacts,
): Promise<EmbeddedEventLog> {
  const at = folder.file('events', place);
  const eventLog = await openEmbeddedEventLog({
    folder: at,
    name,
    partitionCount: partitions,
    retentionMs,
    retentionBytes: retentionBytes(at),
    segmentBytes: settings.segmentBytes,
    retentionWaits,
    ledger: folder.parts.ledgerOf(place),
    commitRestMs: limits.commitRestMs,
    clock,
    runningTime: runningTime.of(place),
    random,
    log,
    files: timedFiles(systemFiles, committedOf(name)),
  });
  const { bytes, bytesMax } = eventLog.stats();
  if (Number.isFinite(bytesMax)) log.info({ eventHub: name, bytes, bytesMax }, 'the event log is bounded by size');
  return eventLog;
}

/**
 * What the setting means for a log. `auto` is found once, when the log is opened: looked at again, free room that others take
 * would make the log smaller and smaller. It is never less than the log has, so that no start deletes by it.
 */
function retentionBound(setting: Settings['retentionBytes'], diskShare: number, folder: string): RetentionBound {
  if (setting === 'off') return Number.POSITIVE_INFINITY;
  if (setting !== 'auto') return setting;
  return async (heldBytes) => {
    try {
      const { bavail, bsize } = await statfs(folder);
      const share = Math.floor(diskShare * (heldBytes + bavail * bsize));
      return Math.max(limits.retentionBytesMin, heldBytes, share);
    } catch {
      // A system that does not tell: then age alone bounds the log.
      return Number.POSITIVE_INFINITY;
    }
  };
}
