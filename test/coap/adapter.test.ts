/** The adapter over UDP against a hub in memory, by a client that speaks the protocol's bytes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import coap from '../../src/adapters/coap/index.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { encodeDatagram, encodeEmpty } from '../../src/wire/coap/datagram.ts';
import {
  codes,
  codeText,
  optionOf,
  options,
  textsOf,
  types,
  uintOf,
  uintOption,
} from '../../src/wire/coap/messages.ts';
import { CoapClient, type Sending } from '../drivers/coap.ts';
import { until } from '../drivers/until.ts';

const hub = new FakeHub();
let adapter: RunningAdapter;
let port: number;

before(async () => {
  adapter = await runAdapter(coap, { udp: { port: 0 } }, hub);
  [port] = adapter.ports;
});
after(() => adapter.stop());

let devices = 0;
/** A device of its own with a client; the client is closed when the test ends. */
async function device(t: { after(end: () => void): void }): Promise<{ id: string; key: string; client: CoapClient }> {
  devices++;
  const id = `meter-${devices}`;
  const key = hub.addDevice(id);
  const client = await CoapClient.open(port, [`device=${id}`, `key=${key}`]);
  t.after(() => client.close());
  return { id, key, client };
}

const post = (payload: Buffer | string, more: Sending = {}): Sending => ({ code: codes.post, payload, ...more });

test('a confirmable POST is answered in its acknowledgement, and is in the hub', async (t) => {
  const { id, client } = await device(t);
  const answer = await client.request(
    'telemetry/hall/1',
    post('{"t":21}', { format: 50, query: ['unit=C', '$mid=m1'] }),
  );
  assert.equal(answer.type, types.acknowledgement);
  assert.equal(codeText(answer.code), '2.04');
  assert.deepEqual(hub.messages.find((message) => message.device === id)?.message, {
    body: Buffer.from('{"t":21}'),
    messageId: 'm1',
    properties: { path: 'hall/1', unit: 'C' },
    address: '/telemetry/hall/1',
    contentType: 'application/json',
    contentEncoding: 'utf-8',
  });
});

test('a duplicate of a request is answered alike, and is in the hub once', async (t) => {
  const { id, client } = await device(t);
  const message = client.message('telemetry', post('once'));
  for (let sent = 0; sent < 3; sent++) {
    client.send(encodeDatagram(message));
    await until('it has come', () => client.received.length === sent + 1);
  }
  assert.deepEqual(hub.textsOf(id), ['once']);
  assert.equal(new Set(client.received.map((answer) => encodeDatagram(answer).toString('hex'))).size, 1);
  // Two at once, before the first has been judged.
  const other = await device(t);
  const twice = other.client.message('telemetry', post('twice'));
  other.client.send(encodeDatagram(twice));
  other.client.send(encodeDatagram(twice));
  await other.client.answerTo(twice);
  await other.client.request('telemetry', post('after'));
  assert.deepEqual(hub.textsOf(other.id), ['twice', 'after']);
});

test('what is not confirmable is answered so, or not at all where the client wants no answer', async (t) => {
  const { id, client } = await device(t);
  const answer = await client.request('telemetry', post('non', { type: types.nonConfirmable }));
  assert.equal(answer.type, types.nonConfirmable);
  const silent = client.message(
    'telemetry',
    post('silent', { type: types.nonConfirmable, more: [uintOption(options.noResponse, 26)] }),
  );
  client.send(encodeDatagram(silent));
  await until('it has come', () => hub.textsOf(id).includes('silent'));
  await client.request('telemetry', post('end'));
  assert.ok(!client.received.some((message) => message.token.equals(silent.token)));
});

test('wrong credentials, none, and unknown devices look the same', async (t) => {
  const { id } = await device(t);
  for (const query of [[], [`device=${id}`], [`device=${id}`, 'key=AAAA'], ['device=nobody', 'key=AAAA']]) {
    const client = await CoapClient.open(port, query);
    t.after(() => client.close());
    assert.equal(codeText((await client.request('telemetry', post('no'))).code), '4.01');
  }
  assert.deepEqual(hub.textsOf(id), []);
});

