/** What the socket form of a link has beside the contract in `calls.test.ts`: its bytes, and peers that break it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { seededRandom } from '../../base/random.ts';
import type { HubError } from '../../core/errors.ts';
import { type LinkForms, openSocketLink } from './socket-link.ts';

/** A link, and the other end of its stream. */
function linkTo() {
  const [own, peer] = duplexPair();
  const ended = Promise.withResolvers<string | undefined>();
  const link = openSocketLink(own, ended.resolve);
  peer.on('error', () => {});
  return { link, peer, ended: ended.promise };
}

async function greetingOf(): Promise<Buffer> {
  const { peer } = linkTo();
  const [greeting] = (await once(peer, 'data')) as [Buffer];
  peer.destroy();
  return greeting;
}

function headOf(length: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);
  return head;
}

test('a peer of another form is given up, and what waits is refused', async () => {
  const { link, peer, ended } = linkTo();
  const remote = link.remote<{ never(): Promise<void> }>('service', { never: true });
  const waiting = remote.never();
  peer.write('mooring-link 998-999\n'.padEnd(24));
  await assert.rejects(waiting, { code: 'ServiceUnavailable' });
  assert.match((await ended) ?? '', /another form/);
  assert.equal(link.isOpen, false);
});

test('two sides talk where there is a form that both speak', async () => {
  const talk = async (one: LinkForms, other: LinkForms): Promise<string> => {
    const [own, peer] = duplexPair();
    const [here, there] = [openSocketLink(own, undefined, one), openSocketLink(peer, undefined, other)];
    there.serve('echo', { back: async (text: string) => text });
    const echo = here.remote<{ back(text: string): Promise<string> }>('echo', { back: true });
    return echo.back('heard').catch((error: HubError) => error.code);
  };
  const [one, both, two] = [
    { oldest: 1, newest: 1 },
    { oldest: 1, newest: 2 },
    { oldest: 2, newest: 2 },
  ];
  assert.equal(await talk(one, both), 'heard');
  assert.equal(await talk(both, one), 'heard');
  assert.equal(await talk(both, two), 'heard');
  assert.equal(await talk(one, two), 'ServiceUnavailable');
  for (const greeting of ['mooring-link 1\n', 'mooring-link 1-x\n', 'mooring-kink 1-1\n', '1-1\n']) {
    const { peer, ended } = linkTo();
    peer.write(greeting.padEnd(24));
    assert.match((await ended) ?? '', /another form/, greeting);
  }
});

test('a frame over the bound is given up by its length, before its bytes come', async () => {
  const greeting = await greetingOf();
  for (const length of [0, limits.memberFrameBytesMax + 1, 2 ** 32 - 1]) {
    const { peer, ended } = linkTo();
    peer.write(Buffer.concat([greeting, headOf(length)]));
    assert.match((await ended) ?? '', /^a frame of/);
  }
});

test('a packet over the bound is refused here, and the link goes on', async () => {
  const [one, other] = duplexPair();
  const [here, there] = [openSocketLink(one), openSocketLink(other)];
  there.serve('echo', { size: async (bytes: Buffer) => bytes.length });
  const echo = here.remote<{ size(bytes: Buffer): Promise<number> }>('echo', { size: true });
  await assert.rejects(echo.size(Buffer.alloc(limits.memberFrameBytesMax)), /a frame of/);
  assert.equal(await echo.size(Buffer.alloc(1000)), 1000);
  one.destroy();
});

test('a peer that does not read is given up when too much waits for it', async () => {
  const { link, ended } = linkTo();
  const part = Buffer.alloc(limits.memberFrameBytesMax / 2);
  for (let bytes = 0; bytes <= limits.memberUnsentBytesMax + 2 * part.length; bytes += part.length)
    link.tell('x', part);
  assert.equal(await ended, 'the peer does not read');
});

test('frames arrive whole however the bytes are cut', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const [own, wire] = duplexPair();
  const [cut, peer] = duplexPair();
  const [here, there] = [openSocketLink(own), openSocketLink(peer)];
  wire.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      const end = at + 1 + Math.floor(random.next() * (random.next() < 0.5 ? 7 : 20_000));
      cut.write(chunk.subarray(at, end));
      at = end;
    }
  });
  const notes = 200;
  const seen: number[] = [];
  const all = new Promise<void>((resolve) => {
    there.on('note', ({ n, bytes }: { n: number; bytes: Buffer }) => {
      assert.ok(bytes.every((byte) => byte === n % 256));
      if (seen.push(n) === notes) resolve();
    });
  });
  for (let n = 0; n < notes; n++) here.tell('note', { n, bytes: Buffer.alloc(Math.floor(random.next() * 5000), n) });
  await all;
  assert.deepEqual(seen, [...Array(notes).keys()]);
  own.destroy();
  peer.destroy();
});

test('arbitrary bytes behind the greeting end the link and nothing else', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const greeting = await greetingOf();
  for (let round = 0; round < 200; round++) {
    const { link, peer, ended } = linkTo();
    const body = random.bytes(1 + Math.floor(random.next() * 60));
    // V8's own beginning in half of them, so that its reader gets further.
    if (random.next() < 0.5) Buffer.from([0xff, 0x0f, 0x6f, 0x22]).copy(body);
    peer.write(Buffer.concat([greeting, headOf(body.length), body]));
    peer.end();
    await ended;
    assert.equal(link.isOpen, false);
  }
});
