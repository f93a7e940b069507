/** What bytes of AMQP may cost: memory in proportion to them, work in proportion to them, and little before a proof. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/limits.ts';
import { readAttach } from '../../src/protocols/amqp/engine/attach.ts';
import { KeptBytes, UnprovedBytes } from '../../src/protocols/amqp/engine/kept-bytes.ts';
import { FrameSplitter } from '../../src/wire/amqp/frames.ts';
import { readMessage } from '../../src/wire/amqp/message.ts';
import { emptyFrame, performative } from '../../src/wire/amqp/performatives.ts';
import type { AmqpValue } from '../../src/wire/amqp/values.ts';
import { RawAmqp } from '../drivers/amqp.ts';
import { attach, begin, flow, frame, HEADER, open, plain, SASL_HEADER, transfer } from '../drivers/amqp-bytes.ts';
import { type AmqpTestHub, HUB_NAME, openAmqpTestHub } from '../drivers/amqp-door.ts';
import { until } from '../drivers/until.ts';
import { emptyBinaries } from './amplification.ts';
import { cpuMsOf, growthOf, without } from './cost.ts';

/** An attach whose desired capabilities have `bytes` bytes. */
function fatAttach(channel: number, handle: number, bytes: number): Buffer {
  const source = Buffer.from([0x00, 0x53, 0x28, 0xc0, 7, 1, 0xa1, 4, ...Buffer.from('$cbs')]);
  const fields = ['x', handle, true, null, null, source, null, null, null, null, null, null, emptyBinaries(bytes)];
  return frame(channel, performative.attach, fields);
}

function conditionOf(fields: readonly AmqpValue[], at: number): unknown {
  return (fields[at] as { value?: readonly AmqpValue[] } | null)?.value?.[0];
}

/** A connection that speaks frame by frame; without a proof, or with one. */
async function connected(hub: AmqpTestHub, isProved: boolean, window = 1000): Promise<RawAmqp> {
  const raw = await RawAmqp.connect(hub.port);
  if (isProved) {
    raw.write(SASL_HEADER, plain('service', hub.key('service')));
    await raw.frame(performative.saslOutcome);
  }
  raw.write(HEADER, open(), begin(0, window));
  await raw.frame(performative.begin);
  return raw;
}

/** Bytes that the hub keeps of each byte that it was sent in attaches, while the connections live. */
async function keptPerByteOfAttaches(
  hub: AmqpTestHub,
  { isProved, frames, bytes }: { isProved: boolean; frames: number; bytes: number },
): Promise<number> {
  const connections = await Promise.all(Array.from({ length: 8 }, () => connected(hub, isProved)));
  let sent = 0;
  const [grown] = await growthOf(async () => {
    for (const raw of connections) {
      for (let handle = 0; handle < frames; handle++) {
        const wire = fatAttach(0, handle, bytes);
        sent += wire.length;
        raw.write(wire);
      }
      raw.write(flow(0, { echo: true }));
      await raw.frame(performative.flow).catch(() => {});
      raw.received = Buffer.alloc(0);
    }
  });
  for (const raw of connections) raw.socket.destroy();
  return grown / sent;
}

const KEPT_PER_BYTE_MAX = 6;
const attaches = [
  { isProved: false, frames: 3, bytes: 16_000, bounds: ['amqpAttachBytesMax', 'amqpFrameDecodedBytesMax'] },
  { isProved: false, frames: 7, bytes: 8_000, bounds: ['amqpFrameDecodedBytesMax'] },
  { isProved: true, frames: 20, bytes: 65_000, bounds: ['amqpAttachBytesMax', 'amqpFrameDecodedBytesMax'] },
] as const;

for (const { bounds, ...attack } of attaches) {
  const who = attack.isProved ? 'a device' : 'a stranger';
  test(`an attach of ${attack.bytes} bytes of ${who} keeps little, refused or not`, async () => {
    await using hub = await openAmqpTestHub();
    const kept = await keptPerByteOfAttaches(hub, attack);
    console.log(`${kept.toFixed(2)} bytes kept for each byte`);
    assert.ok(kept < KEPT_PER_BYTE_MAX, `${kept.toFixed(1)} bytes are kept for each byte`);
    const unbounded = await without([...bounds, 'amqpUnprovedKeptBytesMax', 'amqpKeptBytesMax'], () =>
      keptPerByteOfAttaches(hub, attack),
    );
    assert.ok(unbounded > KEPT_PER_BYTE_MAX, `without its bounds: ${unbounded.toFixed(1)}`);
  });
}

