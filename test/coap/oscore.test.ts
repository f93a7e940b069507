/** OSCORE at the adapter: freshness, replays, restarts, keys that change. The vectors of RFC 8613: `src/wire/coap/oscore.test.ts`. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import coap from '../../src/adapters/coap/index.ts';
import { OscoreNumbers } from '../../src/adapters/coap/oscore/numbers.ts';
import { limits } from '../../src/base/limits.ts';
import { type Host, Refused } from '../../src/gateway/index.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { encodeDatagram } from '../../src/wire/coap/datagram.ts';
import { codes, codeText, optionOf, options, types, uintOf } from '../../src/wire/coap/messages.ts';
import { CoapClient } from '../drivers/coap.ts';
import { OscoreClient } from '../drivers/oscore-client.ts';
import { until } from '../drivers/until.ts';

const hub = new FakeHub();
let adapter: RunningAdapter;
before(async () => {
  adapter = await runAdapter(coap, { udp: { port: 0, plain: false } }, hub);
});
after(() => adapter.stop());

const secretOf = (key: string): Buffer =>
  createHmac('sha256', Buffer.from(key, 'base64')).update('mooring psk').digest();

let devices = 0;
async function device(t: {
  after(end: () => void): void;
}): Promise<{ id: string; key: string; client: CoapClient; oscore: OscoreClient }> {
  const id = `sealed-${++devices}`;
  const key = hub.addDevice(id);
  const client = await CoapClient.open(adapter.ports[0]);
  t.after(() => client.close());
  return { id, key, client, oscore: new OscoreClient(client, id, secretOf(key)) };
}

const post = { code: codes.post, payload: '21' };

test('the first request shows an Echo before it counts; then each is answered at once', async (t) => {
  const { id, client, oscore } = await device(t);
  const { outer, id: request } = oscore.sealed('telemetry', post);
  client.send(encodeDatagram(outer));
  const asked = await client.answerTo(outer);
  assert.equal(codeText(asked.code), '2.04', 'outside it looks like any other');
  assert.equal(codeText(oscore.opened(asked, request).code), '4.01');
  assert.deepEqual(hub.textsOf(id), []);
  assert.ok(encodeDatagram(asked).length <= 3 * encodeDatagram(outer).length);
  assert.equal(codeText((await oscore.request('telemetry', post)).answer.code), '2.04');
  const seen = client.received.length;
  assert.equal(codeText((await oscore.request('telemetry/x?y', post)).answer.code), '2.04');
  assert.equal(client.received.length, seen + 1);
  assert.deepEqual(hub.textsOf(id), ['21', '21']);
});

test('a request that is replayed from elsewhere, under another message id, is not carried out', async (t) => {
  const { id, client, oscore } = await device(t);
  const { outer } = await oscore.request('telemetry', post);
  const other = await CoapClient.open(adapter.ports[0]);
  t.after(() => other.close());
  for (const attacker of [client, other]) {
    const again = { ...outer, messageId: attacker.nextMessageId(), token: attacker.nextToken() };
    attacker.send(encodeDatagram(again));
    const refused = await attacker.answerTo(again);
    assert.equal(codeText(refused.code), '4.01');
    assert.equal(optionOf(refused, options.oscore), undefined);
  }
  assert.deepEqual(hub.textsOf(id), ['21']);
});

test('requests that overtake each other within the window count, each once', async (t) => {
  const { id, client, oscore } = await device(t);
  await oscore.request('telemetry', post);
  const waiting = Array.from({ length: limits.coapOscoreWindow }, (_, at) =>
    oscore.sealed('telemetry', { ...post, payload: `n${at}` }),
  );
  for (const { outer, id: request } of waiting.toReversed()) {
    client.send(encodeDatagram(outer));
    assert.equal(codeText(oscore.opened(await client.answerTo(outer), request).code), '2.04');
  }
  assert.equal(hub.textsOf(id).length, 1 + waiting.length);
});

test('broken seals, other kids, unknown devices and wrong options are refused without a seal', async (t) => {
  const { id, client, oscore } = await device(t);
  await oscore.request('telemetry', post);
  const refused = async (change: (value: Buffer, payload: Buffer) => [Buffer, Buffer]): Promise<string> => {
    const { outer } = oscore.sealed('telemetry', post);
    const [value, payload] = change(Buffer.from(outer.options[0].value), Buffer.from(outer.payload));
    const sent = { ...outer, options: [{ number: options.oscore, value }], payload };
    client.send(encodeDatagram(sent));
    const answer = await client.answerTo(sent);
    assert.equal(optionOf(answer, options.oscore), undefined);
    return codeText(answer.code);
  };
  assert.equal(await refused((value, payload) => [value, payload.fill(payload[0] ^ 1, 0, 1)]), '4.00');
  assert.equal(await refused((value, payload) => [Buffer.concat([value, Buffer.of(1)]), payload]), '4.01', 'kid 01');
  assert.equal(
    await refused((value, payload) => [
      Buffer.from(value.toString('latin1').replace('sealed', 'nobody'), 'latin1'),
      payload,
    ]),
    '4.01',
  );
  assert.equal(await refused((value, payload) => [value.fill(0xff, 0, 1), payload]), '4.02');
  assert.equal(await refused((value, payload) => [value.subarray(0, 2), payload]), '4.02');
  assert.deepEqual(hub.textsOf(id), ['21']);
  const plain = await client.request('telemetry', { ...post, query: [`device=${id}`, 'key=x'] });
  assert.equal(codeText(plain.code), '4.01');
});

test('commands come under numbers of the adapter, each of its own', async (t) => {
  const { id, client, oscore } = await device(t);
  const { id: request, answer } = await oscore.request('commands', { observe: 0 });
  assert.deepEqual(optionOf(answer, options.observe), Buffer.alloc(0));
  const settled = [hub.sendCommand(id, 'one'), hub.sendCommand(id, 'two')];
  assert.deepEqual(await Promise.all(settled), ['complete', 'complete']);
  const told = client.received.filter((message) => message.type === types.confirmable);
  assert.deepEqual(
    told.map((message) => oscore.opened(message, request).payload.toString()),
    ['one', 'two'],
  );
  const numbers = told.map((message) => optionOf(message, options.oscore)!.toString('hex'));
  assert.equal(new Set(numbers).size, 2);
  // What it tells is not to be read, nor of which resource.
  assert.ok(told.every((message) => !encodeDatagram(message).includes('one') && codeText(message.code) === '2.05'));
});

test('a recorded request is not carried out by an adapter that has started anew', async (t) => {
  const own = new FakeHub();
  const key = own.addDevice('d');
  const first = await runAdapter(coap, { udp: { port: 0 } }, own);
  const client = await CoapClient.open(first.ports[0]);
  t.after(() => client.close());
  const { outer } = await new OscoreClient(client, 'd', secretOf(key)).request('telemetry', post);
  await first.stop();
  const second = await runAdapter(coap, { udp: { port: 0 } }, own);
  t.after(() => second.stop());
  const other = await CoapClient.open(second.ports[0]);
  t.after(() => other.close());
  other.send(encodeDatagram(outer));
  await other.answerTo(outer);
  assert.deepEqual(own.textsOf('d'), ['21']);
});

test('with a new key of the device the context of the old one opens nothing', async (t) => {
  const { id, client, oscore } = await device(t);
  await oscore.request('telemetry', post);
  hub.end(id, 'credentials');
  const key = hub.addDevice(id);
  const { outer } = oscore.sealed('telemetry', post);
  client.send(encodeDatagram(outer));
  assert.equal(codeText((await client.answerTo(outer)).code), '4.00');
  const renewed = new OscoreClient(client, id, secretOf(key));
  assert.equal(codeText((await renewed.request('telemetry', post)).answer.code), '2.04');
});

test('a new key of a device that was away in the meantime counts within a second', async (t) => {
  const { id, client, oscore } = await device(t);
  await oscore.request('telemetry', post);
  hub.end(id, 'idle');
  const key = hub.addDevice(id);
  const renewed = new OscoreClient(client, id, secretOf(key));
  await until('it is taken', async () => {
    const answer = await renewed.request('telemetry', post).catch(() => undefined);
    return answer?.answer.code === codes.changed;
  });
  const { outer } = oscore.sealed('telemetry', post);
  client.send(encodeDatagram(outer));
  assert.equal(optionOf(await client.answerTo(outer), options.oscore), undefined, 'the old one opens nothing');
});

test('a hub that cannot be asked for the key now is no wrong key: the device is told when to come again', async (t) => {
  const own = new FakeHub();
  const secret = secretOf(own.addDevice('d'));
  const { sharedKey } = own;
  own.sharedKey = () => {
    throw new Refused('unreachable', 'away', 7);
  };
  const running = await runAdapter(coap, { udp: { port: 0 } }, own);
  t.after(() => running.stop());
  const client = await CoapClient.open(running.ports[0]);
  t.after(() => client.close());
  const oscore = new OscoreClient(client, 'd', secret);
  const { outer } = oscore.sealed('telemetry', post);
  client.send(encodeDatagram(outer));
  const told = await client.answerTo(outer);
  assert.deepEqual([codeText(told.code), uintOf(told, options.maxAge)], ['5.03', 7]);
  own.sharedKey = sharedKey;
  assert.equal(codeText((await oscore.request('telemetry', post)).answer.code), '2.04');
});

test('numbers of the adapter go on behind those that were reserved, also after a crash', async () => {
  const facts = new Map<string, unknown>();
  let isFailing = false;
  const host = {
    log: { error: () => {} },
    memory: {
      get: async (key: string) => facts.get(key),
      set: async (key: string, value: unknown) => {
        if (isFailing) throw new Error('the disk is full');
        facts.set(key, value);
      },
    },
  } as unknown as Host;
  const given: number[] = [];
  for (let run = 0; run < 3; run++) {
    const numbers = new OscoreNumbers(host);
    await numbers.open();
    for (let count = 0; count < limits.coapOscoreNumbersReserved * 1.3; count++) {
      const number = numbers.take();
      if (number !== undefined) given.push(number);
      if (count % 500 === 0) await new Promise(setImmediate);
    }
  }
  assert.equal(new Set(given).size, given.length);
  assert.deepEqual(
    given,
    given.toSorted((a, b) => a - b),
  );
  const numbers = new OscoreNumbers(host);
  await numbers.open();
  isFailing = true;
  let taken = 0;
  while (numbers.take() !== undefined) taken++;
  assert.equal(taken, limits.coapOscoreNumbersReserved, 'what is not reserved is not given');
});
