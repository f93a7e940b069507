import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import rhea from 'rhea';
import { type EventStamp, OFFSET_BASE, type Telemetry } from '../core/events/types.ts';
import {
  patchEventAnnotations,
  RECORD_HEADER_BYTES,
  readRecordHeader,
  recordBody,
  recordHead,
  recordSize,
  writeRecord,
} from '../wire/amqp/record.ts';
import { propertiesBlock, recordCodec, senderPrefix } from './record-codec.ts';

const stamp: EventStamp = {
  deviceId: 'd1',
  generationId: '7',
  authMethod: '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
  source: 'Telemetry',
};

const plain: Telemetry = { system: {}, properties: [], body: Buffer.from('hi') };
const TIME = Date.UTC(2026, 10, 23, 17);

// biome-ignore lint/suspicious/noExplicitAny: the judge is a library whose messages have no fixed type
const decode = (record: Buffer): any => rhea.message.decode(record.subarray(RECORD_HEADER_BYTES));

/**
 * Application properties by name, read by the same library below its messages: those put a map into an object by
 * assignment, where `__proto__` is a property's name no more. The record has it, and so have readers in other languages.
 */
function decodedProperties(record: Buffer): ReadonlyMap<string, string | null> {
  const { application, body } = readRecordHeader(record, 0, record.length);
  if (application === body) return new Map();
  // biome-ignore lint/suspicious/noExplicitAny: the library does not declare its reader
  const map: any = new (rhea.types as any).Reader(record.subarray(application, body)).read();
  const values: readonly { readonly value: string | null }[] = map.value;
  return new Map(
    values.flatMap(({ value }, at) => (at % 2 === 0 ? [[String(value), values[at + 1].value] as const] : [])),
  );
}

test('the bytes of a plain record are these', () => {
  const record = recordCodec.encode({ ...stamp, authMethod: '{}' }, plain, TIME);
  patchEventAnnotations(record, RECORD_HEADER_BYTES, 5, TIME + 1);
  const hexOf = (text: string): string => Buffer.from(text, 'latin1').toString('hex');
  assert.equal(
    record.toString('hex'),
    [
      `01000000${'27010000'.repeat(3)}`,
      '005372d10000010f00000010',
      `a315${hexOf('x-opt-sequence-number')}810000000000000005`,
      `a30c${hexOf('x-opt-offset')}a110${hexOf('1000000000000005')}`,
      `a313${hexOf('x-opt-enqueued-time')}83${(TIME + 1).toString(16).padStart(16, '0')}`,
      `a313${hexOf('iothub-enqueuedtime')}83${TIME.toString(16).padStart(16, '0')}`,
      `a31b${hexOf('iothub-connection-device-id')}a102${hexOf('d1')}`,
      `a31d${hexOf('iothub-connection-auth-method')}a102${hexOf('{}')}`,
      `a324${hexOf('iothub-connection-auth-generation-id')}a101${hexOf('7')}`,
      `a315${hexOf('iothub-message-source')}a109${hexOf('Telemetry')}`,
      `005375a002${hexOf('hi')}`,
    ].join(''),
  );
});

test('every system property stands where the service puts it', () => {
  const record = recordCodec.encode(
    { ...stamp, moduleId: 'm1', modelId: 'dtmi:a:b;1' },
    {
      system: {
        messageId: 'm-1',
        correlationId: 'c-1',
        userId: 'ü',
        to: '/devices/d1/messages/events',
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        expiry: TIME + 5,
        creationTime: TIME,
        subject: 'thermostat1',
        interfaceId: 'urn:i',
        messageSchema: 's1',
        outputName: 'out',
        diagnosticId: 'diag',
        correlationContext: 'ctx',
      },
      properties: [
        ['a', '1'],
        ['b', null],
        ['a', '2'],
        ['ключ', 'значение'],
      ],
      body: Buffer.alloc(1000, 7),
    },
    TIME,
  );
  const message = decode(record);
  assert.deepEqual(message.message_annotations, {
    'x-opt-sequence-number': 0,
    'x-opt-offset': '1000000000000000',
    'x-opt-enqueued-time': new Date(0),
    'iothub-enqueuedtime': new Date(TIME),
    'iothub-connection-device-id': 'd1',
    'iothub-connection-module-id': 'm1',
    'iothub-connection-auth-method': stamp.authMethod,
    'iothub-connection-auth-generation-id': '7',
    'iothub-message-source': 'Telemetry',
    'dt-dataschema': 'dtmi:a:b;1',
    'dt-subject': 'thermostat1',
    'iothub-interface-id': 'urn:i',
    'Diagnostic-Id': 'diag',
    'Correlation-Context': 'ctx',
  });
  assert.equal(message.message_id, 'm-1');
  assert.equal(message.correlation_id, 'c-1');
  assert.equal(message.user_id.toString(), 'ü');
  assert.equal(message.to, '/devices/d1/messages/events');
  assert.equal(message.content_type, 'application/json');
  assert.equal(message.content_encoding, 'utf-8');
  assert.equal(Number(message.absolute_expiry_time), TIME + 5);
  assert.deepEqual(message.application_properties, {
    a: '2',
    b: null,
    ключ: 'значение',
    'iothub-message-schema': 's1',
    'iothub-outputname': 'out',
    'iothub-creation-time-utc': '2026-11-23T17:00:00.000Z',
  });
  assert.deepEqual(message.body.content, Buffer.alloc(1000, 7));
});

