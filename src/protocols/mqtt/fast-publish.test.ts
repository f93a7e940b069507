import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mqttPacket from 'mqtt-packet';
import { until } from '../../../test/drivers/until.ts';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import { createEvents } from '../../core/events/events.ts';
import type { Hub } from '../../core/hub.ts';
import { createGuard, silentAudit } from '../../core/identity/guard.ts';
import { hostNames } from '../../core/identity/host-names.ts';
import { createAdmission, createSubscriptions } from '../../core/presence/calls.ts';
import { createPresence } from '../../core/presence/presence.ts';
import { recordCodec } from '../../records/record-codec.ts';
import { createMemoryConsumerGroupStore } from '../../stores/memory/consumer-groups.ts';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { createMemorySubscriptionStore } from '../../stores/memory/subscriptions.ts';
import { MqttConnection } from './connection.ts';
import { FastPublish } from './fast-publish.ts';
import type { Link } from './link.ts';

const topic = 'devices/d1/messages/events/';

interface Publish {
  readonly bag: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly dup: boolean;
  readonly retain: boolean;
  readonly messageId: number;
}

interface Run {
  readonly records: readonly Buffer[];
  readonly pubacks: readonly number[];
  /** How many messages took the fast path. */
  readonly fast: number;
  readonly closed: boolean;
}

/** Gives the packets to a connection; with `slowly`, one that never knows a topic again. */
async function run(messages: readonly Publish[], chunkBytes: number, slowly: boolean): Promise<Run> {
  const clock = new VirtualClock();
  const log = createMemoryEventLog({ name: 'mooring', partitionCount: 1, clock, durable: 'byHand' });
  const guard = createGuard(clock, silentAudit);
  const parts = { guard, telemetry: log, consumerGroups: createMemoryConsumerGroupStore(), codec: recordCodec, clock };
  const events = createEvents(parts);
  let fast = 0;
  const counting: Hub['events'] = {
    ...events,
    enqueuePrepared: (...message) => {
      fast++;
      return events.enqueuePrepared(...message);
    },
  };
  const hub: Pick<Hub, 'events' | 'clock'> & Partial<Hub> = {
    events: counting,
    clock,
    random: seededRandom(1),
    log: silentLog,
    hostNames: hostNames('mooring', ['localhost']),
    admission: createAdmission(guard, createPresence({ places: createMemoryPlaces(), clock })),
    subscriptions: createSubscriptions(guard, createMemorySubscriptionStore()),
    authentication: {
      device: async (key) => ({
        kind: 'device',
        key,
        generationId: 'g',
        expiresAt: Number.POSITIVE_INFINITY,
        authScope: 'device',
        authType: 'sas',
      }),
      token: () => Promise.reject(new Error('not used')),
      spokenFor: () => Promise.reject(new Error('not used')),
      policyKey: () => Promise.reject(new Error('not used')),
    },
  };
  const written: Buffer[] = [];
  const link: Link = {
    congested: false,
    write: (bytes) => written.push(bytes) > 0,
    pause: () => {},
    resume: () => {},
    nextTurn: (begin) => void setImmediate(begin),
    end: () => {},
    destroy: () => {},
  };
  const connection = new MqttConnection(hub as Hub, link, { protocol: 'mqtt', peer: '' });
  connection.receive(
    mqttPacket.generate({
      cmd: 'connect',
      clientId: 'd1',
      username: 'localhost/d1',
      password: Buffer.from('x'),
      clean: true,
    }),
  );
  await until('a packet is written', () => written.length > 0);
  const other = (at: number): Buffer =>
    mqttPacket.generate({
      cmd: 'publish',
      topic: `${topic}other=${at}`,
      qos: 0,
      dup: false,
      retain: false,
      payload: '',
    });
  const packets = messages.flatMap(({ bag, payload, ...fields }, at) => {
    const packet = mqttPacket.generate({
      cmd: 'publish',
      topic: topic + bag,
      ...fields,
      payload: Buffer.from(payload),
    });
    // A message with another topic between any two: nothing is ever repeated.
    return slowly ? [other(at), packet] : [packet];
  });
  const bytes = Buffer.concat(packets);
  for (let at = 0; at < bytes.length; at += chunkBytes)
    connection.receive(Buffer.from(bytes.subarray(at, at + chunkBytes)));
  await log.commit();
  const records: Buffer[] = [];
  for (const stored of await log.read(0, 0, Number.MAX_SAFE_INTEGER)) {
    for (let at = stored.start; at < stored.end; ) {
      const size = stored.bytes.readUInt32LE(at);
      records.push(stored.bytes.subarray(at + 4, at + 4 + size));
      at += 4 + size;
    }
  }
  const acknowledged = Buffer.concat(written.slice(1));
  const pubacks = Array.from({ length: acknowledged.length / 4 }, (_, at) => acknowledged.readUInt16BE(4 * at + 2));
  return {
    records: slowly ? records.filter((_, at) => at % 2 === 1) : records,
    pubacks,
    fast,
    closed: connection.closed,
  };
}

