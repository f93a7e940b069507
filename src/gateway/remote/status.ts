/** What a gateway tells of itself: lines of progress, health, metrics. */
import http from 'node:http';
import type { RemoteHost } from './remote-host.ts';

export interface GatewayStatus {
  readonly adapter: string;
  /** What keeps the adapter from running; undefined = it runs. */
  readonly adapterFailure: string | undefined;
  readonly hubReachable: boolean;
  readonly hubFailure: string | undefined;
  readonly sessions: number;
  /** Messages on the disk, and their bytes. */
  readonly queued: number;
  readonly queuedBytes: number;
  /** Messages that the hub has taken since the start. */
  readonly forwarded: number;
  readonly batches: number;
  readonly dropped: number;
  readonly refused: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** As measured lately; undefined = not known. */
  readonly linkBytesPerSecond: number | undefined;
  readonly connects: number;
}

export function statusOf(adapter: string, remote: RemoteHost, adapterFailure: string | undefined): GatewayStatus {
  const { queue, forwarder, link, counts } = remote;
  const { sent, received } = link.bytes;
  const word = remote.parts.told();
  return {
    adapter,
    adapterFailure: adapterFailure ?? (word.status === 'fail' ? word.text : undefined),
    hubReachable: link.connection !== undefined,
    hubFailure: link.failure?.message,
    sessions: remote.sessions,
    queued: queue.messages,
    queuedBytes: queue.bytes,
    forwarded: forwarder.totals.messages,
    batches: forwarder.totals.batches,
    dropped: counts.dropped,
    refused: counts.messagesRefused,
    sentBytes: sent,
    receivedBytes: received,
    linkBytesPerSecond: forwarder.bytesPerSecond,
    connects: link.connects,
  };
}

/** How far a backlog is: made of two looks at it. Undefined = there is nothing to say. */
export function progressOf(before: GatewayStatus, now: GatewayStatus, seconds: number): string | undefined {
  if (now.queued === 0 || (before.queued === 0 && now.hubReachable)) return undefined;
  const waits = `${now.queued} messages (${mib(now.queuedBytes)} MiB) wait on the disk`;
  if (!now.hubReachable) return `${waits}: ${now.hubFailure ?? 'the hub is not reached yet'}`;
  const perSecond = (before.queued - now.queued) / seconds;
  const sent = Math.round((now.forwarded - before.forwarded) / seconds);
  if (perSecond <= 0) return `${waits}; ${sent} a second are sent, as many come`;
  return `${waits}; ${sent} a second are sent, done in ${duration(now.queued / perSecond)}`;
}

const mib = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const metrics: readonly (readonly [name: string, kind: string, help: string, of: (status: GatewayStatus) => number])[] =
  [
    ['hub_reachable', 'gauge', '1 while the hub is reached', ({ hubReachable }) => Number(hubReachable)],
    ['sessions', 'gauge', 'Devices that are connected', ({ sessions }) => sessions],
    ['queue_messages', 'gauge', 'Messages on the disk', ({ queued }) => queued],
    ['queue_bytes', 'gauge', 'Bytes of messages on the disk', ({ queuedBytes }) => queuedBytes],
    ['forwarded_messages_total', 'counter', 'Messages that the hub has taken', ({ forwarded }) => forwarded],
    ['batches_total', 'counter', 'Batches that the hub has taken', ({ batches }) => batches],
    ['dropped_messages_total', 'counter', 'Messages dropped for newer ones', ({ dropped }) => dropped],
    ['refused_messages_total', 'counter', 'Messages that the hub has refused', ({ refused }) => refused],
    ['sent_bytes_total', 'counter', 'Bytes sent to the hub', ({ sentBytes }) => sentBytes],
    ['received_bytes_total', 'counter', 'Bytes received from the hub', ({ receivedBytes }) => receivedBytes],
    ['connects_total', 'counter', 'Connections made to the hub', ({ connects }) => connects],
    [
      'link_bytes_per_second',
      'gauge',
      'What the link has carried lately',
      ({ linkBytesPerSecond = 0 }) => linkBytesPerSecond,
    ],
  ];

/** In Prometheus' text format. */
export function metricsText(status: GatewayStatus, { numbers, gauges }: RemoteHost['parts']): string {
  const lines = metrics.flatMap(([name, kind, help, of]) => [
    `# HELP mooring_gateway_${name} ${help}`,
    `# TYPE mooring_gateway_${name} ${kind}`,
    `mooring_gateway_${name} ${of(status)}`,
  ]);
  for (const isGauge of [true, false]) {
    const own = [...numbers].filter(([name]) => gauges.has(name) === isGauge);
    if (own.length === 0) continue;
    const metric = isGauge ? 'mooring_adapter_custom' : 'mooring_adapter_custom_total';
    lines.push(`# HELP ${metric} Numbers of the adapter itself`, `# TYPE ${metric} ${isGauge ? 'gauge' : 'counter'}`);
    for (const [name, value] of own) lines.push(`${metric}{adapter="${status.adapter}",name="${name}"} ${value}`);
  }
  return `${lines.join('\n')}\n`;
}

/**
 * Serves `/health` (200 while the adapter runs, also while the hub is away: messages are stored; 503 else) and `/metrics` on 127.0.0.1.
 * @param port 0 = any that is free
 */
export async function serveStatus(
  port: number,
  status: () => GatewayStatus,
  text: () => string,
): Promise<{ readonly port: number; close(): void }> {
  const server = http.createServer((request, response) => {
    const now = status();
    if (request.method === 'GET' && request.url === '/health') {
      response.writeHead(now.adapterFailure === undefined ? 200 : 503, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(now)}\n`);
    } else if (request.method === 'GET' && request.url === '/metrics') {
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' });
      response.end(text());
    } else response.writeHead(404).end();
  });
  server.maxConnections = 16;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve());
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
