/** The session of a device, when several speak for it at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemClock } from '../../base/clock.ts';
import { type DeviceSession, type Handlers, type Host, type Proof, Refused } from '../../gateway/index.ts';
import type { Shown } from './exchange.ts';
import { fingerprint, Link } from './links.ts';

/** A host that judges the key `right` at once, and every other one when the test says so. */
class Judge {
  readonly opened: { readonly session: DeviceSession; readonly end: AbortController; readonly handlers: Handlers }[] =
    [];
  readonly slow: (() => void)[] = [];
  readonly host = {
    clock: systemClock,
    log: { warn: () => {}, debug: () => {} },
    connect: async (proof: Proof, handlers: Handlers) => {
      if (proof.kind !== 'key' || !proof.key.startsWith('right')) {
        await new Promise<void>((resolve) => void this.slow.push(resolve));
        throw new Refused('unauthorized', 'wrong');
      }
      const before = this.opened.at(-1);
      before?.end.abort('replaced');
      before?.handlers.closed?.('replaced');
      const end = new AbortController();
      const session = { device: 'd', signal: end.signal, close: async () => end.abort('closed') } as DeviceSession;
      this.opened.push({ session, end, handlers });
      return session;
    },
  } as unknown as Host;

  link(): Link {
    const sliced = (_: unknown, __: unknown, answer: never): never => answer;
    return new Link('d', { host: this.host, idleSeconds: 300, tag: () => Buffer.of(1), sliced, revoked: () => {} });
  }
}

const key = (text: string): Shown => ({ kind: 'key', device: 'd', key: text });

test('a wrong proof that is judged slowly holds up neither the session that is open nor one that opens', async () => {
  const judge = new Judge();
  const link = judge.link();
  const wrong = assert.rejects(link.session(key('wrong'), 'x'), Refused);
  await turn();
  const session = await link.session(key('right'), 'y');
  await turn();
  assert.equal(link.known(fingerprint(key('right'))), session);
  const again = assert.rejects(link.session(key('wrong too'), 'x'), Refused);
  await turn();
  assert.equal(link.known(fingerprint(key('right'))), session);
  assert.equal(await link.want('commands').then((other) => other.signal.aborted), false);
  for (const refuse of judge.slow) refuse();
  await Promise.all([wrong, again]);
  assert.equal(link.isOpen, true);
  assert.equal(link.known(fingerprint(key('wrong'))), undefined);
});

test('another good proof takes the session over, and observations stay; a connection from elsewhere ends them', async () => {
  const judge = new Judge();
  const link = judge.link();
  await link.session(key('right'), 'x');
  let ended = 0;
  const caller = { key: 'c', notify: async () => String(ended++) } as never;
  const observer = { resource: 'desired', token: Buffer.of(1), caller } as never;
  link.observers.add(observer);
  await link.session(key('right, the secondary one'), 'x');
  assert.deepEqual([ended, link.isOpen, link.observers.size], [0, true, 1]);
  const last = judge.opened.at(-1)!;
  last.end.abort('replaced');
  last.handlers.closed?.('replaced');
  assert.deepEqual([ended, link.isOpen, link.observers.size], [1, false, 0]);
});