test('fast path and general path store the same bytes and send the same PUBACKs', async () => {
  const message: fc.Arbitrary<Publish> = fc.record({
    bag: fc.constantFrom(
      '',
      'a=b',
      'a=c',
      '%24.mid=1&%C3%BC=%20&n',
      `x=${'y'.repeat(limits.mqttRememberedTopicBytesMax)}`,
    ),
    payload: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 254, maxLength: 258 })),
    qos: fc.constantFrom(0 as const, 1 as const),
    dup: fc.constant(false),
    retain: fc.oneof({ weight: 8, arbitrary: fc.constant(false) }, fc.constant(true)),
    messageId: fc.integer({ min: 1, max: 0xffff }),
  });
  // Runs of equal topics, as devices send them.
  const runs = fc.array(
    fc
      .tuple(message, fc.array(message, { maxLength: 6 }))
      .map(([first, more]) => [
        first,
        ...more.map((one) => ({ ...one, bag: first.bag, dup: one.qos === 1 && one.messageId % 5 === 0 })),
      ]),
    { maxLength: 8 },
  );
  let fast = 0;
  await fc.assert(
    fc.asyncProperty(runs, fc.integer({ min: 1, max: 2000 }), async (messages, chunkBytes) => {
      const quick = await run(messages.flat(), chunkBytes, false);
      const general = await run(messages.flat(), chunkBytes, true);
      assert.equal(general.fast, 0);
      assert.deepEqual(quick.records, general.records);
      assert.deepEqual(quick.pubacks, general.pubacks);
      assert.equal(quick.records.length, messages.flat().length);
      fast += quick.fast;
    }),
  );
  assert.ok(fast > 100, `only ${fast} messages took the fast path`);
});

test('the third message with the same topic is the first on the fast path', async () => {
  const same = { bag: 'a=b', payload: Buffer.from('x'), qos: 1, dup: false, retain: false, messageId: 1 } as const;
  assert.equal((await run([same, same], 1000, false)).fast, 0);
  assert.equal((await run([same, same, same, same], 1000, false)).fast, 2);
});

test('what is not allowed ends the connection on the fast path too', async () => {
  const same = { bag: 'a=b', payload: Buffer.from('x'), qos: 1, dup: false, retain: false, messageId: 1 } as const;
  const large = { ...same, payload: Buffer.alloc(limits.telemetryBytesMax) };
  const ended = await run([same, same, same, large, same], 100_000, false);
  assert.deepEqual([ended.closed, ended.records.length, ended.pubacks], [true, 3, []]);
});

test('packets that are odd in any way are left to the general path', () => {
  const fast = new FastPublish();
  const name = Buffer.from(topic);
  assert.equal(fast.isRepeated(name, 0, name.length), false);
  assert.equal(fast.isRepeated(name, 0, name.length), true);
  const packet = (first: number, ...rest: readonly number[]): Buffer =>
    Buffer.from([first, 2 + name.length + rest.length, 0, name.length, ...name, ...rest]);
  const matches = (bytes: Buffer): boolean => fast.matches(bytes, 0, 2, bytes.length);
  assert.equal(matches(packet(0x30)), false, 'nothing has been prepared');
  fast.prepare({
    sender: undefined as never,
    template: undefined as never,
    propertyBytes: 0,
    routed: { decider: undefined, mark: undefined, message: undefined },
  });
  for (const [what, bytes] of Object.entries({
    'no packet id': packet(0x32),
    'half a packet id': packet(0x32, 0),
    'packet id 0': packet(0x32, 0, 0),
    retain: packet(0x31),
    'QoS 2': packet(0x34, 0, 1),
    'QoS 3': packet(0x36, 0, 1),
    'a duplicate at QoS 0': packet(0x38),
    'another type': packet(0x82, 0, 1),
    'a topic that ends too early': packet(0x30).subarray(0, -1),
    'another topic': Buffer.from(packet(0x30).fill(0x61, 10, 11)),
  })) {
    assert.equal(matches(bytes), false, what);
  }
  assert.equal(matches(packet(0x30)), true);
  assert.deepEqual([fast.packetId, fast.payloadAt], [0, 4 + name.length]);
  assert.equal(matches(packet(0x3a, 1, 2, 9)), true);
  assert.deepEqual([fast.packetId, fast.payloadAt], [258, 6 + name.length]);
});
