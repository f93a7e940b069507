import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HubEventStamp, Telemetry } from '../../core/events/types.ts';
import {
  BATCH_HEAD_BYTES,
  RecordCursor,
  sealBatch,
  writeRecordHead,
  writeVarint,
} from '../../wire/kafka/record-batch.ts';
import type { RecordForm } from '../../wire/kafka/record-form.ts';
import { recordCodec, routingMark } from '../record-codec.ts';
import { kafkaContentOf } from './from-record.ts';
import { kafkaRecordCodec } from './record-codec.ts';
import { kafkaRecordForm } from './record-form.ts';

const TIME = Date.UTC(2026, 10, 29, 12);
const BROKER_TIME = TIME + 7;

/** The records of the log that a reader gets for these contents of Kafka's records. */
function read(contents: readonly Buffer[], form: RecordForm): Buffer[] {
  const batch = Buffer.alloc(BATCH_HEAD_BYTES + contents.reduce((sum, { length }) => sum + length + 12, 0));
  let end = BATCH_HEAD_BYTES;
  for (const [nth, content] of contents.entries()) {
    end = writeRecordHead(batch, end, nth, content.length);
    end += content.copy(batch, end);
  }
  sealBatch(batch, end, contents.length, { id: 1n, epoch: 0, sequence: 0 }, TIME);
  const cursor = new RecordCursor();
  cursor.open(batch, BATCH_HEAD_BYTES, end, contents.length);
  const found: Buffer[] = [];
  while (cursor.next()) {
    const bytes = Buffer.alloc(form.size(cursor, BROKER_TIME) + 3, 0xee);
    form.write(cursor, BROKER_TIME, bytes, 1);
    assert.deepEqual([bytes[0], bytes.at(-1), bytes.at(-2)], [0xee, 0xee, 0xee], 'it writes as much as it has said');
    found.push(bytes.subarray(1, -2));
  }
  return found;
}

const word = fc.string({ maxLength: 12, unit: 'grapheme' });
const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(value, { nil: undefined });
const names = fc.oneof(
  word,
  fc.constantFrom('~', '~x', 'message-id', 'to', '__proto__', 'iothub-enqueuedtime', 'iothub-message-source'),
);
const time = fc.integer({ min: 0, max: 2 ** 43 });
const stamps: fc.Arbitrary<HubEventStamp> = fc
  .record(
    {
      deviceId: maybe(fc.constantFrom('d1', 'd2', "a-.+%_#*?!(),:=@$'")),
      moduleId: maybe(fc.constant('m1')),
      generationId: maybe(fc.constantFrom('1', '2')),
      authMethod: maybe(fc.constant('{}')),
      source: fc.constantFrom('Telemetry', 'twinChangeEvents'),
      modelId: maybe(word),
    },
    { noNullPrototype: true },
  )
  .map(defined);
const marks = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0x1ffff }));
const messages: fc.Arbitrary<Telemetry> = fc
  .record(
    {
      system: fc
        .record(
          {
            messageId: maybe(word),
            correlationId: maybe(word),
            userId: maybe(word),
            to: maybe(word),
            contentType: maybe(fc.constant('application/json')),
            contentEncoding: maybe(fc.constant('utf-8')),
            expiry: maybe(time),
            creationTime: maybe(time),
            subject: maybe(word),
            interfaceId: maybe(word),
            messageSchema: maybe(word),
            outputName: maybe(word),
            diagnosticId: maybe(word),
            correlationContext: maybe(word),
          },
          { noNullPrototype: true },
        )
        .map(defined),
      properties: fc.array(fc.tuple(names, fc.option(word)), { maxLength: 6 }),
      body: fc.uint8Array({ maxLength: 300 }),
      traceId: maybe(fc.constant('0af7')),
    },
    { noNullPrototype: true },
  )
  .map(defined);

function defined<Value extends object>(value: Value): Value {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Value;
}

test('what a reader gets of Kafka is, byte by byte, what it gets of the journal', () => {
  const form = kafkaRecordForm();
  fc.assert(
    fc.property(fc.array(fc.tuple(stamps, messages, time, marks), { minLength: 1, maxLength: 8 }), (events) => {
      const contents = events.flatMap(([stamp, message, at, mark]) => {
        const once = kafkaRecordCodec.encode(stamp, message, at, mark);
        return [once, once];
      });
      const expected = events.flatMap(([stamp, message, at, mark]) => {
        const once = recordCodec.encode(stamp, message, at, mark);
        return [once, once];
      });
      assert.deepEqual(read(contents, form), expected);
    }),
    { numRuns: 500 },
  );
});

test('ids that came as something else than text stay what they were', () => {
  const message: Telemetry = {
    system: {
      messageId: '18446744073709551615',
      correlationId: 'ff00',
      idTypes: { messageId: 'ulong', correlationId: 'hex' },
    },
    properties: [],
    body: Buffer.from('x'),
  };
  const stamp = { deviceId: 'd1', source: 'Telemetry' };
  assert.deepEqual(read([kafkaRecordCodec.encode(stamp, message, TIME)], kafkaRecordForm()), [
    recordCodec.encode(stamp, message, TIME),
  ]);
});

