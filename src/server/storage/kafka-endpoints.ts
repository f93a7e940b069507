/** Endpoints of the kind `kafka`. A hub that has none, and keeps its own events elsewhere, does not load what speaks to Kafka. */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { KafkaEndpoint } from '../../core/routes/endpoints/kafka.ts';
import type { EndpointSink } from '../../core/routes/ports.ts';

export function kafkaEndpointSink(
  endpoint: KafkaEndpoint,
  parts: { readonly clock: Clock; readonly log: Log },
): EndpointSink {
  let loading: Promise<EndpointSink> | undefined;
  const loaded = (): Promise<EndpointSink> => {
    loading ??= import('../../stores/kafka/endpoint-sink.ts').then(({ kafkaSink }) => kafkaSink(endpoint, parts));
    return loading;
  };
  return {
    // As the sink itself has it.
    inFlightMax: 1,
    deliver: async (batch, signal) => (await loaded()).deliver(batch, signal),
    close: async () => (await loading)?.close(),
  };
}
