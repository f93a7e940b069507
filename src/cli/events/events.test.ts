import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import rhea from 'rhea';
import type { Output } from '../terminal.ts';
import { type ReceivedEvent, readEvent } from './event.ts';
import { parseStartPosition, selectorOf } from './position.ts';
import { eventJson, eventLine, showBody } from './render.ts';

const now = Date.UTC(2026, 4, 1, 12);
const plain: Output = { stream: new PassThrough(), isTerminal: false, columns: () => 80 };

test('a place to begin is now, start, a time, or how long ago', () => {
  assert.deepEqual(parseStartPosition('now', now), { kind: 'now' });
  assert.deepEqual(parseStartPosition('start', now), { kind: 'start' });
  assert.deepEqual(parseStartPosition('10m', now), { kind: 'time', time: now - 600_000 });
  assert.deepEqual(parseStartPosition('2026-05-01T12:00:00Z', now), { kind: 'time', time: now });
  assert.deepEqual(parseStartPosition('2026-05-01T14:00+02:00', now), { kind: 'time', time: now });
  for (const text of ['', 'yesterday', '10', '2026', '2026-13-01', '1 May 2026', '2026-05-01 12:00']) {
    assert.equal(parseStartPosition(text, now), undefined, text);
  }
});

test('a position becomes the selector that event hubs read', () => {
  assert.equal(selectorOf({ kind: 'start' }), "amqp.annotation.x-opt-offset > '-1'");
  assert.equal(selectorOf({ kind: 'time', time: 17.5 }), "amqp.annotation.x-opt-enqueued-time >= '17'");
  assert.equal(selectorOf({ kind: 'behind', sequence: 41 }), "amqp.annotation.x-opt-sequence-number > '41'");
});

/** An event as it stands on the wire, read as the reader does it. */
function received(message: Record<string, unknown>): ReceivedEvent {
  const { types } = rhea;
  const bytes = rhea.message.encode({
    message_annotations: {
      'x-opt-sequence-number': types.wrap_long(7),
      'x-opt-offset': '1000000000000007',
      'x-opt-enqueued-time': types.wrap_timestamp(now),
      'iothub-connection-device-id': 'd1',
      'iothub-enqueuedtime': types.wrap_timestamp(now),
      'iothub-message-source': 'Telemetry',
    },
    ...message,
  });
  return readEvent(rhea.message.decode(bytes), '3');
}

test('an event’s annotations, properties and body come out as plain values', () => {
  const event = received({
    message_id: 'm1',
    content_type: 'application/json',
    user_id: Buffer.from('alice'),
    application_properties: { room: 'attic', level: '2' },
    body: rhea.message.data_section(Buffer.from('{"t":21.5}')),
  });
  assert.deepEqual(JSON.parse(eventJson(event)), {
    device: 'd1',
    partition: '3',
    sequence: 7,
    offset: '1000000000000007',
    enqueuedTime: '2026-05-01T12:00:00.000Z',
    properties: { room: 'attic', level: '2' },
    system: {
      messageId: 'm1',
      userId: 'alice',
      contentType: 'application/json',
      'iothub-enqueuedtime': '2026-05-01T12:00:00.000Z',
      'iothub-message-source': 'Telemetry',
    },
    bodyEncoding: 'json',
    body: { t: 21.5 },
  });
  assert.match(eventLine(plain, event, 4), /^\d\d:00:00\.000 {2}d1 {4}3:7 {2}room=attic level=2 {2}\{"t":21\.5\}$/);
  assert.throws(() => received({ message_annotations: {} }), /without a sequence number/);
});

test('an empty body, several data sections and an event without properties are shown too', () => {
  assert.match(
    eventLine(plain, received({ body: rhea.message.data_section(Buffer.alloc(0)) }), 2),
    /3:7 {2}\(no body\)$/,
  );
  const parts = rhea.message.data_sections([Buffer.from('ab'), Buffer.from('cd')]);
  assert.equal(received({ body: parts }).body.toString(), 'abcd');
});

test('a body is JSON, text or base64, and the bytes can be had back from it', () => {
  const shown = (text: string) => showBody(Buffer.from(text));
  assert.deepEqual(shown(' {"a":1}'), { encoding: 'json', value: { a: 1 } });
  assert.deepEqual(shown('21.5'), { encoding: 'json', value: 21.5 });
  assert.deepEqual(shown('true story'), { encoding: 'text', value: 'true story' });
  assert.deepEqual(shown(''), { encoding: 'text', value: '' });
  assert.deepEqual(showBody(Buffer.from([0xff, 0])), { encoding: 'base64', value: '/wA=' });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const { encoding, value } = showBody(Buffer.from(bytes));
      if (encoding === 'base64') assert.deepEqual(Buffer.from(value, 'base64'), Buffer.from(bytes));
      if (encoding === 'text') assert.deepEqual(Buffer.from(value), Buffer.from(bytes));
    }),
  );
});

test('long numbers in JSON keep their digits', () => {
  const text = '{"id":12345678901234567890,"t":0.1234567890123456789,"n":[1,2.5]}';
  const { value } = showBody(Buffer.from(text));
  assert.equal(JSON.stringify(value), text);
});
