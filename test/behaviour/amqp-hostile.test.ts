import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { seededRandom } from '../../src/base/random.ts';
import { emptyFrame, performative } from '../../src/wire/amqp/performatives.ts';
import type { AmqpValue } from '../../src/wire/amqp/values.ts';
import { AmqpDriver, RawAmqp } from '../drivers/amqp.ts';
import {
  anonymous,
  attach,
  begin,
  flow,
  frame,
  HEADER,
  open,
  plain,
  SASL_HEADER,
  transfer,
} from '../drivers/amqp-bytes.ts';
import { type AmqpTestHub, HUB_NAME, numbers, openAmqpTestHub } from '../drivers/amqp-door.ts';
import { keptBytes } from '../hostile/cost.ts';

const partition = `${HUB_NAME}/ConsumerGroups/$Default/Partitions/0`;

/** Condition of the error that a close, end or detach carries. */
function conditionOf(fields: readonly AmqpValue[], at: number): unknown {
  const error = fields[at] as { value?: readonly AmqpValue[] } | null;
  return error?.value?.[0];
}

async function stillServes(hub: AmqpTestHub): Promise<void> {
  await hub.append(0, ['alive']);
  const client = await AmqpDriver.connect(hub.port, { username: 'service', password: hub.key('service') });
  const receiver = client.receive(partition);
  receiver.credit(1);
  await receiver.received(1);
  await client.close();
}

test('a first word that is not AMQP is answered with the protocol that is spoken, and the end', async () => {
  await using hub = await openAmqpTestHub();
  for (const word of [
    'GET / HTTP/1.1\r\n\r\n',
    'AMQP\x01\x01\x00\x00',
    'AMQP\x00\x00\x09\x01',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  ]) {
    const raw = await RawAmqp.connect(hub.port);
    raw.write(Buffer.from(word, 'latin1'));
    await raw.end();
    assert.deepEqual(raw.received, HEADER, JSON.stringify(word));
  }
  await stillServes(hub);
});

test('frames that are too large for their time are refused by their head', async () => {
  await using hub = await openAmqpTestHub();
  const head = (size: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(size);
    return bytes;
  };
  const early = await RawAmqp.connect(hub.port);
  early.write(HEADER, open(), head(limits.amqpFrameBytesMaxUnauthenticated + 1));
  assert.equal(conditionOf(await early.frame(performative.close), 0), 'amqp:framing-error');
  await early.end();
  const late = await RawAmqp.connect(hub.port);
  late.write(SASL_HEADER, plain('service', hub.key('service')));
  await late.frame(performative.saslOutcome);
  late.write(HEADER, open(), head(limits.amqpFrameBytesMax + 1));
  assert.equal(conditionOf(await late.frame(performative.close), 0), 'amqp:framing-error');
  await late.end();
  const tiny = await RawAmqp.connect(hub.port);
  tiny.write(HEADER, open(), head(7));
  assert.equal(conditionOf(await tiny.frame(performative.close), 0), 'amqp:framing-error');
  await stillServes(hub);
});

test('who has not authenticated may say only so much', async () => {
  await using hub = await openAmqpTestHub();
  const raw = await RawAmqp.connect(hub.port);
  raw.write(HEADER, open());
  await raw.frame(performative.open);
  const chatter = Buffer.concat(Array.from({ length: 1000 }, () => emptyFrame));
  for (let sent = 0; sent <= limits.amqpUnauthenticatedBytesMax; sent += chatter.length) raw.write(chatter);
  await raw.end();
  await stillServes(hub);
});

