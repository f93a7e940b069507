/** Bodies in blocks as nobody should send them, over UDP: out of order, repeated, of changing sizes, never ended, of another. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import coap from '../../src/adapters/coap/index.ts';
import { limits } from '../../src/base/limits.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { encodeBlock } from '../../src/wire/coap/blocks.ts';
import { encodeDatagram } from '../../src/wire/coap/datagram.ts';
import {
  type CoapMessage,
  type CoapOption,
  codes,
  codeText,
  optionOf,
  options,
  uintOption,
} from '../../src/wire/coap/messages.ts';
import { CoapClient } from '../drivers/coap.ts';

const hub = new FakeHub();
let adapter: RunningAdapter;
let client: CoapClient;

before(async () => {
  adapter = await runAdapter(coap, { udp: { port: 0, datagramsPerAddressPerSecondMax: 100_000 } }, hub);
  client = await CoapClient.open(adapter.ports[0]);
});
after(async () => {
  client.close();
  await adapter.stop();
});

let devices = 0;
function device(): { id: string; query: readonly string[] } {
  const id = `blocks-${++devices}`;
  return { id, query: [`device=${id}`, `key=${hub.addDevice(id)}`] };
}

interface Part {
  readonly number: number;
  readonly more?: boolean;
  readonly exponent?: number;
  readonly payload?: Buffer;
  readonly path?: string;
  readonly also?: readonly CoapOption[];
}

const sized = (letter: string, exponent = 0): Buffer => Buffer.alloc(2 ** (exponent + 4), letter);
const tag = (text: string): CoapOption => ({ number: options.requestTag, value: Buffer.from(text) });
const code = (answer: CoapMessage): string => codeText(answer.code);

/** Sends one block. @returns the code of the answer */
async function put(query: readonly string[], part: Part): Promise<string> {
  const {
    number,
    more = true,
    exponent = 0,
    payload = sized(String(number % 10), exponent),
    path = 'telemetry',
    also = [],
  } = part;
  const block = { number: options.block1, value: encodeBlock({ number, more, exponent }) };
  const isFile = path.startsWith('files');
  return code(
    await client.request(path, { code: isFile ? codes.put : codes.post, query, payload, more: [block, ...also] }),
  );
}

const get = (path: string, query: readonly string[], number: number, exponent = 0): Promise<CoapMessage> =>
  client.request(path, {
    query,
    more: [{ number: options.block2, value: encodeBlock({ number, more: false, exponent }) }],
  });

test('blocks out of order, and of a changed size that does not fit, are refused; what was taken stays', async () => {
  const { id, query } = device();
  assert.equal(await put(query, { number: 1 }), '4.08', 'without a beginning');
  assert.equal(await put(query, { number: 0 }), '2.31');
  assert.equal(await put(query, { number: 2 }), '4.08', 'one is missing');
  assert.equal(await put(query, { number: 1 }), '2.31');
  assert.equal(await put(query, { number: 1 }), '2.31', 'repeated');
  assert.equal(await put(query, { number: 1, exponent: 2 }), '4.08', 'would begin at byte 64');
  assert.equal(await put(query, { number: 1, exponent: 1 }), '2.31', 'begins at byte 32, as it must');
  assert.equal(
    await put(query, { number: 4, payload: sized('x').subarray(0, 5) }),
    '4.00',
    'too short for one with more behind it',
  );
  assert.equal(await put(query, { number: 4, payload: sized('x', 1) }), '4.00', 'too long');
  assert.equal(await put(query, { number: 4, more: false, payload: Buffer.from('end') }), '2.04');
  assert.equal(await put(query, { number: 4, more: false, payload: Buffer.from('end') }), '4.08', 'it is over');
  assert.deepEqual(hub.textsOf(id), [['0'.repeat(16), '1'.repeat(16), '1'.repeat(32), 'end'].join('')]);
});

test('bodies of one client that come interleaved are told apart by path and Request-Tag', async () => {
  const { id, query } = device();
  const bodies: Part[] = [
    { number: 0, also: [tag('a')] },
    { number: 0, also: [tag('b')] },
    { number: 0, path: 'telemetry/hall' },
  ];
  for (const [at, body] of bodies.entries())
    assert.equal(await put(query, { ...body, payload: sized('xyz'[at]) }), '2.31');
  for (const [at, body] of bodies.entries())
    assert.equal(await put(query, { ...body, number: 1, more: false, payload: Buffer.from('abc'[at]) }), '2.04');
  assert.deepEqual(
    hub.textsOf(id),
    ['x', 'y', 'z'].map((letter, at) => letter.repeat(16) + 'abc'[at]),
  );
});

test('Size1 that lies costs nothing, and one that is too large is refused at once', async () => {
  const { id, query } = device();
  const size = (bytes: number): CoapOption[] => [uintOption(options.size1, bytes)];
  assert.equal(await put(query, { number: 0, also: size(0xffff_ffff) }), '4.13');
  assert.equal(await put(query, { number: 1, more: false }), '4.08', 'nothing of it was kept');
  assert.equal(await put(query, { number: 0, also: size(1) }), '2.31');
  assert.equal(await put(query, { number: 1, more: false, also: size(2) }), '2.04');
  assert.equal(await put(query, { number: 0xfffff, exponent: 6, also: size(1) }), '4.13');
  assert.equal(hub.textsOf(id).length, 1);
});

