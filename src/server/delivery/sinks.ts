/** What takes the events of an endpoint, by its kind. Archives run by themselves (`server/archive`). */

import type { EventHubEndpoint } from '../../core/routes/endpoints/event-hub.ts';
import type { KafkaEndpoint } from '../../core/routes/endpoints/kafka.ts';
import type { EndpointSink } from '../../core/routes/ports.ts';
import type { Endpoint, EndpointKindName } from '../../core/routes/types.ts';
import { type SinkParts, tableSink, webhookSink } from '../../endpoints/sinks.ts';

export type DeliveredKind = Exclude<EndpointKindName, 'archive'>;

/** What is opened by who knows how things are kept. */
export interface StoredSinks {
  readonly eventHubSink: (endpoint: EventHubEndpoint) => EndpointSink;
  readonly kafkaSink: (endpoint: KafkaEndpoint) => EndpointSink;
}

type SinkTable = {
  readonly [Kind in DeliveredKind]: (
    endpoint: Extract<Endpoint, { readonly kind: Kind }>,
    parts: SinkParts & StoredSinks,
  ) => EndpointSink;
};

const sinks: SinkTable = {
  webhook: webhookSink,
  postgres: tableSink,
  eventHub: (endpoint, { eventHubSink }) => eventHubSink(endpoint),
  kafka: (endpoint, { kafkaSink }) => kafkaSink(endpoint),
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
