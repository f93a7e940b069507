/** What takes the events of an endpoint, by its kind. Archives run by themselves (`server/archive`). */

import type { EndpointSink } from '../../core/routes/ports.ts';
import type { Endpoint, EndpointKindName } from '../../core/routes/types.ts';
import { type SinkParts, tableSink, webhookSink } from '../../endpoints/sinks.ts';

export type DeliveredKind = Exclude<EndpointKindName, 'archive'>;

type SinkTable = {
  readonly [Kind in DeliveredKind]: (
    endpoint: Extract<Endpoint, { readonly kind: Kind }>,
    parts: SinkParts,
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
  kafka: unreachable,
  eventHub: unreachable,
};

export function sinkOf(endpoint: Exclude<Endpoint, { readonly kind: 'archive' }>, parts: SinkParts): EndpointSink {
  return (sinks[endpoint.kind] as (endpoint: Endpoint, parts: SinkParts) => EndpointSink)(endpoint, parts);
}
