/**
 * A hub in this process with a plain MQTT door and memory stores; for what a test must
 * hold in its hands: the clock, what is durable when, the log's lines. The real hub as a process is in `hub.ts`.
 */

import { createHmac } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { VirtualClock } from '../../src/base/clock.ts';
import type { Log, LogFields } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { CommandQueue } from '../../src/core/commands/ports.ts';
import { createEvents } from '../../src/core/events/events.ts';
import type { Events, PreparedTelemetry } from '../../src/core/events/room.ts';
import type { Telemetry } from '../../src/core/events/types.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import type { HubLimits } from '../../src/core/hub-state.ts';
import type { Guarded } from '../../src/core/identity/guard.ts';
import type { IdentityKey, Principal } from '../../src/core/identity/types.ts';
import { mqttConnections } from '../../src/protocols/mqtt/connections.ts';
import { openMqttDoor } from '../../src/protocols/mqtt/server.ts';
import type { Door } from '../../src/protocols/shared/door.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { createMemoryCommandQueue } from '../../src/stores/memory/command-queue.ts';
import { createMemoryConsumerGroupStore } from '../../src/stores/memory/consumer-groups.ts';
import {
  createMemoryEventLog,
  type MemoryEventLog,
  type MemoryEventLogOptions,
} from '../../src/stores/memory/event-log.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';
import { MqttDriver, type MqttPlace } from './mqtt.ts';
import { owner } from './owner.ts';
import { openPlainHub, type PlainHubParts } from './plain-hub.ts';

export interface TestDoor extends AsyncDisposable {
  readonly hub: WholeHub;
  readonly door: Door;
  readonly place: MqttPlace;
  readonly clock: VirtualClock;
  /** With `durable: 'byHand'` nothing is durable before its `commit`. */
  readonly log: MemoryEventLog;
  /** Where commands wait; a test may put something in the place of its operations. */
  readonly queue: CommandQueue;
  /** What the door gave to the hub, in order. */
  readonly sent: readonly Telemetry[];
  /** Resolves when so many messages have come in all. */
  untilSent(count: number): Promise<void>;
  /** Lines of the hub's log: sentence and fields as one JSON text each. */
  readonly lines: readonly string[];
  readonly owner: Principal;
  /** Creates an identity (and a module's device), or re-creates one under the same id. */
  create(key: IdentityKey): Promise<void>;
  /** A token of the identity's primary key. */
  token(key: IdentityKey, options?: { readonly lifeMs?: number; readonly resource?: string }): Promise<string>;
  /** CONNECT fields with which the identity is let in. */
  credentials(
    key: IdentityKey,
    options?: { readonly lifeMs?: number },
  ): Promise<{ readonly clientId: string; readonly username: string; readonly password: Buffer }>;
  /** A device that is created if it must be, and connected. */
  device(
    deviceId: string,
    fields?: Parameters<typeof MqttDriver.connect>[1] & { readonly lifeMs?: number },
  ): Promise<MqttDriver>;
}

export async function openTestDoor(
  logOptions: Partial<MemoryEventLogOptions> = {},
  bounds: HubLimits = {},
  more: Pick<PlainHubParts, 'recorder' | 'tracing'> = {},
): Promise<TestDoor> {
  const clock = new VirtualClock();
  const random = seededRandom(1);
  const lines: string[] = [];
  const sent: Telemetry[] = [];
  let arrivals: (() => void)[] = [];
  const arrived = (): void => {
    const told = arrivals;
    arrivals = [];
    for (const tell of told) tell();
  };
  const log = createMemoryEventLog({ name: 'mooring', partitionCount: 4, clock, ...logOptions });
  const identities = createMemoryIdentityStore();
  const queue = createMemoryCommandQueue(identities);
  const { hub } = await openPlainHub({
    name: 'mooring',
    hosts: ['localhost', '127.0.0.1'],
    ...{ identities, clock, random },
    commandQueue: queue,
    twins: createMemoryTwinStore(identities),
    events: (guard) => {
      const consumerGroups = createMemoryConsumerGroupStore();
      return overheard(
        createEvents({ guard, telemetry: log, consumerGroups, codec: recordCodec, clock }),
        sent,
        arrived,
      );
    },
    log: capturing(lines),
    limits: bounds,
    ...more,
  });
  const door = await openMqttDoor(hub, { name: 'mqttPort', port: 0, addresses: ['127.0.0.1'] });
  const place = { port: door.port };
  const create = async (key: IdentityKey): Promise<void> => {
    if (key.moduleId !== undefined) await hub.registry.put(owner, { deviceId: key.deviceId });
    await hub.registry.put(owner, key);
  };
  const token: TestDoor['token'] = async (key, { lifeMs = 3_600_000, resource = pathOf(key) } = {}) => {
    const { authentication } = await hub.registry.get(owner, key);
    return signed(resource, authentication.symmetricKey?.primaryKey ?? '', clock.now() + lifeMs);
  };
  const credentials: TestDoor['credentials'] = async (key, options) => ({
    clientId: key.moduleId === undefined ? key.deviceId : `${key.deviceId}/${key.moduleId}`,
    username: `localhost/${key.deviceId}/${key.moduleId === undefined ? '' : `${key.moduleId}/`}?api-version=2021-04-12`,
    password: Buffer.from(await token(key, options)),
  });
  return {
    hub,
    door,
    place,
    clock,
    log,
    queue,
    sent,
    async untilSent(count) {
      while (sent.length < count) await new Promise<void>((resolve) => arrivals.push(resolve));
    },
    lines,
    owner,
    create,
    token,
    credentials,
    async device(deviceId, fields = {}) {
      const exists = await hub.registry.get(owner, { deviceId }).then(
        () => true,
        () => false,
      );
      if (!exists) await create({ deviceId });
      const { lifeMs, ...connect } = fields;
      const known = await credentials({ deviceId }, { lifeMs });
      const { client, returnCode } = await MqttDriver.connect(place, { ...known, ...connect });
      if (returnCode !== 0) throw new Error(`the device was refused with ${returnCode}`);
      return client;
    },
    async [Symbol.asyncDispose]() {
      await door.stopAccepting();
      const drained = door.drain();
      clock.advance(60_000);
      await drained;
    },
  };
}

