/**
 * A hub in this process, on memory stores, behind its real HTTPS door with a certificate of its own; and requests to
 * it, byte for byte where a test needs that.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import tls from 'node:tls';
import { type ApiClient, createApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { type Log, type LogFields, silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { Archives } from '../../src/core/archive/room.ts';
import { createEvents } from '../../src/core/events/events.ts';
import type { FilesRoom } from '../../src/core/files/files.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import type { Guarded } from '../../src/core/identity/guard.ts';
import type { Policy } from '../../src/core/identity/types.ts';
import type { JobRunner } from '../../src/core/jobs/runner.ts';
import type { Recorder } from '../../src/core/monitoring/types.ts';
import type { RegistryJobsRoom } from '../../src/core/registry-jobs/registry-jobs.ts';
import type { Routes } from '../../src/core/routes/room.ts';
import { createRoutes } from '../../src/core/routes/routes.ts';
import type { HttpsDoor, HttpsDoorOptions } from '../../src/protocols/http/options.ts';
import { openHttpsDoor } from '../../src/protocols/http/server.ts';
import type { TlsSource } from '../../src/protocols/shared/listener.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { createBulkChanges } from '../../src/server/bulk-changes/bulk-changes.ts';
import { newConditions, routesInForce } from '../../src/server/routes/open-routes.ts';
import { makeAuthority, makeServerCertificate } from '../../src/server/tls/certificates.ts';
import { createMemoryConsumerGroupStore } from '../../src/stores/memory/consumer-groups.ts';
import {
  createMemoryEventLog,
  type MemoryEventLog,
  type MemoryEventLogOptions,
} from '../../src/stores/memory/event-log.ts';
import { createMemoryRoutes } from '../../src/stores/memory/routes.ts';
import { openPlainHub } from './plain-hub.ts';

export const HUB_NAME = 'testhub';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: LogFields;
  readonly sentence: string;
}

export interface MemoryHub {
  readonly hub: WholeHub;
  readonly policies: readonly Policy[];
  readonly log: readonly LogLine[];
  readonly telemetry: MemoryEventLog;
  readonly files: FilesRoom;
  readonly registryJobs: RegistryJobsRoom;
  readonly archives: Guarded<Archives>;
  readonly routes: Guarded<Routes>;
  /** Not started. */
  readonly jobRunner: JobRunner;
}

/** A hub on memory stores that remembers what it logs. */
export async function createMemoryHub(
  clock: Clock = systemClock,
  telemetryOptions: Partial<MemoryEventLogOptions> = {},
  recorder?: Recorder,
): Promise<MemoryHub> {
  const log: LogLine[] = [];
  const telemetry = createMemoryEventLog({ name: HUB_NAME, partitionCount: 4, clock, ...telemetryOptions });
  const monitoring = createMemoryEventLog({ name: `${HUB_NAME}-monitoring`, partitionCount: 1, clock });
  const consumerGroups = createMemoryConsumerGroupStore();
  const routing = routesInForce(async () => undefined, clock);
  let routes: Guarded<Routes> | undefined;
  const { hub, policies, files, registryJobs, archives, jobRunner } = await openPlainHub({
    name: HUB_NAME,
    hosts: ['localhost', '127.0.0.1', '::1', 'hub.example'],
    events: (guard) => {
      routes = createRoutes({
        ...{ guard, telemetry, newConditions, clock, store: createMemoryRoutes().routes, file: undefined },
        ...{ loadTwin: async () => undefined, apply: async (set) => routing.apply(set), states: async () => [] },
      }).routes;
      return createEvents({ guard, telemetry, monitoring, consumerGroups, routing, codec: recordCodec, clock });
    },
    clock,
    random: systemRandom,
    log: recordingLog(log),
    recorder,
  });
  assert.ok(routes !== undefined);
  return { hub, policies, files, registryJobs, archives, jobRunner, routes, log, telemetry };
}

export function recordingLog(lines: LogLine[], common: LogFields = {}): Log {
  const at = (level: LogLine['level']) => (fields: LogFields, sentence: string) =>
    void lines.push({ level, fields: { ...common, ...fields }, sentence });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => recordingLog(lines, { ...common, ...fields }),
  };
}

/** A certificate for `localhost` and `127.0.0.1`; `renew` swaps it for another one of the same authority. */
export interface TestTls extends TlsSource {
  readonly ca: string;
  renew(): Promise<void>;
}

export async function createTestTls(): Promise<TestTls> {
  const authority = await makeAuthority(HUB_NAME, Date.now(), systemRandom);
  const names = [
    { type: 'dns', value: 'localhost' },
    { type: 'ip', value: '127.0.0.1' },
  ] as const;
  const make = async () => {
    const { cert, key } = await makeServerCertificate(authority, names, Date.now(), systemRandom);
    return { cert: [cert], key: [key] };
  };
  let current = await make();
  const listeners = new Set<() => void>();
  return {
    ca: authority.cert,
    current: () => current,
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async renew() {
      current = await make();
      for (const listener of listeners) listener();
    },
  };
}