test('a device that begins bodies without end has a few of them, and takes nothing from another', async () => {
  const [good, bad] = [device(), device()];
  assert.equal(await put(good.query, { number: 0 }), '2.31');
  for (let at = 0; at < 500; at++) assert.equal(await put(bad.query, { number: 0, also: [tag(String(at))] }), '2.31');
  assert.equal(await put(good.query, { number: 1, more: false }), '2.04');
  const goOn = (at: number): Promise<string> => put(bad.query, { number: 1, more: false, also: [tag(String(at))] });
  assert.equal(await goOn(499 - limits.coapUploadsPerDeviceMax), '4.08');
  assert.equal(await goOn(500 - limits.coapUploadsPerDeviceMax), '2.04');
});

test('blocks with no credentials, or with those of another, add nothing to a body, though they come from its sender’s address', async () => {
  const [good, bad] = [device(), device()];
  for (const path of ['telemetry', 'files/report']) {
    assert.equal(await put(good.query, { number: 0, path, payload: sized('g') }), '2.31');
    assert.equal(await put([], { number: 1, path, payload: sized('b') }), '4.01');
    assert.equal(await put(bad.query, { number: 1, path, payload: sized('b') }), '4.08');
    assert.equal(await put(bad.query, { number: 0, path, payload: sized('b') }), '2.31');
    assert.equal(await put(good.query, { number: 1, more: false, path, payload: Buffer.from('g') }), '2.04');
    assert.equal(await put(bad.query, { number: 1, more: false, path, payload: Buffer.from('b') }), '2.04');
  }
  assert.deepEqual([hub.textsOf(good.id), hub.textsOf(bad.id)], [['g'.repeat(17)], ['b'.repeat(17)]]);
  assert.equal(hub.fileOf(good.id, 'report')?.toString(), 'g'.repeat(17));
  assert.equal(hub.fileOf(bad.id, 'report')?.toString(), 'b'.repeat(17));
});

test('two clients that write one file at a time: each has its own, and the last one to end counts', async (t) => {
  const { id, query } = device();
  const other = await CoapClient.open(adapter.ports[0], query);
  t.after(() => other.close());
  assert.equal(await put(query, { number: 0, path: 'files/x', payload: sized('a') }), '2.31');
  assert.equal(code(await other.upload('files/x', Buffer.from('b'.repeat(40)), 0, { code: codes.put })), '2.04');
  assert.equal(hub.fileOf(id, 'x')?.toString(), 'b'.repeat(40));
  assert.equal(await put(query, { number: 1, more: false, path: 'files/x', payload: Buffer.from('a') }), '2.04');
  assert.equal(hub.fileOf(id, 'x')?.toString(), 'a'.repeat(17));
});

test('a body that changes while it is read says so by its ETag, whatever it is of', async (t) => {
  const { id, query } = device();
  const watcher = await CoapClient.open(adapter.ports[0], query);
  t.after(() => watcher.close());
  const report = async (letter: string): Promise<void> => {
    const payload = JSON.stringify({ text: letter.repeat(40) });
    assert.equal(code(await client.request('twin/reported', { code: codes.ipatch, query, payload })), '2.04');
  };
  hub.setDesired(id, { text: 'd'.repeat(40) });
  for (const path of ['twin/reported', 'twin', 'twin/desired']) {
    await report('a');
    const [first, last] = [await get(path, query, 0), await get(path, query, 1)];
    const etag = optionOf(first, options.etag)?.toString('hex');
    assert.notEqual(etag, undefined, path);
    assert.equal(optionOf(last, options.etag)?.toString('hex'), etag, path);
    await report('b');
    hub.setDesired(id, { text: path.padEnd(40) });
    assert.equal(
      optionOf(await get(path, query, 1), options.etag)?.toString('hex'),
      etag,
      'still the one that was begun',
    );
    await get(path, query, 0);
    assert.notEqual(optionOf(await get(path, query, 1), options.etag)?.toString('hex'), etag, `${path}: begun anew`);
  }
  assert.equal(code(await get('twin', query, 0xfffff, 6)), '4.02', 'there is no such block');
  assert.equal(
    code(
      await watcher.request('twin', {
        more: [{ number: options.block2, value: encodeBlock({ number: 1, more: false, exponent: 0 }) }],
      }),
    ),
    '4.08',
    'begun by another',
  );
});

test('bodies that are begun and never read: a device has a few, and each block may be of another size', async () => {
  const [good, bad] = [device(), device()];
  hub.setDesired(good.id, { text: 'g'.repeat(300) });
  hub.setDesired(bad.id, { text: 'b'.repeat(300) });
  const whole = (await get('twin/desired', good.query, 0, 6)).payload.toString();
  const first = await get('twin/desired', good.query, 0, 3);
  for (let at = 0; at < 500; at++) {
    const message = client.message('twin/desired', {
      query: [...bad.query, `n=${at}`],
      more: [{ number: options.block2, value: encodeBlock({ number: 0, more: false, exponent: 0 }) }],
    });
    client.send(encodeDatagram(message));
    await client.answerTo(message);
  }
  const second = await get('twin/desired', good.query, 8, 0);
  const third = await get('twin/desired', good.query, 9, 0);
  const rest = await get('twin/desired', good.query, 5, 1);
  const text = Buffer.concat([first, second, third, rest].map(({ payload }) => payload)).toString();
  assert.equal(text, whole.slice(0, text.length));
});
