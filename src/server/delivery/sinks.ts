/** What takes the events of an endpoint, by its kind. Archives run by themselves (`server/archive`). */

import type { KafkaEndpoint } from '../../core/routes/endpoints/kafka.ts';
import type { EndpointSink } from '../../core/routes/ports.ts';
import type { Endpoint, EndpointKindName } from '../../core/routes/types.ts';
import { type SinkParts, tableSink, webhookSink } from '../../endpoints/sinks.ts';

export type DeliveredKind = Exclude<EndpointKindName, 'archive'>;

/** What is opened by who knows how things are kept. */
export interface StoredSinks {
  readonly kafkaSink: (endpoint: KafkaEndpoint) => EndpointSink;
}

type SinkTable = {
  readonly [Kind in DeliveredKind]: (
    endpoint: Extract<Endpoint, { readonly kind: Kind }>,
    parts: SinkParts & StoredSinks,
  ) => EndpointSink;
};

/** The events of an endpoint that this hub cannot reach stay in the log, and its state says so. */
const unreachable = (endpoint: Endpoint): EndpointSink => ({
  inFlightMax: 1,
  deliver: async () => ({ kind: 'retry', reason: `endpoints of the kind ${endpoint.kind} are not offered yet` }),
  close: async () => {},
});

const sinks: SinkTable = {
  webhook: webhookSink,
  postgres: tableSink,
  kafka: (endpoint, { kafkaSink }) => kafkaSink(endpoint),
  eventHub: unreachable,
};

export function sinkOf(
  endpoint: Exclude<Endpoint, { readonly kind: 'archive' }>,
  parts: SinkParts & StoredSinks,
): EndpointSink {
  return (sinks[endpoint.kind] as (endpoint: Endpoint, parts: SinkParts & StoredSinks) => EndpointSink)(
    endpoint,
    parts,
  );
}
