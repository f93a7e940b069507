import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { commandBag, telemetryOf, willOf } from './mapping.ts';

const body = Buffer.from('{}');
const read = (bag: string): { system: object; properties: readonly (readonly [string, string | null])[] } => {
  const { system, properties } = telemetryOf(bag, body, false);
  return { system, properties };
};

test('the bag that the Node SDK sends', () => {
  assert.deepEqual(read('%24.mid=m1&%24.cid=c1&%24.ct=application%2Fjson&%24.ce=utf-8&a%20b=c%2Fd'), {
    system: { messageId: 'm1', correlationId: 'c1', contentType: 'application/json', contentEncoding: 'utf-8' },
    properties: [['a b', 'c/d']],
  });
});

test('every system property, with its dollar as it stands', () => {
  const bag =
    '$.mid=1&$.cid=2&$.uid=3&$.to=4&$.ct=5&$.ce=6&$.on=7&$.ifid=8&$.sub=9&$.schema=10&$.diagid=11&$.diagctx=12' +
    '&$.exp=2026-01-02T03:04:05.678Z&$.ctime=2026-01-01T00:00:00Z&$.cdid=other&$.cmid=other';
  assert.deepEqual(read(bag), {
    system: {
      messageId: '1',
      correlationId: '2',
      userId: '3',
      to: '4',
      contentType: '5',
      contentEncoding: '6',
      outputName: '7',
      interfaceId: '8',
      subject: '9',
      messageSchema: '10',
      diagnosticId: '11',
      correlationContext: '12',
      expiry: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
      creationTime: Date.UTC(2026, 0, 1),
    },
    properties: [],
  });
});

test('application properties first, as C sends them, and system properties among them', () => {
  assert.deepEqual(read('a=1&%24.mid=m&b=2'), {
    system: { messageId: 'm' },
    properties: [
      ['a', '1'],
      ['b', '2'],
    ],
  });
});

for (const [what, bag, properties] of [
  ['a plus stays a plus', 'a+b=c+d', [['a+b', 'c+d']]],
  [
    'a pair without = has the value null',
    'a&b=1',
    [
      ['a', null],
      ['b', '1'],
    ],
  ],
  ['an empty value is an empty text', 'a=', [['a', '']]],
  ['a value may hold =', 'a=b=c', [['a', 'b=c']]],
  [
    'of a duplicate the last value counts',
    'a=1&b=2&a=3',
    [
      ['a', '3'],
      ['b', '2'],
    ],
  ],
  [
    'empty pairs are nothing',
    '&a=1&&b=2&',
    [
      ['a', '1'],
      ['b', '2'],
    ],
  ],
  [
    'text that is not percent-encoded stays',
    'a=50%&b=%zz&c=ü',
    [
      ['a', '50%'],
      ['b', '%zz'],
      ['c', 'ü'],
    ],
  ],
  ['percent-encoded UTF-8', '%C3%BC=%F0%9F%98%80', [['ü', '😀']]],
  ['bytes that are not UTF-8 stay encoded', 'a=%ff', [['a', '%ff']]],
  ['a slash that was not encoded', 'a=b/c', [['a', 'b/c']]],
  ['properties of the service without its prefix', 'iothub-ack=full', [['iothub-ack', 'full']]],
  [
    'names of the language',
    '__proto__=1&constructor=2',
    [
      ['__proto__', '1'],
      ['constructor', '2'],
    ],
  ],
  ['a time that is none stays as it came', '%24.exp=soon', [['$.exp', 'soon']]],
  [
    'a system name that is not known stays',
    '%24.new=1&%24.toString=2',
    [
      ['$.new', '1'],
      ['$.toString', '2'],
    ],
  ],
  ['a system property without a value stays', '%24.mid', [['$.mid', null]]],
] as const) {
  test(`oddity of the property bag: ${what}`, () => assert.deepEqual(read(bag), { system: {}, properties }));
}

test('retain becomes a property', () => {
  assert.deepEqual(telemetryOf('a=1', body, true).properties, [
    ['a', '1'],
    ['mqtt-retain', 'true'],
  ]);
});

test('a will is an event that says so, whatever its bag says', () => {
  const will = willOf('iothub-MessageType=mine&a=1', body, true);
  assert.deepEqual(will.properties, [
    ['iothub-MessageType', 'Will'],
    ['a', '1'],
    ['mqtt-retain', 'true'],
  ]);
  assert.equal(will.body, body);
});

test('more properties than allowed are refused', () => {
  const pairs = Array.from({ length: limits.messagePropertiesMax }, (_, at) => `p${at}=1`);
  assert.equal(read(pairs.join('&')).properties.length, limits.messagePropertiesMax);
  assert.throws(
    () => read([...pairs, 'one=more'].join('&')),
    (error) => error instanceof HubError && error.code === 'ArgumentInvalid',
  );
});

test('whatever is percent-encoded comes back as it was', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.startsWith('$.'));
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(name, fc.string({ unit: 'grapheme' })), { selector: ([key]) => key }),
      (pairs) => {
        const bag = pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&');
        assert.deepEqual(read(bag).properties, pairs);
      },
    ),
  );
});

const to = '/devices/d1/messages/devicebound';

test('a command’s bag says what every SDK looks for, in its order; what is not set is left out', () => {
  const message = { ack: 'none' as const, properties: [], body };
  assert.equal(commandBag(message, to, false), '%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound');
  assert.equal(
    commandBag({ ...message, messageId: 'm', userId: '', expiry: 0, ack: 'positive' }, to, false),
    '%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound&%24.mid=m&%24.exp=1970-01-01T00%3A00%3A00.000Z&iothub-ack=positive',
  );
});

test('whatever a command’s properties are, the bag is one segment of a topic and says them again', () => {
  const text = fc.string({ unit: 'binary' });
  const properties = fc.array(fc.tuple(text, text), { maxLength: 10 });
  fc.assert(
    fc.property(properties, text, fc.boolean(), (pairs, messageId, omitEmpty) => {
      const bag = commandBag({ ack: 'none', properties: pairs, messageId, body }, to, omitEmpty);
      assert.match(bag, /^%24\.to=[^/+# ]*$/);
      const wellFormed = (value: string): string => value.toWellFormed();
      const read = bag.split('&').map((pair) => pair.split('=').map(decodeURIComponent));
      assert.deepEqual(read, [
        ['$.to', to],
        ...(messageId === '' ? [] : [['$.mid', wellFormed(messageId)]]),
        ...pairs.filter(([, value]) => value !== '' || !omitEmpty).map((pair) => pair.map(wellFormed)),
      ]);
    }),
  );
});

test('a property that claims who has sent the message is left out', () => {
  const bag = 'iothub-connection-device-id=other&IoTHub-Connection-Auth-Method=x&iothub-connection-module-id&own=1';
  assert.deepEqual(telemetryOf(bag, Buffer.alloc(0), false).properties, [['own', '1']]);
});