test('a template writes what encode writes, from within other bytes too', () => {
  const stamp = { deviceId: 'd1', source: 'Telemetry', generationId: '1', authMethod: '{}' };
  const message: Telemetry = { system: { messageId: 'm' }, properties: [['a', 'b']], body: Buffer.from('hello') };
  const template = kafkaRecordCodec.template(stamp, message);
  for (const mark of [0, 0x10003, 0, 5]) {
    const bytes = Buffer.alloc(template.size(3, mark) + 2);
    template.write(bytes, 1, TIME, message.body, 1, 4, mark);
    assert.deepEqual(
      bytes.subarray(1, -1),
      kafkaRecordCodec.encode(stamp, { ...message, body: Buffer.from('ell') }, TIME, mark),
    );
  }
});

test('a record of another program: its key is the device, its headers are properties, its time the broker’s', () => {
  const content = Buffer.alloc(100);
  let at = 0;
  const put = (text: string | null): void => {
    at = writeVarint(content, at, text === null ? -1 : Buffer.byteLength(text));
    if (text !== null) at += content.write(text, at);
  };
  put('truck-7');
  put('{"t":1}');
  at = writeVarint(content, at, 3);
  for (const text of ['colour', 'red', 'absolute-expiry-time', 'soon', 'none', null]) put(text);
  const [record] = read([content.subarray(0, at)], kafkaRecordForm());
  const message = {
    system: {},
    properties: [
      ['colour', 'red'],
      ['none', null],
    ],
    body: Buffer.from('{"t":1}'),
  } as const;
  assert.deepEqual(record, recordCodec.encode({ deviceId: 'truck-7', source: 'Telemetry' }, message, BROKER_TIME));
});

test('heads that are kept do not mix: other headers under the same key, with and without the time of the hub', () => {
  const form = kafkaRecordForm();
  const stamp = { deviceId: 'd1', source: 'Telemetry' };
  const plain = Buffer.from([4, 0x64, 0x31, 2, 0x78, 0]);
  const of = (value: string): Telemetry => ({ system: {}, properties: [['a', value]], body: Buffer.from('x') });
  const contents = [
    plain,
    kafkaRecordCodec.encode(stamp, of('1'), TIME),
    plain,
    kafkaRecordCodec.encode(stamp, of('2'), TIME + 1),
  ];
  assert.deepEqual(read(contents, form), [
    recordCodec.encode(stamp, { ...of(''), properties: [] }, BROKER_TIME),
    recordCodec.encode(stamp, of('1'), TIME),
    recordCodec.encode(stamp, { ...of(''), properties: [] }, BROKER_TIME),
    recordCodec.encode(stamp, of('2'), TIME + 1),
  ]);
});

test('a record of the journal that goes to Kafka comes back byte by byte, also where its properties have names of the hub', () => {
  const form = kafkaRecordForm();
  const own = fc.tuple(
    fc.constantFrom('iothub-message-schema', 'iothub-outputname', 'iothub-creation-time-utc'),
    fc.option(fc.oneof(word, fc.constant('2026-05-01T12:00:00.500Z'))),
  );
  const withOwn = fc.tuple(messages, fc.array(own, { maxLength: 2 })).map(([message, more]) => ({
    ...message,
    properties: [...more, ...message.properties, ...more],
  }));
  fc.assert(
    fc.property(stamps, fc.oneof(messages, withOwn), time, marks, (stamp, message, at, mark) => {
      const kept = recordCodec.encode(stamp, message, at, mark);
      const around = Buffer.concat([Buffer.alloc(3), kept, Buffer.alloc(2)]);
      const { bytes, isSame } = kafkaContentOf(around, 3, 3 + kept.length);
      const [back] = read([bytes], form);
      assert.equal(routingMark(back, 0), mark);
      if (isSame) assert.deepEqual(back, kept);
      // What neither way of reading gives byte by byte is a property in front of one that the hub has written itself.
      else assert.ok(message.properties.some(([name]) => name.startsWith('iothub-')));
    }),
    { numRuns: 1000 },
  );
});

test('ids of other types than text go to Kafka and come back', () => {
  const system = { messageId: '18446744073709551615', idTypes: { messageId: 'ulong' } } as const;
  const kept = recordCodec.encode({ source: 'Telemetry' }, { system, properties: [], body: Buffer.from('x') }, TIME);
  const { bytes, isSame } = kafkaContentOf(kept, 0, kept.length);
  assert.deepEqual([isSame, read([bytes], kafkaRecordForm())], [true, [kept]]);
});

test('heads that are kept do not mix: so many devices that some of them share a place', () => {
  const form = kafkaRecordForm();
  const events = Array.from({ length: 3000 }, (_, nth) => {
    const stamp = { deviceId: `device-${nth}`, source: 'Telemetry', generationId: String(nth % 7) };
    return [stamp, { system: {}, properties: [], body: Buffer.from([nth & 255]) }] as const;
  });
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(
      read(
        events.map(([stamp, message]) => kafkaRecordCodec.encode(stamp, message, TIME + round)),
        form,
      ),
      events.map(([stamp, message]) => recordCodec.encode(stamp, message, TIME + round)),
    );
  }
});
