/** A number under which batches are written, by which brokers leave out what is sent twice. */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { apis } from '../../wire/kafka/apis.ts';
import { initProducerIdRequest, readProducerId } from '../../wire/kafka/cluster-requests.ts';
import { kafkaErrorName } from '../../wire/kafka/errors.ts';
import { EventLogUnavailable } from '../event-log/errors.ts';
import type { KafkaCluster } from './cluster.ts';

/** Of the broker, while it starts: it gives no producer ids yet. */
const NOT_YET = new Set([14, 15, 16]);

/** @throws Error no broker gives one in time */
export async function newProducerId(parts: { readonly cluster: KafkaCluster; readonly clock: Clock }): Promise<bigint> {
  const { cluster, clock } = parts;
  const until = clock.monotonic() + limits.kafkaConnectMs;
  for (;;) {
    const connection = await cluster.anyConnection();
    const { error, id } = readProducerId(await connection.request(apis.initProducerId, [initProducerIdRequest()]));
    if (error === 0) return id;
    if (!NOT_YET.has(error) || clock.monotonic() > until) {
      throw new EventLogUnavailable(`Kafka gives the hub no producer id: ${kafkaErrorName(error)}`);
    }
    await new Promise<void>((resolve) => void clock.after(100, resolve));
  }
}
