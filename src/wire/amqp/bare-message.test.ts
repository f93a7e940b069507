import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import rhea from 'rhea';
import { readBareMessage, readMessageBatch } from './bare-message.ts';
import { writeId } from './ids.ts';
import { guidBytes, uuidText } from './uuid.ts';
import { AmqpDecodeError } from './values.ts';
import { AmqpWriter, section } from './writer.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its encoder and its types
const { message: messages, types } = rhea as any;

const text = fc.string({ unit: 'binary', maxLength: 300 }).filter((value) => value.isWellFormed());
const bytes = fc.uint8Array({ maxLength: 400 }).map((value) => Buffer.from(value));
const ascii = fc.stringMatching(/^[a-z-]{1,20}$/);

test('what a library encodes is read as it was meant, each id as text', () => {
  fc.assert(
    fc.property(
      fc.record({ id: text, type: ascii, to: text, expiry: fc.nat({ max: 2 ** 40 }) }),
      fc.dictionary(ascii, fc.oneof(text, fc.boolean(), fc.constant(null))),
      fc.array(bytes, { minLength: 1, maxLength: 3 }),
      ({ id, type, to, expiry }, properties, parts) => {
        const encoded: Buffer = messages.encode({
          durable: true,
          delivery_annotations: { d: 1 },
          message_annotations: { note: id },
          message_id: id,
          to,
          content_type: type,
          absolute_expiry_time: new Date(expiry),
          application_properties: properties,
          body: messages.data_sections(parts),
          footer: { f: 'x' },
        });
        const read = readBareMessage(encoded);
        assert.equal(read.messageId, id);
        assert.equal(read.to, to);
        assert.equal(read.contentType, type);
        assert.equal(read.expiry, expiry);
        assert.equal(read.annotations.get('note'), id);
        const expected = Object.entries(properties).map(([name, value]) => [
          name,
          value === null ? null : String(value),
        ]);
        assert.deepEqual(read.properties, expected);
        assert.deepEqual(read.body, Buffer.concat(parts));
      },
    ),
  );
});

test('ids and property values of every simple type have their usual text', () => {
  const uuid = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
  const cases: [unknown, string][] = [
    [types.wrap_uuid(uuid), '00112233-4455-6677-8899-aabbccddeeff'],
    [types.wrap_ulong(7), '7'],
    [types.wrap_ulong(Buffer.alloc(8, 0xff)), '18446744073709551615'],
    [types.wrap_binary(Buffer.from('bin')), 'bin'],
  ];
  for (const [id, expected] of cases) {
    assert.equal(readBareMessage(messages.encode({ message_id: id })).messageId, expected);
  }
  const values: [unknown, string][] = [
    ...cases,
    [types.wrap_timestamp(0), '1970-01-01T00:00:00.000Z'],
    [types.wrap_timestamp(9e15), '9000000000000000'],
    [types.wrap_long(-5), '-5'],
    [types.wrap_double(0.5), '0.5'],
    [types.wrap_symbol('s'), 's'],
    [true, 'true'],
  ];
  for (const [value, expected] of values) {
    const { properties } = readBareMessage(messages.encode({ application_properties: { p: value } }));
    assert.deepEqual(properties, [['p', expected]]);
  }
  assert.equal(uuidText(uuid), '00112233-4455-6677-8899-aabbccddeeff');
  assert.equal(guidBytes(uuidText(uuid)).toString('hex'), '33221100554477668899aabbccddeeff');
});

test('an id is written in the type in which it came, whatever its value', () => {
  const ids = fc.oneof(
    text,
    fc.uint8Array({ minLength: 16, maxLength: 16 }).map((value) => types.wrap_uuid(Buffer.from(value))),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => {
      const ulong = Buffer.alloc(8);
      ulong.writeBigUInt64BE(value);
      return types.wrap_ulong(ulong);
    }),
    bytes.map((value) => types.wrap_binary(value)),
    text.map((value) => types.wrap_binary(Buffer.from(value))),
  );
  fc.assert(
    fc.property(ids, ids, (message_id, correlation_id) => {
      const sent: Buffer = messages.encode({ message_id, correlation_id });
      const { messageId, correlationId, idTypes } = readBareMessage(sent);
      const writer = new AmqpWriter();
      writer.descriptor(section.properties);
      const list = writer.beginList();
      writeId(writer, messageId, idTypes?.messageId);
      for (let field = 1; field < 5; field++) writer.null();
      writeId(writer, correlationId, idTypes?.correlationId);
      writer.end(list, 6);
      const ids = (encoded: Buffer) => {
        const { message_id: first, correlation_id: second } = messages.decode(encoded);
        return [first, second];
      };
      assert.deepEqual(ids(writer.copy()), ids(sent));
      assert.deepEqual(readBareMessage(writer.copy()).idTypes, idTypes);
    }),
    { examples: [[types.wrap_ulong(0), types.wrap_ulong(7)]] },
  );
});

test('a batch is the messages of its data sections', () => {
  const inner = ['a', 'b'].map((body) => messages.encode({ body: messages.data_section(Buffer.from(body)) }) as Buffer);
  const batch = readMessageBatch(messages.encode({ message_id: 'envelope', body: messages.data_sections(inner) }));
  assert.deepEqual(
    batch.map((part) => readBareMessage(part).body.toString()),
    ['a', 'b'],
  );
});

test('bytes that are no message are refused, and nothing else happens', () => {
  const whole: Buffer = messages.encode({ message_id: 'm', application_properties: { a: 'b' }, body: 'x' });
  const refuse = (damaged: Buffer): void => {
    try {
      readBareMessage(damaged);
    } catch (error) {
      assert.ok(error instanceof AmqpDecodeError, String(error));
    }
  };
  for (let length = 1; length < whole.length; length++) refuse(whole.subarray(0, length));
  fc.assert(fc.property(bytes, refuse));
  fc.assert(
    fc.property(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }), (at, value) => {
      const damaged = Buffer.from(whole);
      damaged[at] = value;
      refuse(damaged);
    }),
  );
  for (const body of [{ a: 1 }, 5, messages.sequence_section([1])]) {
    assert.throws(() => readBareMessage(messages.encode({ body })), AmqpDecodeError);
  }
});