test('what breaks the protocol ends the connection with its condition', async () => {
  await using hub = await openAmqpTestHub();
  const deep = Buffer.concat([...Array.from({ length: 40 }, () => Buffer.of(0x00)), Buffer.of(0x40)]);
  const cases: [string, Buffer[], string][] = [
    ['a frame before open', [begin(0)], 'amqp:not-allowed'],
    ['open twice', [open(), open()], 'amqp:not-allowed'],
    ['no session', [open(), attach(0, 'l', 0, true, partition)], 'amqp:not-allowed'],
    ['a channel too high', [open(), begin(limits.amqpSessionsMax)], 'amqp:framing-error'],
    ['begin twice', [open(), begin(0), begin(0)], 'amqp:not-allowed'],
    ['a handle too high', [open(), begin(0), attach(0, 'l', limits.amqpLinksMax, true, '$cbs')], 'amqp:framing-error'],
    ['an unknown performative', [open(), begin(0), frame(0, 0x1f, [])], 'amqp:not-implemented'],
    ['nested too deeply', [open(), frame(0, performative.begin, [deep])], 'amqp:decode-error'],
    ['a SASL frame', [open(), frame(0, performative.begin, [], 1)], 'amqp:framing-error'],
    ['a window that is none', [open(), frame(0, performative.begin, [])], 'amqp:invalid-field'],
    [
      'a transfer on a link of the other direction',
      [open(), begin(0), attach(0, 'l', 0, true, '$cbs'), transfer(0, 0, Buffer.of(1))],
      'amqp:not-allowed',
    ],
  ];
  for (const [name, frames, condition] of cases) {
    const raw = await RawAmqp.connect(hub.port);
    raw.write(HEADER, ...frames);
    assert.equal(conditionOf(await raw.frame(performative.close), 0), condition, name);
    await raw.end();
  }
  await stillServes(hub);
});

test('a handle that is in use or unknown ends the session, the connection lives on', async () => {
  await using hub = await openAmqpTestHub();
  for (const [frames, condition] of [
    [[attach(0, 'a', 0, true, '$cbs'), attach(0, 'b', 0, true, '$cbs')], 'amqp:session:handle-in-use'],
    [[transfer(0, 9, Buffer.of(1))], 'amqp:session:unattached-handle'],
  ] as const) {
    const raw = await RawAmqp.connect(hub.port);
    raw.write(HEADER, open(), begin(0), ...frames);
    assert.equal(conditionOf(await raw.frame(performative.end), 0), condition);
    raw.write(frame(0, performative.end, []), begin(1), attach(1, 'c', 0, true, '$cbs'));
    const [name] = (await raw.frame(performative.attach)) as [string];
    assert.ok(name === 'a' || name === 'c');
    raw.write(frame(0, performative.close, []));
    await raw.frame(performative.close);
    await raw.end();
  }
});

test('a link without credit takes no message, a request takes only so many bytes', async () => {
  await using hub = await openAmqpTestHub();
  const raw = await RawAmqp.connect(hub.port);
  raw.write(HEADER, open(), begin(0), attach(0, 'l', 0, false, '$cbs'));
  await raw.frame(performative.flow);
  const part = Buffer.alloc(8_000, 1);
  raw.write(transfer(0, 0, part, { more: true }), transfer(0, 0, part, { more: true }), transfer(0, 0, part));
  assert.equal(conditionOf(await raw.frame(performative.detach), 2), 'amqp:link:message-size-exceeded');
  raw.socket.destroy();
});

const ACCEPTED = 0x24;

/** A message with this body, a data section. */
function telemetryOf(body: string): Buffer {
  return Buffer.concat([Buffer.of(0x00, 0x53, 0x75, 0xa0, body.length), Buffer.from(body)]);
}

/** An authenticated device, with a session, that speaks frame by frame. */
async function deviceWithSession(hub: AmqpTestHub): Promise<{ raw: RawAmqp; address: string }> {
  const device = await hub.device('d1');
  const raw = await RawAmqp.connect(hub.port);
  raw.write(SASL_HEADER, plain(`d1@sas.${HUB_NAME}`, device.token()));
  await raw.frame(performative.saslOutcome);
  raw.write(HEADER, open(), begin(0, 100_000));
  await raw.frame(performative.begin);
  return { raw, address: device.address('messages/events') };
}

test('messages that begin and never end are limited over all links of a connection', async () => {
  await using hub = await openAmqpTestHub();
  const { raw, address } = await deviceWithSession(hub);
  const part = Buffer.alloc(60_000, 1);
  const perLink = 4 * part.length;
  const links = Math.ceil(limits.amqpPartialBytesMax / perLink) + 1;
  for (let handle = 0; handle < links; handle++) raw.write(attach(0, `l${handle}`, handle, false, address));
  // Each link has credit.
  await raw.frame(performative.flow, links);
  for (let handle = 0; handle < links; handle++) {
    for (let sent = 0; sent + part.length <= perLink; sent += part.length) {
      raw.write(transfer(0, handle, part, { id: handle, more: true }));
    }
  }
  assert.equal(conditionOf(await raw.frame(performative.detach), 2), 'amqp:resource-limit-exceeded');
  // What ends gives its place back: the connection can go on.
  for (let handle = 0; handle < links; handle++) raw.write(frame(0, performative.detach, [handle, true]));
  raw.write(attach(0, 'again', 0, false, address));
  await raw.frame(performative.flow, links + 1);
  raw.write(transfer(0, 0, part, { more: true }), transfer(0, 0, part));
  await raw.frame(performative.disposition);
  raw.write(frame(0, performative.close, []));
  await raw.frame(performative.close);
  await stillServes(hub);
});