test('values are counted as memory before they are made', async () => {
  const read = (bytes: Buffer) => () => readMessage(bytes);
  const body = (value: Buffer) => Buffer.concat([Buffer.of(0x00, 0x53, 0x77), value]);
  const deep = Buffer.concat([...Array.from({ length: 40 }, () => Buffer.of(0x00)), Buffer.of(0x40)]);
  assert.throws(read(body(emptyBinaries(16_000))), { condition: 'amqp:resource-limit-exceeded' });
  assert.throws(read(body(deep)), { condition: 'amqp:decode-error' });
  const count = 1_000_000;
  const [grown] = await growthOf(() => assert.throws(read(body(emptyBinaries(count)))));
  assert.ok(grown < count, `${grown} bytes`);
  const decoded = await without(['amqpRequestDecodedBytesMax'], () => growthOf(read(body(emptyBinaries(count)))));
  assert.ok(decoded[0] > 50 * count, `without the bound: ${decoded[0]} bytes`);
});

test('what has come of an unfinished frame costs its bytes, however small its parts', async () => {
  const splitter = new FrameSplitter(limits.amqpFrameBytesMax);
  const wire = frame(0, performative.begin, [Buffer.concat([Buffer.of(0xb0, 0, 0, 0xe0, 0), Buffer.alloc(0xe000)])]);
  const bytes = Buffer.concat([HEADER, wire]).subarray(0, -1);
  const [grown] = await growthOf(() => {
    for (const byte of bytes) for (const _ of splitter.push(Buffer.of(byte)));
  });
  assert.ok(grown < 4 * bytes.length, `${grown} bytes for ${bytes.length}`);
  assert.equal([...splitter.push(Buffer.alloc(1))].length, 1);
});

test('a link does not keep the chunks in which its attach and others came', async () => {
  const splitter = new FrameSplitter(limits.amqpFrameBytesMax);
  for (const _ of splitter.push(HEADER));
  const count = 200;
  const [grown] = await growthOf(() =>
    Array.from({ length: count }, () => {
      const binary = Buffer.concat([Buffer.of(0xa0, 4), Buffer.alloc(4)]);
      const wire = frame(0, performative.attach, ['x', 0, true, ...Array(9).fill(null), binary, binary]);
      // What comes behind it in the same chunk.
      const chunk = Buffer.concat([wire, ...Array.from({ length: 8_000 }, () => emptyFrame)]);
      const [attached] = [...splitter.push(chunk)];
      assert.ok(attached.kind === 'frame');
      return readAttach(attached.fields, attached.raw);
    }),
  );
  assert.ok(grown / count < 2_000, `${(grown / count).toFixed(0)} bytes for each link`);
});

/** CPU milliseconds of `flows` flows of a peer that has so many links, and answers that wait. */
async function flowsCost(hub: AmqpTestHub, links: number, flows: number): Promise<number> {
  const raw = await connected(hub, true, 0);
  const node = `${HUB_NAME}/$management`;
  raw.write(attach(0, 's0', 8000, false, node), attach(0, 's1', 8001, false, node));
  for (let handle = 0; handle < links; handle++) raw.write(attach(0, `l${handle}`, handle, true, node));
  for (let handle = 0; handle < links; handle++) raw.write(flow(0, { handle, credit: 100, window: 0 }));
  for (let id = 0; id < limits.amqpAnswersMax; id++) raw.write(transfer(0, 8000 + (id % 2), requestOf(id), { id }));
  const echoed = async (): Promise<void> => {
    const count = (): number => raw.frames().filter(({ code }) => code === performative.flow).length;
    const before = count();
    raw.write(flow(0, { window: 0, echo: true }));
    await until('the echo of a flow', () => count() !== before);
    raw.received = Buffer.alloc(0);
  };
  await echoed();
  const burst = Buffer.concat(Array.from({ length: flows }, () => flow(0, { window: 0 })));
  const cost = await cpuMsOf(async () => {
    raw.write(burst);
    await echoed();
  });
  raw.socket.destroy();
  return cost;
}

