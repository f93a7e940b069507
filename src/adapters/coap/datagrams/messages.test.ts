/** The message layer by its bytes, on a clock that the test moves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VirtualClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { decodeDatagram, encodeDatagram, encodeEmpty } from '../../../wire/coap/datagram.ts';
import { type CoapDatagram, codes, empty, options, textOption, types } from '../../../wire/coap/messages.ts';
import type { Answer, Caller } from '../exchange.ts';
import type { Carrier } from './endpoint.ts';
import { MessageLayer } from './messages.ts';

const request = (messageId: number, given: Partial<CoapDatagram> = {}): CoapDatagram => ({
  type: types.confirmable,
  code: codes.post,
  messageId,
  token: Buffer.of(messageId & 0xff),
  options: [textOption(11, 'x')],
  payload: empty,
  ...given,
});

/** A layer with one peer, whose requests are answered as the test says. */
class Rig {
  readonly clock = new VirtualClock();
  readonly sent: CoapDatagram[] = [];
  readonly counts: string[] = [];
  served = 0;
  caller: Caller | undefined;
  answer: (caller: Caller) => Answer | Promise<Answer> = async (caller) => {
    caller.proved({ kind: 'key', device: 'd', key: 'k' });
    return { code: codes.changed };
  };
  readonly layer = new MessageLayer(
    (_, caller) => {
      this.served++;
      this.caller = caller;
      return this.answer(caller);
    },
    { clock: this.clock, chance: () => 0, messageId: () => 500, unacknowledged: new Map() },
    (what) => void this.counts.push(what),
  );

  carrier(key: string, peer = '192.0.2.1'): Carrier {
    const send = (bytes: Buffer): void => void this.sent.push(decodeDatagram(Buffer.from(bytes))!);
    return { key, peer, via: 'udp', proof: undefined, send };
  }

  async receive(message: CoapDatagram | Buffer, key = 'udp a', peer?: string): Promise<void> {
    this.layer.receive(this.carrier(key, peer), Buffer.isBuffer(message) ? message : encodeDatagram(message));
    await turn();
  }
}

test('a duplicate is answered from what is kept, as long as an exchange may last', async () => {
  const rig = new Rig();
  await rig.receive(request(1));
  await rig.receive(request(1));
  assert.equal(rig.served, 1);
  assert.deepEqual(rig.sent[0], rig.sent[1]);
  rig.clock.advance(limits.coapExchangeMs + 1);
  await rig.receive(request(1));
  assert.equal(rig.served, 2);
  // Of other endpoints the same ids are other messages.
  await rig.receive(request(1), 'udp b');
  assert.equal(rig.served, 3);
});

test('the answers of one endpoint that are kept are bounded', async () => {
  const rig = new Rig();
  for (let id = 0; id <= limits.coapSeenPerEndpointMax; id++) await rig.receive(request(id));
  await rig.receive(request(limits.coapSeenPerEndpointMax));
  assert.equal(rig.served, limits.coapSeenPerEndpointMax + 1);
  await rig.receive(request(0));
  assert.equal(rig.served, limits.coapSeenPerEndpointMax + 2);
});

test('an answer that takes long is separate: acknowledged first, then sent until it is acknowledged', async () => {
  const rig = new Rig();
  await rig.receive(request(100));
  rig.sent.length = 0;
  const { promise, resolve } = Promise.withResolvers<Answer>();
  rig.answer = () => promise;
  await rig.receive(request(1));
  assert.equal(rig.sent.length, 0);
  rig.clock.advance(limits.coapSeparateMs);
  assert.deepEqual(
    [rig.sent[0].type, rig.sent[0].code, rig.sent[0].messageId],
    [types.acknowledgement, codes.empty, 1],
  );
  await rig.receive(request(1));
  assert.equal(rig.sent.length, 2, 'the duplicate is acknowledged');
  resolve({ code: codes.changed });
  await turn();
  const answer = rig.sent[2];
  assert.deepEqual([answer.type, answer.code, answer.token], [types.confirmable, codes.changed, Buffer.of(1)]);
  rig.clock.advance(limits.coapAcknowledgeMs);
  assert.deepEqual(rig.sent[3], answer, 'again');
  await rig.receive(encodeEmpty(types.acknowledgement, answer.messageId));
  rig.clock.advance(limits.coapExchangeMs);
  assert.equal(rig.sent.length, 4);
});