test('a message ahead of the credit of a link that still opens is refused, not lost without a word', async () => {
  await using hub = await openAmqpTestHub();
  const { raw, address } = await deviceWithSession(hub);
  // In one chunk: the device's place is not entered yet when the message comes.
  raw.write(Buffer.concat([attach(0, 'l', 0, false, address), transfer(0, 0, telemetryOf('ahead'))]));
  assert.equal(conditionOf(await raw.frame(performative.detach), 2), 'amqp:link:transfer-limit-exceeded');
  raw.write(frame(0, performative.detach, [0, true]), attach(0, 'l', 0, false, address));
  await raw.frame(performative.flow);
  raw.write(transfer(0, 0, telemetryOf('in time')));
  const outcome = (await raw.frame(performative.disposition))[4] as { readonly descriptor: unknown };
  assert.equal(Number(outcome.descriptor), ACCEPTED);
  raw.socket.destroy();
});

test('links that end while they open do not count among those of their device', async () => {
  await using hub = await openAmqpTestHub();
  const { raw, address } = await deviceWithSession(hub);
  raw.write(attach(0, 'stays', 0, false, address));
  await raw.frame(performative.flow);
  const ended = 2 * limits.amqpLinksPerDeviceMax;
  const pairs = Array.from({ length: ended }, () => [
    attach(0, 'goes', 1, false, address),
    frame(0, performative.detach, [1, true]),
  ]);
  raw.write(Buffer.concat(pairs.flat()));
  await raw.frame(performative.detach, ended);
  const flows = raw.frames().filter(({ code }) => code === performative.flow).length;
  raw.write(attach(0, 'comes', 1, false, address));
  await raw.frame(performative.flow, flows + 1);
  assert.equal(raw.frames().filter(({ code }) => code === performative.detach).length, ended, 'no link is refused');
  raw.socket.destroy();
});

