import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { afterEach, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';
import { openThreadLink, type ThreadLink } from './calls.ts';
import { openSocketLink } from './socket-link.ts';

interface Greeter {
  greet(name: string, bytes: Uint8Array): Promise<{ readonly text: string; readonly bytes: Uint8Array }>;
  refuse(): Promise<void>;
  fail(): Promise<void>;
  never(): Promise<void>;
  wait(signal: AbortSignal): Promise<string>;
}

/** Both forms of a link; each keeps the same contract. */
const forms = { 'over a MessagePort': overPort, 'over a socket': overSocket };

const open: { close(): void }[] = [];

function overPort(): readonly [ThreadLink, ThreadLink] {
  const { port1, port2 } = new MessageChannel();
  open.push(port1);
  return [openThreadLink(port1), openThreadLink(port2)];
}

function overSocket(): readonly [ThreadLink, ThreadLink] {
  const [one, other] = duplexPair();
  open.push({ close: () => one.destroy() });
  return [openSocketLink(one), openSocketLink(other)];
}

function pair(links: () => readonly [ThreadLink, ThreadLink]) {
  const [here, there] = links();
  /** Why each wait ended there. */
  const ended: unknown[] = [];
  there.serve('greeter', {
    greet: async (name: string, bytes: Uint8Array) => ({ text: `hello ${name}`, bytes }),
    refuse: async () => {
      const limit = { name: 'n', scope: 'device d1', current: 2, max: 1 };
      throw new HubError('ThrottlingException', 'slow down', { reason: 'why', limit });
    },
    fail: async () => {
      throw new TypeError('a bug');
    },
    never: () => new Promise<void>(() => {}),
    wait: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(gaveUp(signal)))),
  } satisfies Greeter);
  const gaveUp = (signal: AbortSignal): unknown => {
    ended.push(signal.reason);
    return signal.reason;
  };
  return {
    ended,
    here,
    there,
    greeter: here.remote<Greeter>('greeter', { greet: true, refuse: true, fail: true, never: true, wait: true }),
  };
}
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

