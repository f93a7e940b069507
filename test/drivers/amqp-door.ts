/**
 * A hub in this process with a plain AMQP door and memory stores, for what a test must hold in its hands: the clock, the
 * log, the rooms. The real hub as a process is in `hub.ts`.
 */

import { createHmac } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { Log, LogFields } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { CommandQueue } from '../../src/core/commands/ports.ts';
import type { CommandLimits } from '../../src/core/commands/types.ts';
import { createEvents } from '../../src/core/events/events.ts';
import type { Telemetry } from '../../src/core/events/types.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import type { IdentityKey, Principal } from '../../src/core/identity/types.ts';
import type { Recorder } from '../../src/core/monitoring/types.ts';
import type { TwinStore } from '../../src/core/twins/ports.ts';
import { openAmqpDoor } from '../../src/protocols/amqp/server.ts';
import type { Door } from '../../src/protocols/shared/door.ts';
import type { TlsSource } from '../../src/protocols/shared/listener.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { createMemoryCommandQueue } from '../../src/stores/memory/command-queue.ts';
import { createMemoryConsumerGroupStore } from '../../src/stores/memory/consumer-groups.ts';
import { createMemoryEventLog, type MemoryEventLog } from '../../src/stores/memory/event-log.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';
import { owner } from './owner.ts';
import { openPlainHub } from './plain-hub.ts';

export const HUB_NAME = 'myhub';

export interface AmqpTestHub extends AsyncDisposable {
  readonly hub: WholeHub;
  readonly door: Door;
  readonly port: number;
  readonly telemetry: MemoryEventLog;
  readonly monitoring: MemoryEventLog;
  /** May do everything. */
  readonly owner: Principal;
  /** The primary key of a policy, as connection strings carry it. */
  key(policyName: string): string;
  /** A token of a policy: of a resource with a scheme signed with the key's text, as Event Hubs SDKs do it, else with the key. */
  token(options?: {
    policyName?: string;
    resource?: string;
    lifeMs?: number;
    key?: string;
    /** Default: `text` for a resource with a scheme. */
    form?: 'text' | 'decoded';
  }): string;
  connectionString(options?: { policyName?: string; entity?: string }): string;
  /** Makes a device, or a module and its device. */
  device(deviceId: string, moduleId?: string): Promise<TestDevice>;
  /** Where commands wait, and twins; a test may put something in the place of their operations. */
  readonly commandQueue: CommandQueue;
  readonly twinStore: TwinStore;
  /** Lets the device upload a file of that content: back ends are told. */
  upload(deviceId: string, name: string, content: string): Promise<void>;
  /** Stores telemetry of device `d1` in one partition and waits until readers see it. */
  append(partition: number, bodies: readonly (string | Uint8Array)[], telemetry?: Partial<Telemetry>): Promise<void>;
  /** Most bytes that now wait in one of the hub's sockets. */
  unsentBytesMax(): number;
  /** Lines of the hub's log: level, sentence and fields as one JSON text each. */
  readonly lines: readonly string[];
}

/** A device or module that exists. */
export interface TestDevice {
  readonly id: IdentityKey;
  /** What its tokens are for. */
  readonly resource: string;
  /** Its own address, as `/devices/d1/twin`. */
  address(endpoint: string): string;
  token(lifeMs?: number): string;
}

/** Telemetry bodies that stand for nothing in particular: `n` numbers as texts, from `first` on. */
export function numbers(n: number, first = 0): readonly string[] {
  return Array.from({ length: n }, (_, at) => String(first + at));
}

