/** Words of an adapter's process that no host of ours would say, and how the hub's end takes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { AdapterEnd } from '../../src/server/adapters/adapter-end.ts';
import { FrameReader, FrameWriter, frameKinds, readWord } from '../../src/server/adapters/frames.ts';
import { Proofs } from '../../src/server/adapters/proofs.ts';
import type { AdapterSettings } from '../../src/server/config/adapter-settings.ts';
import { type AmqpTestHub, openAmqpTestHub } from '../drivers/amqp-door.ts';
import { bodyOf, storedEvents } from '../drivers/http-device.ts';
import { until } from '../drivers/until.ts';

const settings: AdapterSettings = {
  ...{ adapter: 'line', settings: {}, run: 'process', vouchFor: ['d*'], certificatesOf: [], sharedKeysOf: [] },
  ...{ hubCertificate: false, memoryMiB: 64, messagesPerSecond: 1000 },
};

function adapterOf({ hub }: AmqpTestHub) {
  const heard: { readonly kind: string; readonly [name: string]: unknown }[] = [];
  const held: boolean[] = [];
  const reader = new FrameReader();
  const end = new AdapterEnd({
    ...{ hub, name: 'liar', messagesPerSecond: settings.messagesPerSecond, control: () => {} },
    proofs: new Proofs(hub, 'liar', settings, { count: 0, add: () => {} }),
    link: {
      write: (bytes) =>
        reader.push(bytes, (kind, all, start, to) => {
          if (kind === frameKinds.word) heard.push(readWord(all, start, to));
        }),
      waiting: () => 0,
      hold: (isHeld) => held.push(isHeld),
      broken: (reason) => heard.push({ kind: 'broken', reason }),
    },
  });
  const say = (...words: readonly object[]): void => {
    const writer = new FrameWriter();
    for (const word of words) writer.word(word);
    end.received(Buffer.from(writer.take()));
  };
  /** Messages of session 1, as the writer writes them. */
  const send = (write: (writer: FrameWriter) => void): void => {
    const writer = new FrameWriter();
    write(writer);
    end.received(Buffer.from(writer.take()));
  };
  const hears = (kind: string): Promise<void> =>
    until(`the adapter hears ${kind}`, () => heard.some((word) => word.kind === kind));
  return { end, heard, held, say, send, hears };
}

const connect = { kind: 'connect', s: 1, proof: { kind: 'vouched', device: 'd1' } };
const wants = { command: true, method: true, desired: true };
const connected = async ({ hub, owner }: AmqpTestHub): Promise<number> =>
  (await hub.registry.statistics(owner)).connectedDeviceCount;

test('a session that is closed while many questions of it wait is closed: the device has gone', async () => {
  await using open = await openAmqpTestHub({ partitions: 1 });
  await open.device('d1');
  const { end, say, hears, heard } = adapterOf(open);
  say({ ...connect, wants });
  await hears('opened');
  assert.equal(await connected(open), 1);
  const twins = Array.from({ length: limits.adapterQuestionsMax }, (_, r) => ({ kind: 'twin', s: 1, r }));
  say(...twins, { kind: 'close', s: 1, r: 1000 });
  await until('the close is answered', () => heard.some(({ kind, r }) => kind === 'reply' && r === 1000));
  assert.equal(heard.find(({ r }) => r === 1000)?.code, undefined);
  assert.equal(end.counts.sessions, 0);
  assert.equal(await connected(open), 0);
  end.close('hub-stopping');
});

test('a login that cannot be read leaves no device connected', async () => {
  await using open = await openAmqpTestHub({ partitions: 1 });
  await open.device('d1');
  const { end, say, hears } = adapterOf(open);
  say(connect);
  await hears('refused');
  assert.equal(await connected(open), 0);
  end.close('hub-stopping');
});

test('an adapter that talks without end is read at the rate of words', async () => {
  await using open = await openAmqpTestHub({ partitions: 1, clock: new VirtualClock() });
  const { end, say, held } = adapterOf(open);
  const word = { kind: 'log', level: 'info', text: 'x', facts: {} };
  const some = Array.from({ length: 1000 }, () => word);
  for (let said = 0; said <= 2 * limits.adapterWordsPerSecond && held.length === 0; said += 1000) say(...some);
  assert.equal(held[0], true);
  end.close('hub-stopping');
});

test('a head that comes again is the one that was put into its slot last', async () => {
  await using open = await openAmqpTestHub({ partitions: 1 });
  await open.device('d1');
  const { end, say, send, hears } = adapterOf(open);
  say({ ...connect, wants });
  await hears('opened');
  const head = (unit: string): Buffer => Buffer.from(JSON.stringify({ p: { unit } }));
  send((writer) => {
    writer.message(1, 1, head('C'), '1');
    writer.again(1, 1, '2');
    writer.message(1, 0, head('own'), '3');
    writer.message(1, 2, Buffer.alloc(0), '4');
    writer.again(1, 1, '5');
    writer.again(1, 2, '6');
    writer.message(1, 1, head('F'), '7');
    writer.again(1, 1, '8');
  });
  const stored = async () => storedEvents(open);
  await until('all of them are stored', async () => (await stored()).length === 8);
  const told = (await stored()).map((event) => [bodyOf(event), event.application_properties?.unit]);
  const units = ['C', 'C', 'own', undefined, 'C', undefined, 'F', 'F'];
  assert.deepEqual(
    told,
    units.map((unit, at) => [String(at + 1), unit]),
  );
  end.close('hub-stopping');
});

test('a slot that was not told, or that no session has, ends the adapter; a head that cannot be read refuses its messages', async () => {
  await using open = await openAmqpTestHub({ partitions: 1 });
  await open.device('d1');
  for (const lie of [
    (writer: FrameWriter) => writer.again(1, 1, 'x'),
    (writer: FrameWriter) => writer.again(1, 0, 'x'),
    (writer: FrameWriter) => writer.message(1, limits.adapterHeadsKeptMax + 1, Buffer.alloc(0), 'x'),
  ]) {
    const { end, say, send, hears } = adapterOf(open);
    say({ ...connect, wants });
    await hears('opened');
    send(lie);
    await hears('broken');
    end.close('hub-stopping');
  }
  const { end, say, send, hears, heard } = adapterOf(open);
  say({ ...connect, wants });
  await hears('opened');
  send((writer) => {
    writer.message(1, 1, Buffer.from('no head'), '1');
    writer.again(1, 1, '2');
  });
  await until('both are refused', () => heard.filter(({ kind }) => kind === 'refusedMessage').length === 2);
  assert.equal(
    heard.some(({ kind }) => kind === 'broken'),
    false,
  );
  end.close('hub-stopping');
});
