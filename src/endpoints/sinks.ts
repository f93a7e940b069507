/** Endpoints outside the hub as what delivery hands events to. */
import { limits } from '../base/limits.ts';
import type { PostgresEndpoint } from '../core/routes/endpoints/postgres.ts';
import type { WebhookEndpoint } from '../core/routes/endpoints/webhook.ts';
import type { DeliveryBatch, EndpointSink } from '../core/routes/ports.ts';
import { type EventView, eventView } from './event-view.ts';
import { deliverRows } from './table/deliverer.ts';
import { EventTable } from './table/rows.ts';
import { WebhookDeliverer } from './webhook/deliverer.ts';
import { signingKey } from './webhook/signature.ts';

export interface SinkParts {
  /** The hub's id. */
  readonly hub: string;
  /** The hub's host, by which webhooks are asked for consent. */
  readonly origin: string;
  /** The operator allows addresses that are not public. */
  readonly mayBePrivate: boolean;
  /** UTC milliseconds. */
  now(): number;
  /** Told of a connection to an endpoint that breaks while it is not used. */
  lost(endpoint: string, error: Error): void;
}

export function webhookSink(endpoint: WebhookEndpoint, { hub, origin, mayBePrivate, now }: SinkParts): EndpointSink {
  const { bearer, certificateAuthority: ca, signingKey: secret } = endpoint;
  const key = secret === undefined ? undefined : signingKey(secret);
  const webhook = new WebhookDeliverer({
    ...{ url: new URL(endpoint.url), form: endpoint.format, hub, origin, mayBePrivate, now },
    eventsMax: endpoint.eventsPerRequest,
    ...(ca !== undefined && { ca }),
    ...(bearer !== undefined && { bearer }),
    ...(key !== undefined && { signingKey: key }),
  });
  return {
    inFlightMax: endpoint.inFlight,
    deliver: (batch, signal) => webhook.deliver(views(batch), signal),
    close: async () => webhook.close(),
  };
}

export function tableSink(endpoint: PostgresEndpoint, { hub, lost }: SinkParts): EndpointSink {
  const { url, table: name } = endpoint;
  const table = new EventTable({ url, table: name, hub, lost: (error) => lost(endpoint.name, error) });
  return {
    inFlightMax: limits.tableConnectionsMax,
    deliver: (batch) => deliverRows(table, views(batch)),
    close: () => table.close(),
  };
}

function views({ partition, events }: DeliveryBatch): readonly EventView[] {
  return events.map(({ bytes, start, end, sequence, time, enrichments }) =>
    eventView(bytes.subarray(start, end), { partition, sequence, enqueuedTime: time }, enrichments),
  );
}
