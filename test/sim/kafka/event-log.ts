import type { Log } from '../../../src/base/log.ts';
import type { Broker } from '../../../src/stores/kafka/broker-connection.ts';
import { KafkaCluster } from '../../../src/stores/kafka/cluster.ts';
import { type KafkaEventLog, openKafkaEventLog } from '../../../src/stores/kafka/event-log.ts';
import type { Life } from '../scheduler.ts';
import type { Dice, World } from '../world.ts';
import { BROKERS, type SimulatedBrokers, TOPIC } from './brokers.ts';
import { connectToBroker } from './connection.ts';

export interface SimulatedLogParts {
  readonly world: World;
  readonly life: Life;
  readonly brokers: SimulatedBrokers;
  readonly dice: Dice;
  readonly log: Log;
  /** What the hub speaks to in the place of a broker. */
  seen?(broker: Broker): Broker;
}

/** The hub's own event log on Kafka, whose connections lead to the simulation's brokers. */
export async function openSimulatedKafkaLog(parts: SimulatedLogParts): Promise<KafkaEventLog> {
  const { world, life, log } = parts;
  const { clock } = life;
  const cluster = await KafkaCluster.open({
    brokers: Array.from({ length: BROKERS }, (_, id) => `broker-${id}:9092`),
    access: { clientId: 'mooring', clock },
    open: async (host) => {
      const broker = await connectToBroker(parts, host);
      return parts.seen?.(broker) ?? broker;
    },
    log,
  });
  return openKafkaEventLog({
    ...{ cluster, topic: TOPIC, name: 'mooring', partitionCount: world.plan.partitions, createdTime: 0, clock, log },
    defer: (callback) => void clock.after(0.01, callback),
  });
}