/** A peer on a stream that is no socket, as WebSockets will be. Its bytes arrive within one turn of the loop. */
export interface StreamPeer {
  readonly stream: Duplex;
  /** What the hub wrote, write by write. */
  readonly writes: readonly Buffer[];
  /** Whether the hub has closed its side. */
  readonly ended: boolean;
}

export function serveStream({ hub }: TestDoor): StreamPeer {
  const [stream, server] = duplexPair();
  const writes: Buffer[] = [];
  const peer = { stream, writes, ended: false };
  const write = server.write.bind(server);
  server.write = ((chunk: Buffer) => {
    writes.push(Buffer.from(chunk));
    return write(chunk);
  }) as typeof server.write;
  server.once('close', () => {
    peer.ended = true;
  });
  stream.on('error', () => {});
  stream.resume();
  mqttConnections(hub).accept(server, { protocol: 'mqtt-ws', peer: '127.0.0.1' });
  return peer;
}

function pathOf(key: IdentityKey): string {
  const device = `localhost/devices/${key.deviceId}`;
  return key.moduleId === undefined ? device : `${device}/modules/${key.moduleId}`;
}

/** A SAS token (device reference 1.5). */
export function signed(resource: string, key: string, expiresAt: number): string {
  const sr = encodeURIComponent(resource);
  const se = String(Math.floor(expiresAt / 1000));
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(signature)}&se=${se}`;
}

/** The same events, with an ear at the door: what comes in is kept as it was given. */
function overheard<Room extends Guarded<Events>>(events: Room, sent: Telemetry[], arrived: () => void): Room {
  const meanings = new WeakMap<PreparedTelemetry, Pick<Telemetry, 'system' | 'properties'>>();
  const hear = ({ system, properties }: Pick<Telemetry, 'system' | 'properties'>, body: Uint8Array): void => {
    sent.push({ system, properties, body: Buffer.from(body) });
    arrived();
  };
  return {
    ...events,
    enqueue(sender, telemetry, waiter) {
      const batch = events.enqueue(sender, telemetry, waiter);
      hear(telemetry, telemetry.body);
      return batch;
    },
    prepare(sender, message) {
      const prepared = events.prepare(sender, message);
      meanings.set(prepared, message);
      return prepared;
    },
    enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter) {
      const batch = events.enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter);
      const meaning = meanings.get(prepared);
      if (meaning === undefined) throw new Error('a message that this hub has not prepared');
      hear(meaning, source.subarray(bodyStart, bodyEnd));
      return batch;
    },
  };
}

function capturing(lines: string[], fixed: LogFields = {}): Log {
  const say = (fields: LogFields, sentence: string): void => {
    const text = (_name: string, value: unknown): unknown =>
      value instanceof Error ? { error: value.message, stack: value.stack } : value;
    lines.push(JSON.stringify({ sentence, ...fixed, ...fields }, text));
  };
  return { debug: say, info: say, warn: say, error: say, child: (fields) => capturing(lines, { ...fixed, ...fields }) };
}
