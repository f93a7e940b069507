/** What strangers send to the CoAP ports: refused by its own kind of error, soon; what is read writes as what was read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { decodeBlock } from '../../src/wire/coap/blocks.ts';
import { decodeDatagram, encodeDatagram } from '../../src/wire/coap/datagram.ts';
import { type CoapMessage, MalformedCoap } from '../../src/wire/coap/messages.ts';
import { encodeStream, StreamReader } from '../../src/wire/coap/stream.ts';
import { type Chance, campaign } from './campaign.ts';
import { damagedBytes } from './mutate.ts';

const SECONDS = 1;

/** A message of any options, most of them such as clients send. */
function message(chance: Chance): CoapMessage {
  return {
    code: chance.once(4) ? chance.below(256) || 1 : chance.pick([1, 2, 3, 4, 0x45]),
    token: chance.bytes(chance.below(9)),
    options: Array.from({ length: chance.below(8) }, () => ({
      number: chance.once(4) ? chance.below(65_536) : chance.pick([3, 6, 8, 9, 11, 12, 15, 23, 27, 60, 292]),
      value: chance.bytes(chance.below(chance.once(6) ? limits.coapOptionBytesMax + 1 : 12)),
    })).sort((a, b) => a.number - b.number),
    payload: chance.bytes(chance.once(8) ? chance.below(900) : chance.below(40)),
  };
}

function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof MalformedCoap, String(error));
    return undefined;
  }
}

test('datagrams: what is whole comes back, what is damaged is refused or is another message', async () => {
  const { inputs } = await campaign('coap datagrams', SECONDS, (chance) => {
    const sent = { ...message(chance), type: chance.below(4), messageId: chance.below(65_536) };
    const bytes = encodeDatagram(sent);
    assert.deepEqual(decodeDatagram(bytes), sent);
    const read = refusedOr(() => decodeDatagram(damagedBytes(chance, bytes)));
    if (read === undefined) return;
    assert.ok(read.options.length <= limits.coapOptionsMax && read.token.length <= 8);
    for (const option of read.options) decodeBlock(option.value);
    assert.deepEqual(decodeDatagram(encodeDatagram(read)), read);
  });
  assert.ok(inputs > 0);
});

test('streams, cut anywhere', async () => {
  const { inputs } = await campaign('coap streams', SECONDS, (chance) => {
    const sent = Array.from({ length: 1 + chance.below(4) }, () => message(chance)).filter(
      (one) => encodeStream(one).length < limits.coapStreamMessageBytesMax,
    );
    const whole = Buffer.concat(sent.map(encodeStream));
    const read: CoapMessage[] = [];
    const isDamaged = chance.once(2);
    const bytes = isDamaged ? damagedBytes(chance, whole) : whole;
    const reader = new StreamReader();
    refusedOr(() => {
      for (let at = 0; at < bytes.length; ) {
        const next = at + 1 + chance.below(40);
        for (const one of reader.read(Buffer.from(bytes.subarray(at, next)))) read.push(one);
        at = next;
      }
    });
    if (!isDamaged) assert.deepEqual(read, sent);
  });
  assert.ok(inputs > 0);
});
