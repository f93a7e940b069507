/** Looks through the tables now and then while the hub runs, and tells: by health, by metrics, and in the log. */
import { Gauge, type Metric } from 'prom-client';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { EmbeddedTables } from '../../stores/embedded/tables/tables.ts';

export interface TablesLook {
  /** Why the tables could not be looked through the last time; undefined = they could. */
  problem(): string | undefined;
  /** When the last look through all tables ended that found nothing wrong, in UTC milliseconds; 0 = none since the start. */
  endedTime(): number;
  /** Milliseconds that the last look has read. */
  spentMs(): number;
  close(): void;
}

interface Parts {
  readonly tables: Pick<EmbeddedTables, 'lookThrough'>;
  /** From the end of one look to the next. */
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export function watchTables({ tables, everyMs, clock, log }: Parts): TablesLook {
  let failure: string | undefined;
  let endedTime = 0;
  let spentMs = 0;
  let ended = false;
  let cancel = (): void => {};
  const run = async (): Promise<void> => {
    const report = await tables.lookThrough();
    if (ended) return;
    plan(everyMs);
    spentMs = report.spentMs;
    if (report.failure !== undefined && report.failure !== failure) {
      log.warn({ reason: report.failure }, 'the tables could not be looked through; it is tried again');
    }
    failure = report.failure;
    if (failure !== undefined) return;
    const { damage, endedAt } = report;
    if (damage !== undefined) {
      log.error({ damage }, 'the tables are damaged; stop the hub and run mooring data check');
      return;
    }
    log.debug({ tables: report.tables.length, endedAt, spentMs }, 'the tables were looked through');
    if (endedAt === undefined) endedTime = clock.now();
  };
  const plan = (delayMs: number): void => {
    cancel = clock.after(delayMs, () => void run());
  };
  plan(Math.min(everyMs, limits.tablesFirstLookMs));

  return {
    problem: () => failure,
    endedTime: () => endedTime,
    spentMs: () => spentMs,
    close() {
      ended = true;
      cancel();
    },
  };
}

export function createTablesMetrics(
  tables: Pick<EmbeddedTables, 'health'>,
  look: Pick<TablesLook, 'endedTime' | 'spentMs'>,
): readonly Metric[] {
  const registers: [] = [];
  return [
    new Gauge({
      name: 'mooring_tables_looked_through_seconds',
      help: 'When the last look through all tables ended that found nothing wrong, in seconds since 1970; 0 = none since the start',
      registers,
      collect() {
        this.set(look.endedTime() / 1000);
      },
    }),
    new Gauge({
      name: 'mooring_tables_look_spent_seconds',
      help: 'Seconds that the last look through the tables has read',
      registers,
      collect() {
        this.set(look.spentMs() / 1000);
      },
    }),
    new Gauge({
      name: 'mooring_tables_damaged',
      help: '1 when the tables are damaged, or their thread has ended, else 0',
      registers,
      collect() {
        this.set(tables.health().ok ? 0 : 1);
      },
    }),
  ];
}