test('an answer that takes long is sent once to an address that has proved nothing', async () => {
  const rig = new Rig();
  const { promise, resolve } = Promise.withResolvers<Answer>();
  rig.answer = () => promise;
  await rig.receive(request(1));
  rig.clock.advance(limits.coapSeparateMs);
  resolve({ code: codes.unauthorized });
  await turn();
  rig.clock.advance(limits.coapExchangeMs);
  assert.equal(rig.sent.map(({ type }) => type).join(), [types.acknowledgement, types.nonConfirmable].join());
});

test('a notification is sent five times, with growing pauses, before its peer counts as lost', async () => {
  const rig = new Rig();
  await rig.receive(request(1));
  rig.sent.length = 0;
  let delivery: string | undefined;
  void rig.caller!.notify(Buffer.of(9), { code: codes.content }).then((settled) => {
    delivery = settled;
  });
  const pauses: number[] = [];
  for (let last = 0, now = 0; delivery === undefined && now < 200_000; now += 500) {
    if (rig.sent.length > pauses.length + 1) {
      pauses.push(now - last);
      last = now;
    }
    rig.clock.advance(500);
    await turn();
  }
  assert.equal(delivery, 'lost');
  assert.equal(rig.sent.length, 1 + limits.coapRetransmissions);
  assert.deepEqual(pauses, [2000, 4000, 8000, 16_000]);
});

test('a reset refuses a notification; resets and acknowledgements that nobody waits for are ignored', async () => {
  const rig = new Rig();
  await rig.receive(encodeEmpty(types.reset, 1));
  await rig.receive(encodeEmpty(types.acknowledgement, 1));
  assert.equal(rig.sent.length, 0);
  await rig.receive(request(1));
  const delivery = rig.caller!.notify(Buffer.of(9), { code: codes.content });
  await rig.receive(encodeEmpty(types.reset, rig.sent.at(-1)!.messageId), 'udp b');
  await rig.receive(encodeEmpty(types.reset, rig.sent.at(-1)!.messageId));
  assert.equal(await delivery, 'refused');
});

test('an observer that was silent for so long that it is forgotten still acknowledges', async () => {
  const rig = new Rig();
  await rig.receive(request(1));
  const observer = rig.caller!;
  rig.clock.advance(limits.coapExchangeMs + 1);
  rig.layer.sweep();
  assert.equal(rig.layer.size, 0);
  // Another request makes the endpoint anew, whose ids are others.
  await rig.receive(request(2));
  const deliveries = [observer, rig.caller!].map((caller) => caller.notify(Buffer.of(9), { code: codes.content }));
  const told = rig.sent.slice(-2).map(({ messageId }) => messageId);
  assert.equal(new Set(told).size, 2);
  for (const messageId of told) await rig.receive(encodeEmpty(types.acknowledgement, messageId));
  assert.deepEqual(await Promise.all(deliveries), ['acknowledged', 'acknowledged']);
});

test('who has proved nothing is not remembered, and how many are judged at a time is bounded', async () => {
  const rig = new Rig();
  rig.answer = () => ({ code: codes.unauthorized });
  for (let port = 0; port < 100; port++) await rig.receive(request(1), `udp ${port}`);
  assert.equal(rig.layer.size, 0);
  const { promise, resolve } = Promise.withResolvers<Answer>();
  rig.answer = () => promise;
  const before = rig.served;
  for (let port = 0; port < limits.coapJudgedPlainMax + 50; port++)
    await rig.receive(request(1), `udp ${port}`, `192.0.2.${port % 8}`);
  assert.equal(rig.served - before, limits.coapJudgedPlainMax);
  assert.equal(rig.counts.filter((what) => what === 'dropped').length, 50);
  resolve({ code: codes.unauthorized });
  await turn();
  rig.answer = async () => ({ code: codes.unauthorized });
  await rig.receive(request(2), 'udp late');
  assert.equal(rig.served - before, limits.coapJudgedPlainMax + 1);
  assert.equal(rig.layer.size, 0);
});