test('pings, broken messages and unknown critical options are answered as RFC 7252 says', async (t) => {
  const { client } = await device(t);
  client.send(encodeEmpty(types.confirmable, 77));
  await client.until((message) => message.type === types.reset && message.messageId === 77);
  client.send(Buffer.from('4901004e010203040506070809', 'hex'));
  await client.until((message) => message.type === types.reset && message.messageId === 78);
  client.send(encodeDatagram({ ...client.message('x'), messageId: 79, code: codes.content }));
  await client.until((message) => message.type === types.reset && message.messageId === 79);
  assert.equal(codeText((await client.request('telemetry', post('x', { more: [uintOption(21, 1)] }))).code), '4.02');
  assert.equal(codeText((await client.request('telemetry', { code: 0x1f })).code), '4.05');
  assert.equal(codeText((await client.request('elsewhere')).code), '4.04');
});

test('a body in blocks is one message; what is too large is refused before it is kept', async (t) => {
  const { id, client } = await device(t);
  const body = Buffer.from('0123456789abcdef'.repeat(1000));
  assert.equal(codeText((await client.upload('telemetry', body, 6, { code: codes.post })).code), '2.04');
  assert.equal(
    codeText((await client.upload('telemetry', Buffer.from('short'), 0, { code: codes.post })).code),
    '2.04',
  );
  const texts = hub.textsOf(id);
  assert.deepEqual(texts.at(-1), 'short');
  assert.equal(texts[0], body.toString());
  const refused = await client.request(
    'telemetry',
    post(Buffer.alloc(16), {
      more: [{ number: options.block1, value: Buffer.of(0x08) }, uintOption(options.size1, 1 << 24)],
    }),
  );
  assert.equal(codeText(refused.code), '4.13');
  const middle = await client.request(
    'telemetry',
    post(Buffer.alloc(16), { more: [{ number: options.block1, value: Buffer.of(0x28) }] }),
  );
  assert.equal(codeText(middle.code), '4.08');
});

test('commands come to an observer in order; its acknowledgement completes them', async (t) => {
  const { id, client } = await device(t);
  const first = await client.request('commands', { observe: 0 });
  assert.equal(codeText(first.code), '2.05');
  assert.notEqual(uintOf(first, options.observe), undefined);
  const settled = [hub.sendCommand(id, 'one', { colour: 'red' }), hub.sendCommand(id, 'two')];
  assert.deepEqual(await Promise.all(settled), ['complete', 'complete']);
  const told = client.received.filter((message) => message.type === types.confirmable);
  assert.deepEqual(
    told.map((message) => message.payload.toString()),
    ['one', 'two'],
  );
  assert.deepEqual(textsOf(told[0], options.locationQuery), ['colour=red']);
  assert.ok(uintOf(told[1], options.observe)! > uintOf(told[0], options.observe)!);
});

test('an observer that settles by itself rejects a command, and completes one', async (t) => {
  const { id, client } = await device(t);
  await client.request('commands', { observe: 0, query: ['settle=told'] });
  for (const [outcome, sent] of [
    ['reject', '?'],
    ['complete', '!'],
  ] as const) {
    const settled = hub.sendCommand(id, sent);
    const told = await client.until((message) => message.payload.toString() === sent);
    const tag = optionOf(told, options.etag)!.toString('hex');
    const done = await client.request(`commands/${tag}`, { code: codes.post, query: [`outcome=${outcome}`] });
    assert.equal(codeText(done.code), '2.04');
    assert.equal(await settled, outcome);
    assert.equal(codeText((await client.request(`commands/${tag}`, { code: codes.delete })).code), '4.04');
  }
});

test('a device that does not observe asks for its command, and deletes it', async (t) => {
  const { id, client } = await device(t);
  const asked = client.request('commands');
  await until('it has come', () => hub.isConnected(id));
  const settled = hub.sendCommand(id, 'polled');
  const answer = await asked;
  assert.equal(answer.payload.toString(), 'polled');
  const again = await client.request('commands');
  assert.deepEqual(again.payload, answer.payload, 'it is held until it is settled');
  const tag = optionOf(answer, options.etag)!.toString('hex');
  assert.equal(codeText((await client.request(`commands/${tag}`, { code: codes.delete })).code), '2.02');
  assert.equal(await settled, 'complete');
});