test('small parts of a message do not keep the chunks that they came in', async () => {
  await using hub = await openAmqpTestHub();
  const { raw, address } = await deviceWithSession(hub);
  raw.write(attach(0, 'l', 0, false, address));
  await raw.frame(performative.flow);
  const before = keptBytes();
  const filler = Buffer.concat(Array.from({ length: 7_000 }, () => emptyFrame));
  for (let part = 0; part < 1_000; part++) {
    const wire = Buffer.concat([transfer(0, 0, Buffer.of(1), { more: true }), filler]);
    if (!raw.socket.write(wire)) await new Promise((resolve) => raw.socket.once('drain', resolve));
  }
  raw.write(flow(0, { echo: true }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const kept = keptBytes() - before;
  assert.ok(kept < 30_000_000, `${kept} bytes are kept for 1000 bytes of a message`);
  raw.socket.destroy();
});

test('an attach that says too much is refused, its link keeps nothing', async () => {
  await using hub = await openAmqpTestHub();
  const { raw, address } = await deviceWithSession(hub);
  raw.write(attach(0, 'n'.repeat(limits.amqpAttachBytesMax), 0, true, address));
  assert.equal(conditionOf(await raw.frame(performative.detach), 2), 'amqp:resource-limit-exceeded');
  raw.socket.destroy();
  await stillServes(hub);
});

test('answers that nobody takes are limited', async () => {
  await using hub = await openAmqpTestHub();
  const raw = await RawAmqp.connect(hub.port);
  raw.write(SASL_HEADER, plain('service', hub.key('service')));
  await raw.frame(performative.saslOutcome);
  raw.write(HEADER, open(), begin(0), attach(0, 'l', 0, false, '$cbs'));
  await raw.frame(performative.flow);
  for (let id = 0; id < limits.amqpAnswersMax + 20; id++) {
    // An amqp-value body and nothing else.
    raw.write(transfer(0, 0, Buffer.of(0x00, 0x53, 0x77, 0x40), { id }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(conditionOf(await raw.frame(performative.detach), 2), 'amqp:resource-limit-exceeded');
  raw.socket.destroy();
  await stillServes(hub);
});

test('a connection has only so many links', async () => {
  await using hub = await openAmqpTestHub();
  const raw = await RawAmqp.connect(hub.port);
  raw.write(SASL_HEADER, plain('service', hub.key('service')));
  await raw.frame(performative.saslOutcome);
  raw.write(HEADER, open(), begin(0), begin(1));
  for (let handle = 0; handle < limits.amqpLinksMax; handle++) raw.write(attach(0, `l${handle}`, handle, true, '$cbs'));
  raw.write(attach(1, 'one more', 0, true, '$cbs'));
  const fields = await raw.frame(performative.detach);
  assert.equal(conditionOf(fields, 2), 'amqp:resource-limit-exceeded');
  assert.equal(raw.frames().filter(({ code }) => code === performative.attach).length, limits.amqpLinksMax + 1);
  raw.socket.destroy();
});

test('a silent peer is ended, one that shows signs of life is kept and is shown some', async () => {
  const clock = new VirtualClock(Date.now());
  await using hub = await openAmqpTestHub({ clock });
  const connect = async (idleMs: number): Promise<RawAmqp> => {
    const raw = await RawAmqp.connect(hub.port);
    raw.write(SASL_HEADER, plain('service', hub.key('service')));
    await raw.frame(performative.saslOutcome);
    raw.write(HEADER, open(idleMs));
    await raw.frame(performative.open);
    return raw;
  };
  const [silent, alive] = [await connect(0), await connect(60_000)];
  const before = alive.received.length;
  for (let passed = 0; passed < limits.amqpIdleTimeoutMs; passed += 30_000) {
    clock.advance(30_000);
    alive.write(emptyFrame);
    while (alive.received.length - before < (passed / 30_000 + 1) * emptyFrame.length) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  assert.equal(conditionOf(await silent.frame(performative.close), 0), 'amqp:resource-limit-exceeded');
  assert.equal(
    alive.frames().some(({ code }) => code === performative.close),
    false,
  );
  alive.write(frame(0, performative.close, []));
  await alive.end();
  silent.socket.destroy();
});

test('a peer that asks and does not read the answers is not read either', async () => {
  await using hub = await openAmqpTestHub();
  const raw = await RawAmqp.connect(hub.port);
  raw.write(SASL_HEADER, plain('service', hub.key('service')));
  await raw.frame(performative.saslOutcome);
  raw.write(HEADER, open(), begin(0));
  await raw.frame(performative.begin);
  raw.socket.pause();
  const echoes = Buffer.concat(Array.from({ length: 2_000 }, () => flow(0, { echo: true })));
  let most = 0;
  for (let round = 0; round < 200; round++) {
    raw.write(echoes);
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, hub.unsentBytesMax());
  }
  assert.ok(raw.socket.writableLength > 0, 'the hub has stopped reading');
  assert.ok(most < limits.readerBytesMax, `${most} bytes wait in the hub`);
  raw.socket.destroy();
  await stillServes(hub);
});

test('no bytes, arbitrary or damaged, take the hub down', { timeout: 60_000 }, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  console.log(`seed ${seed} (set SEED to repeat)`);
  const random = seededRandom(seed);
  const below = (max: number): number => Math.floor(random.next() * max);
  await using hub = await openAmqpTestHub();
  await hub.append(0, numbers(50));
  const device = await hub.device('d1');
  const telemetry = Buffer.concat([Buffer.of(0x00, 0x53, 0x75, 0xa0, 2), Buffer.from('hi')]);
  const asDevice = [SASL_HEADER, plain(`d1@sas.${HUB_NAME}`, device.token()), HEADER, open(), begin(0)];
  const outcome = (writer: { raw(bytes: Uint8Array): void }): void => writer.raw(Buffer.of(0x00, 0x53, 0x24, 0x45));
  const proved = [SASL_HEADER, plain('service', hub.key('service')), HEADER, open(), begin(0)];
  const conversations = [
    [
      ...proved,
      attach(0, 'r', 0, true, partition),
      flow(0, { handle: 0, credit: 100 }),
      flow(0, { handle: 0, credit: 9, drain: true }),
    ],
    [
      ...proved,
      attach(0, 's', 0, false, '$management'),
      attach(0, 'r', 1, true, '$management'),
      transfer(0, 0, Buffer.alloc(40)),
    ],
    [
      SASL_HEADER,
      anonymous(),
      HEADER,
      open(),
      begin(0),
      attach(0, 's', 0, false, '$cbs'),
      transfer(0, 0, random.bytes(60)),
    ],
    [
      ...asDevice,
      attach(0, 's', 0, false, device.address('messages/events')),
      attach(0, 'r', 1, true, device.address('messages/devicebound')),
      flow(0, { handle: 1, credit: 10 }),
      transfer(0, 0, telemetry.subarray(0, 4), { more: true }),
      transfer(0, 0, telemetry.subarray(4)),
      frame(0, performative.disposition, [true, 0, 0, true, outcome]),
    ],
    [
      ...proved,
      attach(0, 's', 0, false, '/messages/devicebound'),
      attach(0, 'r', 1, true, '/messages/serviceBound/feedback'),
      flow(0, { handle: 1, credit: 10 }),
      transfer(0, 0, telemetry, { id: 0 }),
      transfer(0, 0, telemetry, { id: 1 }),
    ],
    [HEADER, open(), begin(0), begin(1), frame(1, performative.end, []), frame(0, performative.close, [])],
  ].map((parts) => Buffer.concat(parts));
  for (let round = 0; round < 400; round++) {
    const bytes = round % 8 === 0 ? random.bytes(below(3000)) : Buffer.from(conversations[below(conversations.length)]);
    const damages = round % 8 === 1 ? 0 : 1 + below(4);
    for (let damage = 0; damage < damages && bytes.length > 0; damage++) bytes[below(bytes.length)] = below(256);
    const raw = await RawAmqp.connect(hub.port);
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + below(bytes.length));
      raw.write(bytes.subarray(at, end));
      at = end;
      await new Promise((resolve) => setImmediate(resolve));
    }
    raw.socket.end();
    await raw.end();
  }
  await stillServes(hub);
  assert.deepEqual(
    hub.lines.filter((line) => JSON.parse(line).level === 'error'),
    [],
    'nothing failed inside the hub',
  );
});

test('links of a stranger that are refused do not fill the log', async () => {
  await using hub = await openAmqpTestHub();
  const raw = await RawAmqp.connect(hub.port);
  raw.write(HEADER, open(), begin(0));
  const count = 200;
  for (let handle = 0; handle < count; handle++) raw.write(attach(0, `l${handle}`, handle, true, partition));
  const detached = (): number => raw.frames().filter(({ code }) => code === performative.detach).length;
  for (const started = performance.now(); detached() < count; ) {
    assert.ok(performance.now() - started < 20_000, `${detached()} of ${count} are refused`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const lines = hub.lines.filter((line) => line.includes('AMQP peer refused'));
  assert.equal(lines.length, limits.amqpRefusalsLoggedMax);
  assert.match(lines.at(-1) ?? '', /are not logged/);
  raw.socket.destroy();
});

test('links for receipts of one policy ask the tables a few at a time, and each has its turn', async () => {
  await using hub = await openAmqpTestHub();
  const commands = hub.hub.commands as { takeReceipts: typeof hub.hub.commands.takeReceipts };
  let [now, most, asked] = [0, 0, 0];
  commands.takeReceipts = async () => {
    most = Math.max(most, ++now);
    asked++;
    // Longer than it takes to attach all of them.
    await new Promise((resolve) => setTimeout(resolve, 300));
    now--;
    return undefined;
  };
  const raw = await RawAmqp.connect(hub.port);
  raw.write(SASL_HEADER, plain('service', hub.key('service')));
  await raw.frame(performative.saslOutcome);
  raw.write(HEADER, open(), begin(0));
  const links = 3 * limits.amqpTakesPerPolicyMax;
  for (let handle = 0; handle < links; handle++) {
    raw.write(attach(0, `l${handle}`, handle, true, '/messages/serviceBound/feedback'), flow(0, { handle, credit: 1 }));
  }
  for (const started = performance.now(); asked < links; ) {
    assert.ok(performance.now() - started < 20_000, `${asked} have asked`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(most <= limits.amqpTakesPerPolicyMax, `${most} at a time`);
  raw.socket.destroy();
});
