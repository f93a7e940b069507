/**
 * Opens the event logs of the hub, with their bounds. This is the first thing of a start that may make room on a full disk,
 * and so it comes before all that needs some: retention removes without writing.
 */
import { statfs } from 'node:fs/promises';
import { limits } from '../base/limits.ts';
import { type EmbeddedEventLog, openEmbeddedEventLog } from '../stores/embedded/event-log/event-log.ts';
import { systemFiles } from '../stores/embedded/event-log/files.ts';
import type { Surroundings } from './compose.ts';
import type { Settings } from './config/config.ts';
import type { DataFolder } from './data/data-folder.ts';
import type { KeptRunningTime } from './data/running-time.ts';
import { timedFiles } from './data/timed-files.ts';
import { monitoringName } from './endpoints.ts';
import type { Metrics } from './observe/metrics.ts';
import { EventLogHost } from './threads/event-log-host.ts';

export interface EventLogs {
  readonly telemetry: EmbeddedEventLog;
  readonly monitoring: EmbeddedEventLog;
  /** As listener threads see them; none where the journal is written from the listeners' own loop. */
  readonly shared: readonly EventLogHost[];
}

interface OpenParts {
  readonly settings: Settings;
  readonly folder: DataFolder;
  readonly runningTime: KeptRunningTime;
  readonly metrics: Metrics;
  readonly threadCount: number;
}

const DAY_MS = 86_400_000;

/** @throws Error whose message says what to do */
export async function openEventLogs(parts: OpenParts, surroundings: Surroundings): Promise<EventLogs> {
  const { settings, folder, threadCount } = parts;
  const { clock, shutdown } = surroundings;
  const shared: EventLogHost[] = [];
  const open = async (log: LogFacts): Promise<EmbeddedEventLog> => {
    let host: EventLogHost | undefined;
    const eventLog = await openLog(log, () => host?.changed(), parts, surroundings);
    if (threadCount > 1) {
      host = new EventLogHost(eventLog, clock);
      shutdown.add(`threads of ${log.name}`, () => host?.close());
      shared.push(host);
    }
    return eventLog;
  };
  const { hubName, partitions } = folder.facts;
  const telemetry = await open({
    name: hubName,
    partitions,
    retentionDays: settings.retentionDays,
    diskShare: limits.retentionDiskShare,
  });
  const monitoring = await open({
    name: monitoringName(hubName),
    partitions: 1,
    retentionDays: settings.monitoringRetentionDays,
    diskShare: limits.monitoringDiskShare,
  });
  return { telemetry, monitoring, shared };
}

interface LogFacts {
  readonly name: string;
  readonly partitions: number;
  readonly retentionDays: number;
  /** Where `retentionBytes` is `auto`: see `retentionBound`. */
  readonly diskShare: number;
}

async function openLog(
  { name, partitions, retentionDays, diskShare }: LogFacts,
  changed: () => void,
  { settings, folder, runningTime, metrics }: OpenParts,
  { clock, random, log, shutdown }: Surroundings,
): Promise<EmbeddedEventLog> {
  const at = folder.file('events', name);
  const eventLog = await openEmbeddedEventLog({
    folder: at,
    name,
    partitionCount: partitions,
    changed,
    retentionMs: retentionDays * DAY_MS,
    retentionBytes: retentionBound(settings.retentionBytes, diskShare, at),
    segmentBytes: settings.segmentBytes,
    ledger: folder.parts.ledgerOf(name),
    commitRestMs: limits.commitRestMs,
    clock,
    runningTime: runningTime.of(name),
    random,
    log,
    files: timedFiles(systemFiles, (bytes, seconds) => metrics.batchDurable(name, bytes, seconds)),
  });
  shutdown.add(`event log ${name}`, () => eventLog.close());
  metrics.watchEventLog(eventLog);
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
