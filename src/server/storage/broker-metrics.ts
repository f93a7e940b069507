/** What the brokers of Kafka say of the partitions of an event hub, in Prometheus' form. */
import { Gauge, type Metric } from 'prom-client';
import type { PartitionPlace } from '../../wire/kafka/cluster-requests.ts';

interface Replicated {
  readonly name: string;
  /** As the brokers have said it last. */
  partitions(): readonly PartitionPlace[];
  /** Bytes at each broker that holds replicas, and tells. */
  disks(): readonly { readonly broker: number; readonly bytes: number }[];
}

/** A partition counts once, as the worst that it is. */
const states = ['ok', 'behind', 'unsafe', 'leaderless'] as const;
type State = (typeof states)[number];

/** `behind`: not all replicas are in sync; `unsafe`: fewer than must be, so that nothing is acknowledged; `leaderless`: nobody takes events. */
export function stateOf({ leader, inSync, replicas }: PartitionPlace, inSyncMin: number): State {
  if (leader < 0) return 'leaderless';
  if (inSync.length < inSyncMin) return 'unsafe';
  return inSync.length < replicas.length ? 'behind' : 'ok';
}

/** @param refresh has the brokers asked; what they say is there for the next page */
export function brokerMetrics(logs: readonly Replicated[], inSyncMin: number, refresh: () => void): readonly Metric[] {
  return [
    new Gauge({
      name: 'mooring_event_partitions',
      help: 'Partitions by what their replicas at the brokers are: ok, behind, unsafe (nothing is acknowledged), leaderless',
      labelNames: ['event_hub', 'state'] as const,
      registers: [],
      collect() {
        for (const { name, partitions } of logs) {
          const found = partitions().map((place) => stateOf(place, inSyncMin));
          for (const state of states) {
            this.set({ event_hub: name, state }, found.filter((each) => each === state).length);
          }
        }
        refresh();
      },
    }),
    new Gauge({
      name: 'mooring_event_topic_bytes',
      help: "Bytes on a broker's disk of all replicas that it holds; of brokers that tell (their user may describe the cluster)",
      labelNames: ['event_hub', 'broker'] as const,
      registers: [],
      collect() {
        // A broker that is away, or has given its replicas to another, is not among them any more.
        this.reset();
        for (const { name, disks } of logs) {
          for (const { broker, bytes } of disks()) this.set({ event_hub: name, broker: String(broker) }, bytes);
        }
      },
    }),
  ];
}
