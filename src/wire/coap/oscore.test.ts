import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeDatagram, encodeDatagram } from './datagram.ts';
import { codes, empty, MalformedCoap, optionOf, options } from './messages.ts';
import {
  decodeOscoreOption,
  deriveKeys,
  encodeOscoreOption,
  isOuter,
  nonceOf,
  numberBytes,
  seal,
  unseal,
} from './oscore.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** RFC 8613, appendix C.1.1: the client of the test vectors. */
const client = deriveKeys({
  masterSecret: hex('0102030405060708090a0b0c0d0e0f10'),
  masterSalt: hex('9e7ca92223786340'),
  idContext: undefined,
  senderId: empty,
  recipientId: hex('01'),
});

test('keys of RFC 8613 C.1.1 and, with an ID context, C.3.1', () => {
  assert.equal(client.senderKey.toString('hex'), 'f0910ed7295e6ad4b54fc793154302ff');
  assert.equal(client.recipientKey.toString('hex'), 'ffb14e093c94c9cac9471648b4f98710');
  assert.equal(client.commonIv.toString('hex'), '4622d4dd6d944168eefb54987c');
  const withContext = deriveKeys({
    masterSecret: hex('0102030405060708090a0b0c0d0e0f10'),
    masterSalt: hex('9e7ca92223786340'),
    idContext: hex('37cbf3210017a2d3'),
    senderId: empty,
    recipientId: hex('01'),
  });
  assert.equal(withContext.senderKey.toString('hex'), 'af2a1300a5e95788b356336eeecd2b92');
  assert.equal(withContext.recipientKey.toString('hex'), 'e39a0c7c77b43f03b4b39ab9a268699f');
  assert.equal(withContext.commonIv.toString('hex'), '2ca58fb85ff1b81c0b7181b85e');
});

test('the request of C.4 is sealed and opened', () => {
  const plain = decodeDatagram(hex('44015d1f00003974396c6f63616c686f737483747631'));
  assert.ok(plain);
  const number = numberBytes(20);
  const request = { kid: client.senderId, number };
  const inner = { ...plain, options: plain.options.filter((option) => !isOuter(option)) };
  const sealed = seal(client.senderKey, nonceOf(client.commonIv, client.senderId, number), request, inner);
  const value = encodeOscoreOption({ number, kid: client.senderId, kidContext: undefined });
  const outer = [...plain.options.filter(isOuter), { number: options.oscore, value }];
  const bytes = encodeDatagram({ ...plain, code: codes.post, options: outer, payload: sealed });
  assert.equal(bytes.toString('hex'), '44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e');
  const opened = unseal(client.senderKey, nonceOf(client.commonIv, client.senderId, number), request, sealed);
  assert.deepEqual(opened, { code: codes.get, options: inner.options, payload: empty });
  sealed[3] ^= 1;
  assert.equal(unseal(client.senderKey, nonceOf(client.commonIv, client.senderId, number), request, sealed), undefined);
});

test('the responses of C.7 and C.8 are opened', () => {
  const request = { kid: client.senderId, number: numberBytes(20) };
  const without = decodeDatagram(hex('64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106'));
  const nonce = nonceOf(client.commonIv, client.senderId, request.number);
  assert.equal(unseal(client.recipientKey, nonce, request, without!.payload)?.payload.toString(), 'Hello World!');
  const withNumber = decodeDatagram(hex('64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e'));
  const { number } = decodeOscoreOption(optionOf(withNumber!, options.oscore)!);
  assert.deepEqual(number, hex('00'));
  const own = nonceOf(client.commonIv, client.recipientId, number!);
  assert.equal(unseal(client.recipientKey, own, request, withNumber!.payload)?.payload.toString(), 'Hello World!');
});

test('the option says number, kid context and kid; what is reserved or too long is refused', () => {
  for (const option of [
    { number: undefined, kidContext: undefined, kid: undefined },
    { number: hex('05'), kidContext: undefined, kid: hex('25') },
    { number: hex('0501020304'), kidContext: hex('44616c656b'), kid: empty },
    { number: hex('05'), kidContext: undefined, kid: undefined },
  ])
    assert.deepEqual(decodeOscoreOption(encodeOscoreOption(option)), option);
  for (const value of ['06', '07', '20', '80', '0100ff', '19', '1905', '190502ff', '080102030405060708'])
    assert.throws(() => decodeOscoreOption(hex(value)), MalformedCoap, value);
});