export interface HttpHub extends MemoryHub, AsyncDisposable {
  readonly door: HttpsDoor;
  readonly tls: TestTls;
  connectionString(policyName?: string): string;
  client(policyName?: string): ApiClient;
  /** A token of the policy for the whole hub, or for `path` behind the host. */
  token(policyName?: string, path?: string): Promise<string>;
  /** An open TLS connection. */
  connect(): Promise<tls.TLSSocket>;
  /** Sends `text` as it stands on a connection of its own and resolves with everything that comes until its end. */
  exchange(text: string | Buffer): Promise<HttpAnswer>;
  /** One request with a token of `iothubowner`, unless `headers` name another `authorization`. */
  request(method: string, path: string, more?: RequestMore): Promise<HttpAnswer>;
}

export interface RequestMore {
  readonly headers?: Readonly<Record<string, string>>;
  /** Text and bytes are sent as they are, everything else as JSON. */
  readonly body?: unknown;
}

export interface HttpAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** `await using` closes the door. */
export async function openHttpHub(
  options: Partial<HttpsDoorOptions> & {
    readonly clock?: Clock;
    readonly telemetry?: Partial<MemoryEventLogOptions>;
    readonly recorder?: Recorder;
  } = {},
): Promise<HttpHub> {
  const memory = await createMemoryHub(options.clock, options.telemetry, options.recorder);
  const tlsSource = options.tls ?? (await createTestTls());
  const door = await openHttpsDoor(memory.hub, {
    port: 0,
    addresses: ['127.0.0.1'],
    tls: tlsSource,
    files: memory.files,
    registryJobs: memory.registryJobs.jobs,
    archives: memory.archives,
    routes: memory.routes,
    bulkChanges: createBulkChanges({ hub: memory.hub, clock: memory.hub.clock, random: systemRandom, log: silentLog }),
    ...options,
  });
  const keyOf = (name: string): string => memory.policies.find((policy) => policy.name === name)?.primaryKey ?? '';
  const clients: ApiClient[] = [];
  const { ca } = tlsSource as TestTls;
  const connectionString = (name = 'iothubowner'): string =>
    `HostName=localhost;SharedAccessKeyName=${name};SharedAccessKey=${keyOf(name)}`;
  const token = (name = 'iothubowner', path = ''): Promise<string> =>
    signSas({
      resource: `localhost${path}`,
      key: keyOf(name),
      policyName: name,
      expiresAt: memory.hub.clock.now() + 60_000,
    });
  const connect = async (): Promise<tls.TLSSocket> => {
    const socket = tls.connect({ host: '127.0.0.1', port: door.port, ca, servername: 'localhost' });
    await once(socket, 'secureConnect');
    return socket;
  };
  const exchange = async (text: string | Buffer): Promise<HttpAnswer> => {
    const socket = await connect();
    socket.write(text);
    return parseAnswer(await readToEnd(socket));
  };
  return {
    ...memory,
    door,
    tls: tlsSource as TestTls,
    connectionString,
    client(name) {
      const client = createApiClient({ connectionString: connectionString(name), port: door.port, ca });
      clients.push(client);
      return client;
    },
    token,
    connect,
    exchange,
    async request(method, path, { headers = {}, body } = {}) {
      const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
      const bytes = Buffer.from(body === undefined ? '' : isRaw ? body : JSON.stringify(body));
      const all: Record<string, string> = {
        host: 'localhost',
        connection: 'close',
        authorization: await token(),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(bytes.length === 0 ? {} : { 'content-length': String(bytes.length) }),
        ...headers,
      };
      const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
      return exchange(Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), bytes]));
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await door.stopAccepting();
      await door.drain();
    },
  };
}

/** Everything that the peer sends until it ends the connection. */
export async function readToEnd(socket: tls.TLSSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('error', () => {});
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** One HTTP/1.1 answer whose body ends with the connection or with its `content-length`. */
export function parseAnswer(bytes: Buffer): HttpAnswer {
  const end = bytes.indexOf('\r\n\r\n');
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  return { status: Number(first.split(' ')[1]), headers, body: bytes.subarray(end + 4).toString('utf8') };
}

/** Code and text of an error body of form A (service reference 3.1). */
export function refusalIn(answer: HttpAnswer): { readonly code: string; readonly text: string } {
  const { Message } = JSON.parse(answer.body) as { readonly Message: string };
  const [, code = '', text = ''] = /^ErrorCode:([^;]*);(.*)$/s.exec(Message) ?? [];
  return { code, text };
}