test('a property may have any name, those of an object too', () => {
  const properties = [['__proto__', null] as const, ['constructor', 'c'] as const, ['toString', ''] as const];
  for (const [name, value] of properties) {
    const record = recordCodec.encode(stamp, { ...plain, properties: [[name, value]] }, TIME);
    assert.deepEqual(decodedProperties(record), new Map([[name, value]]));
  }
  assert.deepEqual(decodedProperties(recordCodec.encode(stamp, { ...plain, properties }, TIME)), new Map(properties));
});

const text = fc.string({ unit: 'binary', maxLength: 300 }).filter((value) => value.isWellFormed());
const telemetry: fc.Arbitrary<Telemetry> = fc.record({
  system: fc.record({ messageId: text, contentType: fc.constant('text/plain'), subject: text }, { requiredKeys: [] }),
  properties: fc.array(fc.tuple(text, fc.option(text)), { maxLength: 5 }) as fc.Arbitrary<[string, string | null][]>,
  body: fc.uint8Array({ maxLength: 700 }),
});
const sequences = fc.integer({ min: 0, max: 10 ** 15 - 1 });

test('offsets are right in any order of asking: one behind the other over every carry, and by leaps', () => {
  const record = recordCodec.encode(stamp, { system: {}, properties: [], body: Buffer.alloc(1) }, TIME);
  const offsetOf = (sequence: number): string => {
    patchEventAnnotations(record, RECORD_HEADER_BYTES, sequence, TIME);
    return decode(record).message_annotations['x-opt-offset'];
  };
  for (const power of [1, 2, 3, 6, 9, 14]) {
    for (let sequence = 10 ** power - 2; sequence <= 10 ** power + 1; sequence++) {
      assert.equal(offsetOf(sequence), String(OFFSET_BASE + sequence));
      if (sequence % 2 === 0) assert.equal(offsetOf(sequence), String(OFFSET_BASE + sequence));
    }
  }
  assert.equal(offsetOf(0), String(OFFSET_BASE));
  assert.equal(offsetOf(1), String(OFFSET_BASE + 1));
});

test('what is encoded and patched is what a reader decodes', () => {
  fc.assert(
    fc.property(telemetry, sequences, fc.nat({ max: 2 ** 45 }), (sent, sequence, time) => {
      const record = recordCodec.encode(stamp, sent, TIME);
      patchEventAnnotations(record, RECORD_HEADER_BYTES, sequence, time);
      const message = decode(record);
      const annotations = message.message_annotations;
      assert.equal(annotations['x-opt-sequence-number'], sequence);
      assert.equal(annotations['x-opt-offset'], String(OFFSET_BASE + sequence));
      assert.equal(annotations['x-opt-enqueued-time'].getTime(), time);
      assert.equal(annotations['iothub-enqueuedtime'].getTime(), TIME);
      assert.equal(message.message_id ?? undefined, sent.system.messageId);
      assert.equal(annotations['dt-subject'], sent.system.subject);
      assert.deepEqual(decodedProperties(record), new Map(sent.properties));
      assert.deepEqual(message.body.content, Buffer.from(sent.body));
    }),
  );
});

test('a kept head and a body give the same bytes as the codec, at any place', () => {
  fc.assert(
    fc.property(telemetry, fc.nat({ max: 50 }), fc.nat({ max: 20 }), (sent, at, margin) => {
      const head = recordHead(senderPrefix(stamp), propertiesBlock(sent));
      const packet = Buffer.concat([Buffer.alloc(margin, 1), sent.body, Buffer.alloc(3, 2)]);
      const target = Buffer.alloc(at + recordSize(head.length, sent.body.length), 0xee);
      const end = writeRecord(target, at, head, TIME, packet, margin, margin + sent.body.length);
      assert.equal(end, target.length);
      assert.deepEqual(target.subarray(at), recordCodec.encode(stamp, sent, TIME));
    }),
  );
});

test('the header finds sections and body without decoding', () => {
  fc.assert(
    fc.property(telemetry, fc.nat({ max: 50 }), (sent, at) => {
      const record = recordCodec.encode(stamp, sent, TIME);
      const store = Buffer.concat([Buffer.alloc(at), record]);
      const sections = readRecordHeader(store, at, store.length);
      assert.equal(sections.message, at + RECORD_HEADER_BYTES);
      assert.equal(sections.hubTime, TIME);
      assert.deepEqual(recordBody(store, at, store.length), Buffer.from(sent.body));
      const begins = (place: number, code: number): boolean => store.readUIntBE(place, 3) === 0x005300 + code;
      assert.ok(begins(sections.body, 0x75));
      if (sections.application < sections.body) assert.ok(begins(sections.application, 0x74));
      if (sections.properties < sections.application) assert.ok(begins(sections.properties, 0x73));
    }),
  );
});

test('bytes that are no record are refused', () => {
  const record = recordCodec.encode(stamp, plain, TIME);
  assert.throws(() => readRecordHeader(record, 0, 100), RangeError);
  const otherVersion = Buffer.from(record);
  otherVersion[0] = 2;
  assert.throws(() => readRecordHeader(otherVersion, 0, otherVersion.length), RangeError);
  const beyond = Buffer.from(record);
  beyond.writeUInt32LE(record.length, 12);
  assert.throws(() => readRecordHeader(beyond, 0, beyond.length), RangeError);
});