export async function openAmqpTestHub(
  options: {
    /** Of the hub and its event hub. */
    readonly name?: string;
    readonly partitions?: number;
    readonly clock?: Clock;
    readonly retentionBytes?: number;
    readonly commands?: Partial<CommandLimits>;
    /** With the whole door on TLS instead of plain TCP. */
    readonly tls?: TlsSource;
    readonly recorder?: Recorder;
  } = {},
): Promise<AmqpTestHub> {
  const clock = options.clock ?? systemClock;
  const lines: string[] = [];
  const partitionCount = options.partitions ?? 2;
  const name = options.name ?? HUB_NAME;
  const telemetry = createMemoryEventLog({
    name,
    partitionCount,
    clock,
    retentionBytes: options.retentionBytes,
  });
  const monitoring = createMemoryEventLog({ name: `${name}-monitoring`, partitionCount: 1, clock });
  const identities = createMemoryIdentityStore();
  const commandQueue = createMemoryCommandQueue(identities);
  const twinStore = createMemoryTwinStore(identities);
  const consumerGroups = createMemoryConsumerGroupStore();
  const { hub, policies, files } = await openPlainHub({
    name,
    hosts: ['localhost', '127.0.0.1'],
    ...{ identities, commandQueue, clock },
    twins: twinStore,
    events: (guard) => createEvents({ guard, telemetry, monitoring, consumerGroups, codec: recordCodec, clock }),
    random: systemRandom,
    log: capturing(lines),
    limits: { commands: options.commands },
    recorder: options.recorder,
  });
  const sockets = new Set<Socket>();
  const accepted = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  subscribe('net.server.socket', accepted);
  const door = await openAmqpDoor(hub, {
    name: 'amqpPort',
    port: 0,
    addresses: ['127.0.0.1'],
    tls: options.tls,
    redirectPort: 5671,
  });
  const key = (policyName: string): string => policies.find(({ name }) => name === policyName)?.primaryKey ?? '';
  return {
    hub,
    door,
    port: door.port,
    telemetry,
    monitoring,
    commandQueue,
    twinStore,
    async upload(deviceId, name, content) {
      const key = { deviceId };
      const { blobName, sasToken, correlationId } = await hub.files.beginUpload(owner, key, name);
      const blob = await files.blobs.blob(blobName, new URLSearchParams(sasToken));
      const source = (async function* () {
        yield Buffer.from(content);
      })();
      await blob.put({ source }, { contentType: 'text/plain', condition: {} });
      await hub.files.endUpload(owner, key, correlationId, true);
    },
    owner,
    lines,
    unsentBytesMax: () => Math.max(0, ...[...sockets].map((socket) => socket.writableLength)),
    key,
    token({ policyName = 'service', resource = `sb://localhost/${HUB_NAME}`, lifeMs = 3_600_000, ...given } = {}) {
      const expiry = Math.floor((clock.now() + lifeMs) / 1000);
      const sr = encodeURIComponent(resource);
      const text = given.key ?? key(policyName);
      const form = given.form ?? (resource.includes('://') ? 'text' : 'decoded');
      const secret = form === 'text' ? text : Buffer.from(text, 'base64');
      const signature = createHmac('sha256', secret).update(`${sr}\n${expiry}`);
      const sig = encodeURIComponent(signature.digest('base64'));
      return `SharedAccessSignature sr=${sr}&sig=${sig}&se=${expiry}&skn=${policyName}`;
    },
    connectionString({ policyName = 'service', entity = HUB_NAME } = {}) {
      const secret = `SharedAccessKeyName=${policyName};SharedAccessKey=${key(policyName)}`;
      return `Endpoint=sb://localhost:${door.port};${secret};EntityPath=${entity};UseDevelopmentEmulator=true`;
    },
    async device(deviceId, moduleId) {
      const id = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
      const exists = async (): Promise<boolean> =>
        hub.registry.get(owner, { deviceId }).then(
          () => true,
          () => false,
        );
      if (moduleId !== undefined && !(await exists())) await hub.registry.put(owner, { deviceId });
      const { authentication } = await hub.registry.put(owner, id);
      const secret = Buffer.from(authentication.symmetricKey?.primaryKey ?? '', 'base64');
      const resource = `localhost/devices/${deviceId}${moduleId === undefined ? '' : `/modules/${moduleId}`}`;
      const path = `/${resource.split('/').slice(1).join('/')}`;
      return {
        id,
        resource,
        address: (endpoint) => `${path}/${endpoint}`,
        token(lifeMs = 3_600_000) {
          const expiry = Math.floor((clock.now() + lifeMs) / 1000);
          const sr = encodeURIComponent(resource);
          const sig = createHmac('sha256', secret).update(`${sr}\n${expiry}`).digest('base64');
          return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${expiry}`;
        },
      };
    },
    async append(partition, bodies, given = {}) {
      const stamp = { deviceId: 'd1', generationId: '1', authMethod: '{}', source: 'Telemetry' };
      for (const body of bodies) {
        const record = recordCodec.encode(
          stamp,
          { system: {}, properties: [], ...given, body: Buffer.from(body) },
          clock.now(),
        );
        const at = telemetry.writer.reserve(partition, record.length);
        record.copy(telemetry.writer.bytes(partition), at);
      }
      await new Promise<void>((resolve, reject) => {
        telemetry.writer.await({ batchDurable: () => resolve(), batchFailed: (_, error) => reject(error) });
      });
    },
    async [Symbol.asyncDispose]() {
      await door.stopAccepting();
      await door.drain();
      unsubscribe('net.server.socket', accepted);
    },
  };
}

function capturing(lines: string[]): Log {
  const note =
    (level: string) =>
    (fields: LogFields, sentence: string): void => {
      lines.push(JSON.stringify({ level, sentence, ...fields, error: String(fields.error ?? '') }));
    };
  const log: Log = {
    debug: note('debug'),
    info: note('info'),
    warn: note('warn'),
    error: note('error'),
    child: () => log,
  };
  return log;
}