/** An amqp-value body and nothing else. */
function requestOf(_id: number): Buffer {
  return Buffer.of(0x00, 0x53, 0x77, 0x40);
}

test('a flow costs the same however many links and waiting answers there are', async () => {
  await using hub = await openAmqpTestHub();
  const few = await flowsCost(hub, 1, 400);
  const many = await flowsCost(hub, 1000, 400);
  assert.ok(many < 5 * few + 20, `${few.toFixed(1)} ms with one link, ${many.toFixed(1)} ms with a thousand`);
});

test('a stranger has only so many links and sessions, and others go on', async () => {
  await using hub = await openAmqpTestHub();
  const greedy = await connected(hub, false);
  const modest = await connected(hub, false);
  // More than a connection may keep before it has proved anything.
  let handle = 0;
  for (let sent = 0; sent < 60_000; ) {
    const wire = attach(0, '', handle++, true, '$cbs');
    sent += wire.length;
    greedy.write(wire);
  }
  assert.equal(conditionOf(await greedy.frame(performative.close), 0), 'amqp:resource-limit-exceeded');
  const refused = greedy.frames().filter(({ code }) => code === performative.detach).length;
  const attached = greedy.frames().filter(({ code }) => code === performative.attach).length - refused;
  assert.ok(attached > 100 && attached * 1024 <= limits.amqpUnprovedKeptBytesMax, `${attached} links`);
  modest.write(attach(0, 'r', 0, true, '$cbs'), flow(0, { handle: 0, credit: 1, echo: true }));
  await modest.frame(performative.attach);
  greedy.socket.destroy();
  modest.socket.destroy();
});

test('all unproved connections together keep only so much, and honest ones go on', async () => {
  const all = new UnprovedBytes(100_000);
  const ended: string[] = [];
  const holders = ['honest', 'greedy', 'greediest'].map((name) => new KeptBytes(all, () => ended.push(name)));
  const [honest, greedy, greediest] = holders;
  honest.take(4_000);
  greedy.take(40_000);
  greediest.take(50_000);
  assert.deepEqual(ended, []);
  honest.take(10_000);
  assert.deepEqual(ended, ['greediest']);
  assert.equal(all.bytes, 54_000);
  greedy.prove();
  assert.equal(all.bytes, 14_000);
  greedy.take(1_000_000);
  honest.leave();
  assert.equal(all.bytes, 0);
  assert.deepEqual(ended, ['greediest']);
});

test('a device has only so many links on a connection: each that receives commands is a question to the store', async () => {
  await using hub = await openAmqpTestHub();
  const device = await hub.device('d1');
  const raw = await RawAmqp.connect(hub.port);
  raw.write(SASL_HEADER, plain(`d1@sas.${HUB_NAME}`, device.token()));
  await raw.frame(performative.saslOutcome);
  raw.write(HEADER, open(), begin(0));
  const address = device.address('messages/devicebound');
  for (let handle = 0; handle <= limits.amqpLinksPerDeviceMax; handle++) {
    raw.write(attach(0, `l${handle}`, handle, true, address));
  }
  assert.equal(conditionOf(await raw.frame(performative.detach), 2), 'amqp:resource-limit-exceeded');
  raw.write(
    frame(0, performative.detach, [0, true]),
    frame(0, performative.detach, [limits.amqpLinksPerDeviceMax, true]),
  );
  raw.received = Buffer.alloc(0);
  raw.write(attach(0, 'again', 0, true, address));
  assert.equal((await raw.frame(performative.attach))[0], 'again');
  raw.socket.destroy();
});

test('a gateway may begin a session for each of a thousand devices before its first token', async () => {
  await using hub = await openAmqpTestHub();
  const raw = await connected(hub, false);
  for (let channel = 1; channel < 1001; channel++) raw.write(begin(channel));
  raw.write(attach(0, 'answers', 0, true, '$cbs'), attach(0, 'requests', 1, false, '$cbs'));
  await raw.frame(performative.flow);
  const codes = raw.frames().map(({ code }) => code);
  assert.equal(codes.filter((code) => code === performative.begin).length, 1001);
  assert.equal(codes.filter((code) => code === performative.attach).length, 2);
  raw.socket.destroy();
});