test('a command longer than a block is complete when its last block was fetched', async (t) => {
  const { id, client } = await device(t);
  const text = 'x'.repeat(5000);
  await client.request('commands', { observe: 0 });
  const settled = hub.sendCommand(id, text);
  const first = await client.until((message) => message.type === types.confirmable);
  assert.equal(first.payload.length, 1024);
  assert.equal((await client.rest('commands', first)).toString(), text);
  assert.equal(await settled, 'complete');
});

test('an observer that refuses a command is one no more, and the command is abandoned', async (t) => {
  const { id, client } = await device(t);
  await client.request('commands', { observe: 0 });
  client.refuses = true;
  const settled = hub.sendCommand(id, 'no');
  await client.until((message) => message.type === types.confirmable);
  client.refuses = false;
  await client.request('commands', { observe: 0, query: ['again'] });
  assert.equal(await settled, 'complete');
});

test('a method is observed and answered', async (t) => {
  const { id, client } = await device(t);
  await client.request('methods', { observe: 0 });
  const answered = hub.callMethod(id, 'blink', { times: 3 });
  const told = await client.until((message) => message.type === types.confirmable);
  const call = JSON.parse(told.payload.toString());
  assert.deepEqual([call.name, call.payload], ['blink', { times: 3 }]);
  const done = await client.request(`methods/${call.id}`, post('{"done":true}', { query: ['status=202'] }));
  assert.equal(codeText(done.code), '2.04');
  assert.deepEqual(await answered, { status: 202, payload: { done: true } });
});

test('desired properties are read and observed, reported ones are patched', async (t) => {
  const { id, client } = await device(t);
  hub.setDesired(id, { colour: 'red' });
  const first = await client.request('twin/desired', { observe: 0 });
  assert.deepEqual(JSON.parse(first.payload.toString()), { colour: 'red', $version: 2 });
  hub.setDesired(id, { colour: 'blue' });
  const told = await client.until((message) => message.type === types.confirmable);
  assert.deepEqual(JSON.parse(told.payload.toString()), { colour: 'blue', $version: 3 });
  const patch = { code: codes.ipatch, format: 52, payload: '{"battery":80}' };
  assert.equal(codeText((await client.request('twin/reported', patch)).code), '2.04');
  assert.deepEqual(hub.reportedBy(id), { battery: 80 });
  assert.equal(codeText((await client.request('twin/reported', { ...patch, payload: '[1]' })).code), '4.00');
  const whole = JSON.parse((await client.request('twin')).payload.toString());
  assert.deepEqual(whole, { desired: { colour: 'blue', $version: 3 }, reported: { battery: 80 } });
});

test('a disabled device hears that its observation has ended, and is refused', async (t) => {
  const { id, client } = await device(t);
  await client.request('commands', { observe: 0 });
  hub.end(id, 'disabled');
  const end = await client.until((message) => message.type === types.confirmable);
  assert.equal(codeText(end.code), '4.01');
  assert.equal(codeText((await client.request('telemetry', post('x'))).code), '4.03');
});

test('a device that is slowed is told when to come again', async (t) => {
  const { id, client } = await device(t);
  await client.request('telemetry', post('first'));
  hub.slow(id, true);
  const answer = await client.request('telemetry', post('second'));
  assert.equal(codeText(answer.code), '5.03');
  assert.ok(uintOf(answer, options.maxAge)! > 0);
  hub.slow(id, false);
  assert.equal(codeText((await client.request('telemetry', post('third'))).code), '2.04');
});

test('an address that has proved nothing is sent at most three bytes for each of its own', async (t) => {
  const client = await CoapClient.open(port);
  t.after(() => client.close());
  for (const path of ['.well-known/core', 'telemetry', 'x', 'twin']) {
    const message = client.message(path, { token: Buffer.alloc(0) });
    const asked = encodeDatagram(message);
    client.send(asked);
    const answer = await client.until((one) => one.messageId === message.messageId);
    assert.ok(encodeDatagram(answer).length <= 3 * asked.length, path);
  }
  const first = await client.request('.well-known/core');
  const whole = (await client.rest('.well-known/core', first)).toString();
  assert.ok(whole.includes('</telemetry>') && whole.endsWith('ct="50 52"'), whole);
});
