/** Echo, over the message layer and the server as they are, before a hub in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { decodeDatagram, encodeDatagram } from '../../wire/coap/datagram.ts';
import { type CoapDatagram, codes, codeText, optionOf, options, textOption, types } from '../../wire/coap/messages.ts';
import { MessageLayer } from './datagrams/messages.ts';
import { Echo } from './echo.ts';

function rig() {
  const clock = new VirtualClock();
  let judged = 0;
  const sent = new Map<string, Buffer[]>();
  const serve = new Echo(clock).before(async (_, caller) => {
    judged++;
    caller.proved({ kind: 'key', device: 'd', key: 'k' });
    return { code: codes.changed };
  });
  const pace = { clock, chance: () => 0, messageId: () => 1, unacknowledged: new Map() };
  const layer = new MessageLayer(serve, pace, () => {});
  let messageId = 0;
  return {
    clock,
    judged: () => judged,
    layer,
    async ask(from: string, echo?: Buffer, path = 'telemetry'): Promise<{ answer: CoapDatagram; ratio: number }> {
      const list = [textOption(options.uriPath, path), textOption(options.uriQuery, 'device=d')];
      if (echo !== undefined) list.push({ number: options.echo, value: echo });
      const type = types.confirmable;
      const payload = Buffer.from('1');
      const bytes = encodeDatagram({
        type,
        messageId: messageId++,
        code: codes.post,
        token: Buffer.of(1),
        options: list,
        payload,
      });
      const out = sent.get(from) ?? [];
      sent.set(from, out);
      const send = (answer: Buffer): void => void out.push(Buffer.from(answer));
      layer.receive({ key: from, peer: '192.0.2.1', via: 'udp', proof: undefined, send }, bytes);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      const last = out.at(-1) as Buffer;
      return { answer: decodeDatagram(last) as CoapDatagram, ratio: last.length / bytes.length };
    },
  };
}

test('nothing is judged or kept of an address before it has given back what was sent to it', async () => {
  const { ask, judged, layer, clock } = rig();
  for (let forged = 0; forged < 1000; forged++) {
    const { answer, ratio } = await ask(`udp ${forged}`);
    assert.equal(codeText(answer.code), '4.01');
    assert.ok(ratio <= 1.1, `${ratio} times as long`);
  }
  assert.deepEqual([judged(), layer.size], [0, 0]);
  const { answer } = await ask('udp mine');
  const echo = optionOf(answer, options.echo) as Buffer;
  // That of one address is none of another, and what is made up is none at all.
  assert.equal(codeText((await ask('udp other', echo)).answer.code), '4.01');
  const forged = Buffer.from(echo);
  forged[forged.length - 1] ^= 1;
  assert.equal(codeText((await ask('udp mine', forged)).answer.code), '4.01');
  assert.equal(judged(), 0);
  assert.equal(codeText((await ask('udp mine', echo)).answer.code), '2.04');
  // From here on the address is known.
  assert.equal(codeText((await ask('udp mine')).answer.code), '2.04');
  const late = optionOf((await ask('udp late')).answer, options.echo) as Buffer;
  clock.advance(limits.coapEchoMs + 1);
  assert.equal(codeText((await ask('udp late', late)).answer.code), '4.01');
  const short = await ask('udp late', undefined, '');
  assert.ok(short.ratio <= 3, `${short.ratio} times as long`);
});
