import { fieldOf } from '../../core/query/fields.ts';
import { recordCodec } from '../../records/record-codec.ts';
import { openKeyCipher } from '../../stores/embedded/tables/key-file.ts';
import { openEmbeddedTables } from '../../stores/embedded/tables/tables.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { openWhole, type Shutdown } from '../lifecycle.ts';
import { eventsCheck, monitoringCheck, tablesCheck } from '../observe/health/checks.ts';
import { wantsSource } from '../observe/monitoring.ts';
import { openEndpointLog, openEventLogs } from './embedded-logs.ts';
import type { EmbeddedParts } from './embedded-parts.ts';
import { createLogMetrics } from './log-metrics.ts';
import type { Storage } from './storage.ts';
import { createTablesMetrics, watchTables } from './tables-look.ts';

/**
 * The logs come first: they are what may make room on a full disk, because retention removes without writing.
 * @throws Error whose message says what to do; nothing is left open then.
 */
export function openEmbedded(parts: EmbeddedParts): Promise<Storage> {
  return openWhole(parts.log, (steps) => open(parts, steps));
}

async function open(parts: EmbeddedParts, steps: Shutdown): Promise<Storage> {
  const { settings, folder, runningTime, clock, random, log } = parts;
  const logMetrics = createLogMetrics();
  const logs = await openEventLogs({ ...parts, steps, committedOf: logMetrics.committedOf });
  const eventLogs = [logs.telemetry, logs.monitoring];
  await runningTime.keep();

  const cipher = openKeyCipher({
    file: folder.file('keys', 'tables.key'),
    given: settings.keyEncryptionKey,
    previous: settings.previousKeyEncryptionKey,
    random,
    log,
  });
  const generation = folder.parts.parts.tables;
  const tables = await openEmbeddedTables({
    ...{ file: folder.file('tables', 'hub.db'), generation, cipher, log, clock },
    keepsLifecycle: wantsSource(settings, 'deviceLifecycleEvents'),
    queryIndexes: settings.queryIndexes
      .map((name) => fieldOf(name.split('.'), 'devices'))
      .filter((path) => path !== undefined),
  });
  steps.add('tables', () => tables.close());
  if (generation === undefined) await folder.parts.keep({ tables: tables.generation });

  const { tablesCheckSeconds } = settings;
  const look =
    tablesCheckSeconds === 'off' ? undefined : watchTables({ tables, everyMs: tablesCheckSeconds * 1000, clock, log });
  steps.add('looks through the tables', () => look?.close());

  return {
    clock,
    stores: tables,
    logs,
    async openEventHub(wish) {
      const eventLog = await openEndpointLog({ ...parts, committedOf: logMetrics.committedOf }, wish);
      eventLogs.push(eventLog);
      return {
        log: eventLog,
        async close() {
          eventLogs.splice(eventLogs.indexOf(eventLog), 1);
          await eventLog.close();
        },
      };
    },
    codec: recordCodec,
    places: createMemoryPlaces(),
    ...(settings.retentionWaitsForArchive && { keepFor: logs.telemetry.keepFor }),
    onDisk: eventLogs,
    checks: [tablesCheck(tables, () => look?.problem()), eventsCheck(logs.telemetry), monitoringCheck(logs.monitoring)],
    metrics: [...logMetrics.of(eventLogs), ...(look === undefined ? [] : createTablesMetrics(tables, look))],
    close: () => steps.run(),
  };
}
