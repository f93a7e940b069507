/** Opens the event logs of the hub, with their bounds. */
import { statfs } from 'node:fs/promises';
import { limits } from '../../base/limits.ts';
import { type EmbeddedEventLog, openEmbeddedEventLog } from '../../stores/embedded/event-log/event-log.ts';
import { systemFiles } from '../../stores/embedded/event-log/files.ts';
import type { Settings } from '../config/config.ts';
import { monitoringName } from '../endpoints.ts';
import type { Shutdown } from '../lifecycle.ts';
import type { EmbeddedParts } from './embedded-parts.ts';
import type { LogMetrics } from './log-metrics.ts';
import { timedFiles } from './timed-files.ts';

interface OpenParts extends EmbeddedParts, Pick<LogMetrics, 'committedOf'> {
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
  const telemetry = await openLog(parts, {
    name: hubName,
    partitions,
    retentionDays: settings.retentionDays,
    diskShare: limits.retentionDiskShare,
    retentionWaits: settings.retentionWaitsForArchive,
  });
  const monitoring = await openLog(parts, {
    name: monitoringName(hubName),
    partitions: 1,
    retentionDays: settings.monitoringRetentionDays,
    diskShare: limits.monitoringDiskShare,
    retentionWaits: false,
  });
  return { telemetry, monitoring };
}

interface LogFacts {
  readonly name: string;
  readonly partitions: number;
  readonly retentionDays: number;
  /** Where `retentionBytes` is `auto`: see `retentionBound`. */
  readonly diskShare: number;
  /** See `EmbeddedEventLogOptions`. */
  readonly retentionWaits: boolean;
}

async function openLog(
  { settings, folder, runningTime, clock, random, log, steps, committedOf }: OpenParts,
  { name, partitions, retentionDays, diskShare, retentionWaits }: LogFacts,
): Promise<EmbeddedEventLog> {
  const at = folder.file('events', name);
  const eventLog = await openEmbeddedEventLog({
    folder: at,
    name,
    partitionCount: partitions,
    retentionMs: retentionDays * DAY_MS,
    retentionBytes: retentionBound(settings.retentionBytes, diskShare, at),
    segmentBytes: settings.segmentBytes,
    retentionWaits,
    ledger: folder.parts.ledgerOf(name),
    commitRestMs: limits.commitRestMs,
    clock,
    runningTime: runningTime.of(name),
    random,
    log,
    files: timedFiles(systemFiles, committedOf(name)),
  });
  steps.add(`event log ${name}`, () => eventLog.close());
  const { bytes, bytesMax } = eventLog.stats();
  if (Number.isFinite(bytesMax)) log.info({ eventHub: name, bytes, bytesMax }, 'the event log is bounded by size');
  return eventLog;
}

/**
 * What the setting means for a log. `auto` is found once, when the log is opened: looked at again, free room that others take
 * would make the log smaller and smaller. It is never less than the log has, so that no start deletes by it.
 */
function retentionBound(
  setting: Settings['retentionBytes'],
  diskShare: number,
  folder: string,
): number | ((heldBytes: number) => Promise<number>) {
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
