/** Whether Kafka and PostgreSQL keep what the hub is given, and what to do where they do not. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import type { PostgresTables } from '../../stores/cluster/postgres.ts';
import type { KafkaCluster } from '../../stores/kafka/cluster.ts';
import type { KafkaEventLog } from '../../stores/kafka/event-log.ts';
import { type CheckResult, fine, type HealthCheck } from '../observe/health/health.ts';

export interface KafkaCheckParts {
  readonly cluster: KafkaCluster;
  readonly log: Pick<KafkaEventLog, 'health' | 'topic'>;
  readonly inSyncMin: number;
}

/** @param status of what cannot be written: events `fail`, monitoring `warn` */
export function kafkaCheck(
  name: string,
  { cluster, log, inSyncMin }: KafkaCheckParts,
  status: 'warn' | 'fail',
): HealthCheck {
  return {
    name,
    keptMs: limits.healthProbeKeptMs,
    async look(): Promise<CheckResult> {
      const { topic } = log;
      const health = log.health();
      if (!health.ok) return { status, reason: health.reason, remedy: brokersRemedy };
      try {
        await cluster.refresh();
      } catch (error) {
        return { status, reason: (error as Error).message, remedy: brokersRemedy };
      }
      const places = cluster.replicasOf(topic);
      const leaderless = places.filter(({ leader }) => leader < 0);
      const unsafe = places.filter(({ inSync }) => inSync.length < inSyncMin);
      const behind = places.filter(({ inSync, replicas }) => inSync.length < replicas.length);
      const named = (some: typeof places): string => some.map(({ partition }) => partition).join(', ');
      if (leaderless.length > 0) {
        return { status, reason: `no broker leads partition ${named(leaderless)} of ${topic}`, remedy: brokersRemedy };
      }
      if (unsafe.length > 0) {
        const reason = `fewer than ${inSyncMin} brokers hold what is written to partition ${named(unsafe)} of ${topic}`;
        return { status, reason, remedy: brokersRemedy };
      }
      if (behind.length === 0) return fine;
      return {
        status: 'warn',
        reason: `not all replicas of partition ${named(behind)} of ${topic} are in sync`,
        remedy: 'Nothing is lost. A broker is away or too slow: start it again, or see what its disk and network do.',
      };
    },
  };
}

const brokersRemedy =
  'See that the brokers run and can be reached (kafkaBrokers), and that enough of them are in sync; the hub then goes on by itself. ' +
  'Devices that it cannot answer meanwhile send again.';

/** Tried with a write. */
export function databaseCheck(tables: Pick<PostgresTables, 'probe'>): HealthCheck {
  return {
    name: 'tables',
    keptMs: limits.healthProbeKeptMs,
    silent: (seconds) => ({
      status: 'fail',
      reason: `PostgreSQL has not answered for ${seconds} s`,
      remedy: databaseRemedy,
    }),
    async look() {
      try {
        await tables.probe();
        return fine;
      } catch (error) {
        const reason = error instanceof HubError ? (error.reason ?? error.message) : String(error);
        return { status: 'fail', reason: `PostgreSQL cannot be written: ${reason}`, remedy: databaseRemedy };
      }
    },
  };
}

const databaseRemedy =
  'See that PostgreSQL runs, can be reached (postgresUrl), and has room on its disk; the hub then goes on by itself.';