for (const [form, links] of Object.entries(forms)) {
  test(`${form}: calls carry plain data and bytes both ways`, async () => {
    const { greeter } = pair(links);
    const answer = await greeter.greet('d1', Uint8Array.of(1, 2));
    assert.deepEqual(answer, { text: 'hello d1', bytes: Uint8Array.of(1, 2) });
  });

  test(`${form}: a refusal arrives as the refusal it was`, async () => {
    const { greeter } = pair(links);
    await assert.rejects(greeter.refuse(), (error) => {
      assert.ok(error instanceof HubError);
      assert.deepEqual([error.code, error.message, error.reason], ['ThrottlingException', 'slow down', 'why']);
      assert.deepEqual(error.limit, { name: 'n', scope: 'device d1', current: 2, max: 1 });
      return true;
    });
  });

  test(`${form}: a bug on the other side is a ServerError here, with the trace for the log`, async () => {
    const { greeter } = pair(links);
    await assert.rejects(greeter.fail(), (error) => {
      assert.ok(error instanceof HubError && error.cause instanceof Error);
      assert.equal(error.code, 'ServerError');
      assert.match(error.cause.message, /a bug/);
      return true;
    });
  });

  test(`${form}: when the other side is gone, what waits is refused, and so is what follows`, async () => {
    const { here, greeter } = pair(links);
    const waiting = greeter.never();
    here.close();
    await assert.rejects(waiting, /cannot store or serve/);
    await assert.rejects(greeter.never(), /cannot store or serve/);
  });

  test(`${form}: a listener that fails while the link closes keeps no other from hearing`, () => {
    const { here } = pair(links);
    const heard: string[] = [];
    here.onClose(() => {
      throw new Error('a bug');
    });
    here.onClose(() => heard.push('second'));
    assert.throws(() => here.close(), /a bug/);
    assert.deepEqual([heard, here.isOpen], [['second'], false]);
    here.close();
  });

  test(`${form}: notes arrive in order, with their buffers`, async () => {
    const { here, there } = pair(links);
    const seen: number[] = [];
    const bytes = new Uint8Array([7]).buffer;
    const last = new Promise<number>((resolve) => {
      there.on('note', (value: { n: number; bytes?: ArrayBuffer }) => {
        seen.push(value.n);
        if (value.bytes !== undefined) resolve(value.bytes.byteLength);
      });
    });
    here.tell('note', { n: 1 });
    here.tell('note', { n: 2, bytes }, [bytes]);
    assert.equal(await last, 1);
    assert.deepEqual(seen, [1, 2]);
    // Between threads they move instead of being copied.
    assert.equal(bytes.byteLength, links === overPort ? 0 : 1);
  });

  test(`${form}: a caller that stops waiting is free at once with its own reason, and the operation is told`, async () => {
    const { greeter, ended } = pair(links);
    const late = new AbortController();
    const call = greeter.wait(late.signal);
    // The call is there when this one is answered.
    await greeter.greet('you', new Uint8Array());
    const reason = new Error('too late');
    late.abort(reason);
    await assert.rejects(call, reason);
    await greeter.greet('you', new Uint8Array());
    assert.equal(ended.length, 1);
    await assert.rejects(greeter.wait(late.signal), reason);
  });

  test(`${form}: a side that closes tells the operations it has asked for that nobody waits any more`, async () => {
    const { here, there, greeter, ended } = pair(links);
    const call = greeter.wait(new AbortController().signal);
    await greeter.greet('you', new Uint8Array());
    there.close();
    assert.equal((ended[0] as HubError).code, 'ServiceUnavailable');
    here.close();
    await assert.rejects(call, { code: 'ServiceUnavailable' });
  });

  test(`${form}: operations that are not done are bounded where they are carried out, also those nobody waits for`, async () => {
    const { here, there, greeter } = pair(links);
    there.serve('deaf', { hear: () => new Promise(() => {}) });
    const deaf = here.remote<{ hear(signal: AbortSignal): Promise<void> }>('deaf', { hear: true });
    const late = new AbortController();
    const calls = Array.from({ length: limits.threadCallsMax }, () => deaf.hear(late.signal));
    late.abort(new Error('too late'));
    await Promise.allSettled(calls);
    await assert.rejects(greeter.greet('you', new Uint8Array()), { code: 'ThrottlingException' });
  });

  test(`${form}: an uncounted call is not refused where all places are taken, and takes none`, async () => {
    const { here, there } = pair(links);
    let heard = 0;
    const ends: (() => void)[] = [];
    there.serve('deaf', {
      hear: () => new Promise<void>((resolve) => ends.push(resolve)),
      drop: async () => void heard++,
      hang: () => new Promise(() => {}),
    });
    type Deaf = { hear(): Promise<void>; drop(): Promise<void>; hang(): Promise<void> };
    const deaf = here.remote<Deaf>('deaf', { hear: true, drop: 'uncounted', hang: 'uncounted' });
    void deaf.hang().catch(() => {});
    const counted = Array.from({ length: limits.threadCallsMax }, () => deaf.hear());
    await assert.rejects(deaf.hear(), { code: 'ThrottlingException' });
    await Promise.all([deaf.drop(), deaf.drop()]);
    assert.equal(heard, 2);
    for (const end of ends) end();
    await Promise.all(counted);
    const again = deaf.hear();
    await deaf.drop();
    ends.at(-1)?.();
    await again;
  });

  test(`${form}: what every object has is no operation`, async () => {
    const { here } = pair(links);
    const service = here.remote<{ valueOf(): Promise<object> }>('greeter', { valueOf: true });
    await assert.rejects(service.valueOf(), { code: 'OperationNotAvailable' });
  });

  test(`${form}: what the other side does not know is refused so, and what it says more is passed over`, async () => {
    const { here, there, greeter } = pair(links);
    const newer = here.remote<{ dance(): Promise<void> }>('greeter', { dance: true });
    await assert.rejects(newer.dance(), {
      code: 'OperationNotAvailable',
      message: 'That is not known at the version of the node which was asked.',
      reason: 'no operation greeter.dance',
    });
    const room = here.remote<{ dance(): Promise<void> }>('ballroom', { dance: true });
    await assert.rejects(room.dance(), { reason: 'no operation ballroom.dance' });
    here.tell('a note of a newer version', { more: 1 });
    there.serve('newer', {
      refuse: async () => {
        throw Object.assign(new HubError('ServerError', 'too loud'), { code: 'TooLoud' });
      },
    });
    const refusing = here.remote<{ refuse(): Promise<void> }>('newer', { refuse: true });
    await assert.rejects(refusing.refuse(), { code: 'ServerError', message: 'TooLoud: too loud' });
    assert.equal((await greeter.greet('you', new Uint8Array())).text, 'hello you');
  });
}
