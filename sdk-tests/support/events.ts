import assert from 'node:assert/strict';
import type { TestHub } from '../../test/drivers/hub.ts';
import { messageOf } from '../clients/messages.mjs';
import { Client, type ClientEvent } from './client.ts';
import type { Device } from './hub.ts';

const ENQUEUE_MS_MAX = 10_000;

/** One event as a reader's SDK showed it. */
export interface SeenEvent extends ClientEvent {
  readonly partition: string;
  readonly sequenceNumber: number;
  readonly offset: string;
  readonly enqueuedTime: number;
  readonly body: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly system: Readonly<Record<string, unknown>>;
}

export interface ReadWish {
  readonly connectionString: string;
  readonly count: number;
  readonly consumerGroup?: string;
  /** Per partition id, as the JavaScript SDK's EventPosition, but `time` in milliseconds. Absent = from the start. */
  readonly positions?: Readonly<Record<string, object>>;
}

/** Runs a reader to its end and returns what it saw, in its order. */
export async function readEvents(
  hub: TestHub,
  wish: ReadWish,
  script: 'events-read.mjs' | 'events-read.py' = 'events-read.mjs',
): Promise<readonly SeenEvent[]> {
  const client = Client.start(script, hub.endpoints.caFile, wish);
  try {
    await client.next('done', 180_000);
    const errors = client.seen('error');
    assert.deepEqual(errors, [], 'the reader saw errors');
    return client.seen('event') as readonly SeenEvent[];
  } finally {
    await client.stop();
  }
}

/** A reader that goes on reading from the start of the stream, for tests that look for single events. */
export class EventTail implements AsyncDisposable {
  readonly #client: Client;

  constructor(hub: TestHub) {
    const connectionString = hub.endpoints.connectionStrings.eventHubs;
    const endless = { count: Number.MAX_SAFE_INTEGER, timeoutMs: 2 ** 31 - 1 };
    this.#client = Client.start('events-read.mjs', hub.endpoints.caFile, { connectionString, ...endless });
  }

  /** Takes the first event that matches out of those that came; waits for it. */
  async find(match: (event: SeenEvent) => boolean, timeoutMs?: number): Promise<SeenEvent> {
    return (await this.#client.next('event', timeoutMs, (event) => match(event as SeenEvent))) as SeenEvent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.stop();
  }
}

/** Checks that the events are exactly what the devices sent: each once, in order per device, equal in every part. */
export function assertAllSent(
  events: readonly SeenEvent[],
  devices: readonly Device[],
  messagesEach: number,
  names: 'javascript' | 'python',
): void {
  assert.equal(events.length, devices.length * messagesEach, 'number of events');
  const partitionOf = new Map<string, string>();
  const nextOf = new Map<string, number>();
  const sequences = new Map<string, number>();
  const byId = new Map(devices.map((device) => [device.deviceId, device]));
  for (const event of events) {
    const deviceId = event.properties.device;
    const device = byId.get(deviceId);
    assert.ok(device !== undefined, `an event of ${deviceId}, which sent none`);
    const n = nextOf.get(deviceId) ?? 0;
    assertEqualsSent(event, device, n, names);
    nextOf.set(deviceId, n + 1);
    assert.equal(partitionOf.get(deviceId) ?? event.partition, event.partition, `${deviceId} stays in its partition`);
    partitionOf.set(deviceId, event.partition);
    const before = sequences.get(event.partition);
    if (before !== undefined) assert.equal(event.sequenceNumber, before + 1, 'sequence numbers have no gap');
    sequences.set(event.partition, event.sequenceNumber);
  }
}

function assertEqualsSent(event: SeenEvent, device: Device, n: number, names: 'javascript' | 'python'): void {
  const wanted = messageOf(device.deviceId, n);
  const label = `message ${n} of ${device.deviceId}`;
  assert.equal(event.properties.n, String(n), `${label} comes next`);
  assert.equal(event.body, wanted.body, `${label}: body`);
  assert.deepEqual(event.properties, Object.fromEntries(wanted.properties), `${label}: properties`);
  const { messageId, correlationId, contentType } = event;
  assert.deepEqual(
    { messageId, correlationId, contentType },
    { messageId: wanted.messageId, correlationId: wanted.correlationId, contentType: wanted.contentType },
    label,
  );
  const { system } = event;
  assert.equal(
    system[names === 'python' ? 'content-encoding' : 'contentEncoding'] ?? wanted.contentEncoding,
    wanted.contentEncoding,
  );
  const userId = system[names === 'python' ? 'user-id' : 'userId'] ?? undefined;
  assert.equal(userId, wanted.userId, `${label}: user id`);
  assert.equal(system['iothub-connection-device-id'], device.deviceId, label);
  assert.equal(system['iothub-connection-auth-generation-id'], device.generationId, label);
  assert.equal(system['iothub-message-source'], 'Telemetry', label);
  const { scope, type, issuer } = JSON.parse(String(system['iothub-connection-auth-method'])) as Record<string, string>;
  assert.deepEqual({ scope, type, issuer }, { scope: 'device', type: 'sas', issuer: 'iothub' }, label);
  // The hub took the message, then stored it: two moments, close to each other.
  const tookMs = event.enqueuedTime - Number(system['iothub-enqueuedtime']);
  assert.ok(tookMs >= 0 && tookMs <= ENQUEUE_MS_MAX, `${label}: iothub-enqueuedtime is ${tookMs} ms before`);
}
