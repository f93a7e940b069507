/**
 * A collector of OpenTelemetry on loopback: takes OTLP over HTTP in JSON and reads it by the published messages
 * (opentelemetry-proto 1.x, trace.proto and common.proto): a field that they do not have, or of another type, is refused, as a
 * Protobuf library refuses it.
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

const WAIT_MS_MAX = 20_000;

/** A span as the collector has read it. Times: UTC milliseconds. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: number;
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** `Status.code`: 0 unset, 2 error. */
  readonly status: number;
  readonly resource: Readonly<Record<string, string | number>>;
}

/** What it does with a request: takes it, or something else with the connection. */
export type Answering = (response: http.ServerResponse, spans: number) => void;
export const takes: Answering = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"partialSuccess":{}}');
};

export class Collector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = [];
  readonly headers: http.IncomingHttpHeaders[] = [];
  /** What was wrong with requests, and their bodies as they came. */
  readonly faults: string[] = [];
  readonly bodies: string[] = [];
  answering: Answering = takes;
  /**
   * A loopback address of its own: on the common one another program may take the port while nothing listens, and answer in the
   * place of a collector that is not there.
   */
  readonly #address = `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
  #server: http.Server;
  #port = 0;
  #wake: () => void = () => {};

  private constructor() {
    this.#server = this.#listening();
  }

  /** @param port 0 = any free one. */
  static async open(answering: Answering = takes, port = 0): Promise<Collector> {
    const collector = new Collector();
    collector.answering = answering;
    collector.#port = port;
    await collector.start();
    return collector;
  }

  get endpoint(): string {
    return `http://${this.#address}:${this.#port}`;
  }

  /** Takes connections, at the port that it had. */
  async start(): Promise<void> {
    this.#server = this.#listening();
    this.#server.listen(this.#port, this.#address);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Nothing listens any more. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Resolves when what has come satisfies `holds`. */
  async until(what: string, holds: (spans: readonly CollectedSpan[]) => boolean): Promise<readonly CollectedSpan[]> {
    const end = Date.now() + WAIT_MS_MAX;
    while (!holds(this.spans)) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        const told = (): string => this.spans.map((span) => `${span.traceId} ${span.name}`).join('\n');
        timer = setTimeout(
          () => reject(new Error(`${what} did not come; spans:\n${told()}`)),
          Math.max(0, end - Date.now()),
        );
      }).finally(() => clearTimeout(timer));
    }
    return this.spans;
  }

  named(name: string): readonly CollectedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #listening(): http.Server {
    return http.createServer((request, response) => {
      this.#take(request, response).catch((error: unknown) => {
        this.faults.push(String(error));
        response.destroy();
      });
    });
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const body = await text(request);
    this.headers.push(request.headers);
    this.bodies.push(body);
    const wanted = 'POST /v1/traces application/json';
    const got = `${request.method} ${request.url} ${request.headers['content-type']}`;
    if (got !== wanted) this.faults.push(`${got} instead of ${wanted}`);
    const spans = readRequest(JSON.parse(body), this.faults);
    if (this.answering === takes) this.spans.push(...spans);
    this.answering(response, spans.length);
    this.#wake();
  }
}

/** Field -> its type: a scalar of Protobuf, another message, or a list of one. */
type Shape = Readonly<Record<string, string>>;

const shapes: Readonly<Record<string, Shape>> = {
  ExportTraceServiceRequest: { resourceSpans: 'ResourceSpans[]' },
  ResourceSpans: { resource: 'Resource', scopeSpans: 'ScopeSpans[]', schemaUrl: 'string' },
  Resource: { attributes: 'KeyValue[]', droppedAttributesCount: 'uint32' },
  ScopeSpans: { scope: 'InstrumentationScope', spans: 'Span[]', schemaUrl: 'string' },
  InstrumentationScope: {
    name: 'string',
    version: 'string',
    attributes: 'KeyValue[]',
    droppedAttributesCount: 'uint32',
  },
  Span: {
    traceId: 'id16',
    spanId: 'id8',
    traceState: 'string',
    parentSpanId: 'id8',
    flags: 'uint32',
    name: 'string',
    kind: 'uint32',
    startTimeUnixNano: 'fixed64',
    endTimeUnixNano: 'fixed64',
    attributes: 'KeyValue[]',
    droppedAttributesCount: 'uint32',
    droppedEventsCount: 'uint32',
    droppedLinksCount: 'uint32',
    status: 'Status',
  },
  Status: { message: 'string', code: 'uint32' },
  KeyValue: { key: 'string', value: 'AnyValue' },
  AnyValue: { stringValue: 'string', intValue: 'fixed64', doubleValue: 'double', boolValue: 'bool' },
};

const scalars: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === 'string',
  bool: (value) => typeof value === 'boolean',
  double: (value) => typeof value === 'number',
  uint32: (value) => Number.isInteger(value) && (value as number) >= 0,
  fixed64: (value) => typeof value === 'string' && /^-?\d{1,20}$/.test(value),
  id16: (value) => typeof value === 'string' && /^(?!0+$)[0-9a-f]{32}$/.test(value),
  id8: (value) => typeof value === 'string' && /^(?!0+$)[0-9a-f]{16}$/.test(value),
};

function check(value: unknown, type: string, place: string, faults: string[]): void {
  if (type.endsWith('[]')) {
    if (!Array.isArray(value)) faults.push(`${place} is no list`);
    else for (const [at, item] of value.entries()) check(item, type.slice(0, -2), `${place}[${at}]`, faults);
    return;
  }
  const scalar = scalars[type];
  if (scalar !== undefined) {
    if (!scalar(value)) faults.push(`${place} is no ${type}: ${JSON.stringify(value)}`);
    return;
  }
  if (typeof value !== 'object' || value === null) {
    faults.push(`${place} is no ${type}`);
    return;
  }
  for (const [name, field] of Object.entries(value)) {
    const known = shapes[type][name];
    if (known === undefined) faults.push(`${place}.${name} is no field of ${type}`);
    else check(field, known, `${place}.${name}`, faults);
  }
}

interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: string;
  readonly doubleValue?: number;
}
type KeyValues = readonly { readonly key: string; readonly value: AnyValue }[];

const attributesOf = (pairs: KeyValues): Readonly<Record<string, string | number>> =>
  Object.fromEntries(
    pairs.map(({ key, value }) => [key, value.stringValue ?? value.doubleValue ?? Number(value.intValue)]),
  );

interface SpanJson {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: KeyValues;
  readonly status?: { readonly code?: number };
}

function readRequest(body: unknown, faults: string[]): readonly CollectedSpan[] {
  const before = faults.length;
  check(body, 'ExportTraceServiceRequest', 'request', faults);
  if (faults.length > before) return [];
  const { resourceSpans } = body as {
    readonly resourceSpans: readonly {
      readonly resource: { readonly attributes: KeyValues };
      readonly scopeSpans: readonly { readonly spans: readonly SpanJson[] }[];
    }[];
  };
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        name: span.name,
        kind: span.kind,
        start: Number(BigInt(span.startTimeUnixNano) / 1_000_000n),
        end: Number(BigInt(span.endTimeUnixNano) / 1_000_000n),
        attributes: attributesOf(span.attributes),
        status: span.status?.code ?? 0,
        resource: attributesOf(resource.attributes),
      })),
    ),
  );
}