test('requests without protection that are judged slowly leave room for those with it', async () => {
  const rig = new Rig();
  rig.answer = () => new Promise(() => {});
  for (let port = 0; port < limits.coapJudgedMax; port++)
    await rig.receive(request(1), `udp ${port}`, `192.0.2.${port % 64}`);
  assert.equal(rig.served, limits.coapJudgedPlainMax);
  const sealed = request(1, {
    options: [{ number: options.oscore, value: Buffer.of(0x09, 1) }],
    payload: Buffer.of(1),
  });
  await rig.receive(sealed, 'udp sealed', '198.51.100.1');
  assert.equal(rig.served, limits.coapJudgedPlainMax + 1);
});

test('one address cannot have all credentials of its own judged first', async () => {
  const rig = new Rig();
  const { promise, resolve } = Promise.withResolvers<Answer>();
  rig.answer = () => promise;
  // Of one IPv6 site, which has as many addresses as it likes.
  for (let port = 0; port < limits.coapJudgedPlainMax; port++)
    await rig.receive(request(1), `udp ${port}`, `2001:db8::${port.toString(16)}`);
  assert.equal(rig.served, limits.coapJudgedPerAddressMax);
  await rig.receive(request(1), 'udp other', '2001:db8:0:1::1');
  assert.equal(rig.served, limits.coapJudgedPerAddressMax + 1);
  resolve({ code: codes.unauthorized });
  await turn();
  await rig.receive(request(2), 'udp again', '2001:db8::1');
  assert.equal(rig.served, limits.coapJudgedPerAddressMax + 2);
});

test('endpoints are forgotten when they are silent, and when there are too many', async () => {
  const rig = new Rig();
  await rig.receive(request(1));
  assert.equal(rig.layer.size, 1);
  rig.clock.advance(limits.coapExchangeMs + 1);
  rig.layer.sweep();
  assert.equal(rig.layer.size, 0);
  for (let port = 0; port < limits.coapEndpointsMax + 5; port++)
    rig.layer.receive(rig.carrier(`udp ${port}`), encodeDatagram(request(1)));
  await turn();
  assert.equal(rig.layer.size <= limits.coapEndpointsMax, true);
});

test('an error to an unproved address is at most three times as long as what asked for it', async () => {
  const rig = new Rig();
  rig.answer = () => ({ code: codes.badRequest, payload: Buffer.alloc(200, 'x') });
  const small = request(1, { token: empty, options: [] });
  await rig.receive(small);
  assert.ok(encodeDatagram(rig.sent[0]).length <= 3 * encodeDatagram(small).length);
  assert.equal(rig.sent[0].code, codes.badRequest);
});

test('a device that comes from many ports forgets its own endpoints, and no others', async () => {
  const rig = new Rig();
  let device = 'quiet';
  rig.answer = async (caller) => {
    caller.proved({ kind: 'key', device, key: 'k' });
    return { code: codes.changed };
  };
  await rig.receive(request(1), 'udp quiet');
  device = 'loud';
  const { coapEndpointsPerDeviceMax: max } = limits;
  for (let port = 0; port < 3 * max; port++) await rig.receive(request(1), `udp ${port}`);
  assert.equal(rig.layer.size, 1 + max);
  const { served } = rig;
  await rig.receive(request(1), 'udp quiet');
  await rig.receive(request(1), `udp ${3 * max - 1}`);
  assert.equal(rig.served, served, 'both are known: their requests are duplicates');
  await rig.receive(request(1), 'udp 0');
  assert.equal(rig.served, served + 1, 'its oldest one is forgotten');
  rig.clock.advance(limits.coapExchangeMs + 1);
  rig.layer.sweep();
  assert.equal(rig.layer.size, 0);
});
