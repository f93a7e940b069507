import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { decodeBlock, encodeBlock } from './blocks.ts';
import { decodeDatagram, encodeDatagram, encodeEmpty } from './datagram.ts';
import {
  type CoapDatagram,
  type CoapOption,
  codes,
  codeText,
  empty,
  MalformedCoap,
  options,
  textOption,
  types,
  uintOption,
} from './messages.ts';
import { encodeStream, StreamReader } from './stream.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

test('a request of RFC 7252, figure 16, reads as what it says', () => {
  const message = decodeDatagram(hex('41 01 7d35 20 bb 74656d7065726174757265'));
  assert.deepEqual(message, {
    type: types.confirmable,
    code: codes.get,
    messageId: 0x7d35,
    token: hex('20'),
    options: [textOption(options.uriPath, 'temperature')],
    payload: empty,
  });
  assert.equal(encodeDatagram(message!).toString('hex'), '41017d3520bb74656d7065726174757265');
});

test('an answer of RFC 7252, figure 16, reads as what it says', () => {
  const message = decodeDatagram(hex('61 45 7d35 20 ff 32322e332043'));
  assert.equal(message?.type, types.acknowledgement);
  assert.equal(codeText(message.code), '2.05');
  assert.equal(message.payload.toString(), '22.3 C');
});

test('options of every width of number and length come back, in order of their numbers', () => {
  for (const number of [1, 12, 13, 268, 269, 270, 65_535])
    for (const length of [0, 1, 12, 13, 200, limits.coapOptionBytesMax]) {
      const sent: CoapDatagram = {
        type: types.nonConfirmable,
        code: codes.post,
        messageId: 7,
        token: hex('0102030405060708'),
        options: [
          { number, value: Buffer.alloc(length, 0xff) },
          { number: 1, value: hex('aa') },
        ],
        payload: Buffer.from('x'),
      };
      const read = decodeDatagram(encodeDatagram(sent));
      const inOrder: CoapOption[] = number === 1 ? [...sent.options] : [sent.options[1], sent.options[0]];
      assert.deepEqual(read, { ...sent, options: inOrder });
    }
});

test('what is no message is told from what is a broken one', () => {
  for (const ignored of ['', '40 01 00', '00 01 0001', '80 01 0001', 'c0 01 0001'])
    assert.equal(decodeDatagram(hex(ignored)), undefined, ignored);
  const broken = (bytes: string): number | undefined => {
    try {
      decodeDatagram(hex(bytes));
    } catch (error) {
      assert.ok(error instanceof MalformedCoap);
      return error.messageId;
    }
    return assert.fail(`${bytes} was read`);
  };
  assert.equal(broken('49 01 0102 010203040506070809'), 0x0102, 'a token of nine bytes');
  assert.equal(broken('42 01 0102 01'), 0x0102, 'ends within the token');
  assert.equal(broken('40 00 0102 01'), 0x0102, 'an empty message with bytes behind it');
  assert.equal(broken('40 01 0102 f0'), 0x0102, 'a reserved number');
  assert.equal(broken('40 01 0102 0f'), 0x0102, 'a reserved length');
  assert.equal(broken('40 01 0102 b5 61'), 0x0102, 'an option that runs over the end');
  assert.equal(broken('40 01 0102 e0 ff'), 0x0102, 'ends within an extended number');
  assert.equal(broken('40 01 0102 e0 ffff e0 ffff'), 0x0102, 'a number over 65535');
  assert.equal(broken('40 01 0102 ff'), 0x0102, 'a marker without a payload');
  assert.equal(broken(`40 01 0102 ${'00'.repeat(limits.coapOptionsMax + 1)}`), 0x0102, 'too many options');
  assert.equal(broken('50 01 0102 ff'), undefined, 'what is not confirmable is not answered');
});

test('an empty message is four bytes', () => {
  assert.equal(encodeEmpty(types.reset, 0x1234).toString('hex'), '70001234');
});

test('messages on a stream come back whole, wherever the stream is cut', () => {
  const sent = [0, 1, 12, 13, 268, 269, 300, 1100].map((length, at) => ({
    code: at === 0 ? codes.csm : codes.content,
    token: Buffer.alloc(at, at),
    options: [uintOption(options.observe, at)],
    payload: Buffer.alloc(length, at),
  }));
  const bytes = Buffer.concat(sent.map(encodeStream));
  for (const step of [1, 2, 3, 7, 64, 1000, bytes.length]) {
    const reader = new StreamReader();
    const read = [];
    for (let at = 0; at < bytes.length; at += step)
      for (const message of reader.read(Buffer.from(bytes.subarray(at, at + step)))) read.push(message);
    assert.deepEqual(read, sent);
  }
});

test('a stream that announces more than the hub reads is refused before it comes', () => {
  for (const head of ['f0 ffffffff 01', 'e0 0400 01', '09 01', '0f 01'])
    assert.throws(() => [...new StreamReader().read(hex(head))], MalformedCoap, head);
});

test('a block option says number, more and size', () => {
  for (const block of [
    { number: 0, more: false, exponent: 0 },
    { number: 15, more: true, exponent: 6 },
    { number: 0xfffff, more: true, exponent: 2 },
  ])
    assert.deepEqual(decodeBlock(encodeBlock(block)), block);
  assert.equal(decodeBlock(hex('07')), undefined, 'the reserved size');
  assert.equal(decodeBlock(hex('01000000')), undefined, 'four bytes');
});
