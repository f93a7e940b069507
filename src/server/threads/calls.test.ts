import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { HubError } from '../../core/errors.ts';
import { openThreadLink } from './calls.ts';

interface Greeter {
  greet(name: string, bytes: Uint8Array): Promise<{ readonly text: string; readonly bytes: Uint8Array }>;
  refuse(): Promise<void>;
  fail(): Promise<void>;
  never(): Promise<void>;
  wait(signal: AbortSignal): Promise<string>;
}

const channels: MessageChannel[] = [];
function pair() {
  const channel = new MessageChannel();
  channels.push(channel);
  const here = openThreadLink(channel.port1);
  const there = openThreadLink(channel.port2);
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
  for (const channel of channels.splice(0)) channel.port1.close();
});

test('calls carry plain data and bytes both ways', async () => {
  const { greeter } = pair();
  const answer = await greeter.greet('d1', Uint8Array.of(1, 2));
  assert.deepEqual(answer, { text: 'hello d1', bytes: Uint8Array.of(1, 2) });
});

test('a refusal arrives as the refusal it was', async () => {
  const { greeter } = pair();
  await assert.rejects(greeter.refuse(), (error) => {
    assert.ok(error instanceof HubError);
    assert.deepEqual([error.code, error.message, error.reason], ['ThrottlingException', 'slow down', 'why']);
    assert.deepEqual(error.limit, { name: 'n', scope: 'device d1', current: 2, max: 1 });
    return true;
  });
});

test('a bug on the other side is a ServerError here, with the trace for the log', async () => {
  const { greeter } = pair();
  await assert.rejects(greeter.fail(), (error) => {
    assert.ok(error instanceof HubError && error.cause instanceof Error);
    assert.equal(error.code, 'ServerError');
    assert.match(error.cause.message, /a bug/);
    return true;
  });
});

test('when the other side is gone, what waits is refused, and so is what follows', async () => {
  const { here, greeter } = pair();
  const waiting = greeter.never();
  here.close();
  await assert.rejects(waiting, /cannot store or serve/);
  await assert.rejects(greeter.never(), /cannot store or serve/);
});

test('notes arrive in order, and buffers move instead of being copied', async () => {
  const { here, there } = pair();
  const seen: number[] = [];
  const bytes = new Uint8Array([7]).buffer;
  const last = new Promise<void>((resolve) => {
    there.on('note', (value: { n: number; bytes?: ArrayBuffer }) => {
      seen.push(value.n);
      if (value.bytes !== undefined) resolve();
    });
  });
  here.tell('note', { n: 1 });
  here.tell('note', { n: 2, bytes }, [bytes]);
  await last;
  assert.deepEqual([seen, bytes.byteLength], [[1, 2], 0]);
});

test('a caller that stops waiting is free at once with its own reason, and the operation is told', async () => {
  const { greeter, ended } = pair();
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

test('a side that closes tells the operations it has asked for that nobody waits any more', async () => {
  const { here, there, greeter, ended } = pair();
  const call = greeter.wait(new AbortController().signal);
  await greeter.greet('you', new Uint8Array());
  there.close();
  assert.equal((ended[0] as HubError).code, 'ServiceUnavailable');
  here.close();
  await assert.rejects(call, { code: 'ServiceUnavailable' });
});
