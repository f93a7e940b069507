import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { int, string } from './fields.ts';
import { FrameSplitter, type Input, PROTOCOL_AMQP, PROTOCOL_SASL, protocolHeader } from './frames.ts';
import {
  attachFrame,
  beginFrame,
  closeFrame,
  detachFrame,
  dispositionFrame,
  emptyFrame,
  emptySource,
  emptyTarget,
  endFrame,
  flowFrame,
  openFrame,
  saslMechanismsFrame,
  saslOutcomeFrame,
} from './performatives.ts';
import { TRANSFER_HEAD_BYTES, writeTransferHead } from './transfer.ts';
import { AmqpDecodeError } from './values.ts';

// The judge's own codec has no types and no public name.
const rheaFrames = createRequire(import.meta.url)('rhea/lib/frames.js');

const cause = { condition: 'amqp:not-found', description: 'gone', info: [['k', string('v')] as const] };

const transfer = Buffer.alloc(TRANSFER_HEAD_BYTES + 3, 0x61);
writeTransferHead(transfer, 0, 5, 6, 7, true, 3);

/** Every frame that the hub writes: name in the standard, number of its fields there. */
const written: readonly (readonly [name: string, fields: number, bytes: Buffer])[] = [
  ['open', 10, openFrame({ containerId: 'c', frameBytesMax: 65536, channelMax: 63, idleTimeoutMs: 120_000 })],
  [
    'begin',
    8,
    beginFrame(3, { remoteChannel: 3, nextOutgoingId: 0, incomingWindow: 9, outgoingWindow: 8, handleMax: 7 }),
  ],
  [
    'attach',
    14,
    attachFrame(3, {
      name: 'l',
      handle: 2,
      role: false,
      sndSettleMode: 1,
      rcvSettleMode: 0,
      source: emptySource,
      target: emptyTarget,
    }),
  ],
  ['flow', 11, flowFrame(3, { nextIncomingId: 1, incomingWindow: 2, nextOutgoingId: 3, outgoingWindow: 4 })],
  ['transfer', 11, transfer],
  ['disposition', 6, dispositionFrame(3, { role: true, first: 4, last: 4, state: { kind: 'rejected', error: cause } })],
  ['detach', 3, detachFrame(3, 1, true)],
  ['end', 1, endFrame(3)],
  ['close', 1, closeFrame({ ...cause, info: [['n', int(1)]] })],
  ['sasl_mechanisms', 1, saslMechanismsFrame(['PLAIN', 'ANONYMOUS'])],
  ['sasl_outcome', 2, saslOutcomeFrame(0)],
];

function split(splitter: FrameSplitter, bytes: Buffer): Input[] {
  return [...splitter.push(bytes)];
}

/** Inputs with their fields' bytes in place of the function that gives them. */
function comparable(inputs: readonly Input[]): readonly unknown[] {
  return inputs.map((input) =>
    input.kind === 'frame' ? { ...input, raw: input.fields.map((_, field) => input.raw(field)) } : input,
  );
}

test('every performative carries every field, trailing nulls included', () => {
  for (const [name, fields, bytes] of written) {
    const splitter = new FrameSplitter(1 << 16);
    const [, frame] = split(splitter, Buffer.concat([protocolHeader(PROTOCOL_AMQP), bytes]));
    assert.ok(frame.kind === 'frame');
    assert.equal(frame.fields.length, fields, name);
  }
});

test('another library reads the frames as what they are', () => {
  for (const [name, , bytes] of written) {
    const frame = rheaFrames.read_frame(bytes);
    const { symbolic } = frame.performative.constructor.descriptor;
    assert.equal(symbolic, `amqp:${name}:list`);
  }
  const frame = rheaFrames.read_frame(transfer);
  assert.equal(frame.channel, 5);
  assert.equal(frame.performative.handle, 6);
  assert.equal(frame.performative.delivery_id, 7);
  assert.equal(frame.performative.settled, true);
  assert.equal(frame.performative.more, true);
  assert.equal(frame.payload.toString(), 'aaa');
  const close = rheaFrames.read_frame(written[8][2]).performative;
  assert.equal(close.error.condition, 'amqp:not-found');
  assert.equal(close.error.description, 'gone');
});

const conversation = Buffer.concat([protocolHeader(PROTOCOL_SASL), ...written.map(([, , bytes]) => bytes), emptyFrame]);

test('a stream is cut into the same frames wherever its chunks end', () => {
  const whole = comparable(split(new FrameSplitter(1 << 16), conversation));
  assert.equal(whole.length, written.length + 2);
  for (let at = 0; at <= conversation.length; at++) {
    const splitter = new FrameSplitter(1 << 16);
    const parts = [...split(splitter, conversation.subarray(0, at)), ...split(splitter, conversation.subarray(at))];
    assert.deepEqual(comparable(parts), whole, `split at ${at}`);
  }
  const byByte = new FrameSplitter(1 << 16);
  assert.deepEqual(comparable([...conversation].flatMap((byte) => split(byByte, Buffer.of(byte)))), whole);
});

test('a frame over the limit is refused by its head alone', () => {
  const splitter = new FrameSplitter(512);
  split(splitter, protocolHeader(PROTOCOL_AMQP));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(513);
  assert.throws(() => split(splitter, head), { condition: 'amqp:framing-error' });
  const small = new FrameSplitter(512);
  assert.throws(
    () => split(small, Buffer.concat([protocolHeader(PROTOCOL_AMQP), Buffer.of(0, 0, 0, 7)])),
    AmqpDecodeError,
  );
});

test('what is not AMQP 1.0 is refused', () => {
  for (const text of ['GET / HTTP/1.1\r\n', 'AMQP\x00\x00\x09\x01', '\x16\x03\x01\x02\x00\x01\x00\x01']) {
    assert.throws(() => split(new FrameSplitter(512), Buffer.from(text, 'latin1')), {
      condition: 'amqp:framing-error',
    });
  }
});

test('arbitrary bytes behind the header give frames or a decode error', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (chunks) => {
      const splitter = new FrameSplitter(512);
      try {
        split(splitter, protocolHeader(PROTOCOL_AMQP));
        for (const chunk of chunks) split(splitter, Buffer.from(chunk));
      } catch (error) {
        assert.ok(error instanceof AmqpDecodeError);
      }
    }),
  );
});
