/** The tree of members: places name nodes, nodes route to their own loop or a listener thread, and nodes have links to each other. */
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import type { Connections } from '../../core/presence/places.ts';
import { createPresence } from '../../core/presence/presence.ts';
import type { ConnectionClaim } from '../../core/presence/types.ts';
import { createMemoryPlaces } from '../../stores/memory/places.ts';
import { openThreadLink } from './calls.ts';
import { connectionsOver, serveConnections } from './node-connections.ts';
import { presenceStandIn, servePresence } from './presence.ts';
import { openSocketLink } from './socket-link.ts';

const key = { deviceId: 'd1' };

/** Two nodes with a listener thread each, whose log is settled when the test says so. */
function tree(t: TestContext) {
  const places = createMemoryPlaces();
  const others = new Map<string, Connections>();
  const node = (own: string) => {
    const nodes = {
      ...{ own, of: (name: string) => others.get(name), settled: async () => {} },
      endElsewhere: async () => assert.fail('each place was taken from a node that lives'),
    };
    const presence = createPresence({ places, clock: systemClock, nodes });
    const { port1, port2 } = new MessageChannel();
    t.after(() => port1.close());
    servePresence(openThreadLink(port1), presence, `thread of ${own}`);
    const pending: (() => void)[] = [];
    const state = { isSettled: true };
    const thread = presenceStandIn(openThreadLink(port2), {
      ...{ clock: systemClock, log: silentLog, isSettled: () => state.isSettled },
      settled: () => new Promise<void>((resolve) => pending.push(resolve)),
    });
    const settle = (): void => {
      state.isSettled = true;
      for (const resolve of pending.splice(0)) resolve();
    };
    return { presence, thread, state, settle };
  };
  const [a, b] = [node('a'), node('b')];
  const [one, other] = duplexPair();
  t.after(() => void one.destroy());
  const [linkOfA, linkOfB] = [openSocketLink(one), openSocketLink(other)];
  serveConnections(linkOfA, a.presence.connections);
  serveConnections(linkOfB, b.presence.connections);
  others.set('b', connectionsOver(linkOfA));
  others.set('a', connectionsOver(linkOfB));
  const told: string[] = [];
  const claimOf = (name: string): ConnectionClaim => ({
    ...{ key, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
    drop: (reason) => void told.push(`${name} ${reason}`),
    wake: () => void told.push(`${name} woken`),
    notify: ({ kind }) => void told.push(`${name} ${kind}`),
    invoke: async ({ value }) => [name, value],
  });
  return { a, b, told, claimOf };
}

async function arrived(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("a device that comes to a thread of another node is let in when the older thread's messages are settled", async (t) => {
  const { a, b, told, claimOf } = tree(t);
  const older = await a.thread.claim(claimOf('older'));
  a.state.isSettled = false;
  let isIn = false;
  const newer = b.thread.claim(claimOf('newer')).then((ticket) => {
    isIn = true;
    return ticket;
  });
  await arrived();
  assert.deepEqual(told, ['older taken-over']);
  assert.equal(isIn, false);
  a.settle();
  const ticket = await newer;
  older.release('connection-lost');
  await arrived();
  assert.equal((await a.presence.state(key)).connected, true);
  assert.equal(await a.presence.connectedDevices(), 1);
  ticket.release('by-client');
  await arrived();
  assert.equal(await b.presence.connectedDevices(), 0);
});

test('a wake, a note and a call from one node reach a connection on a thread of the other', async (t) => {
  const { a, b, told, claimOf } = tree(t);
  await b.thread.claim(claimOf('it'));
  const { signal } = new AbortController();
  await a.presence.wake(key);
  assert.equal(await a.presence.notify(key, { kind: 'desired' }), true);
  assert.deepEqual(await a.presence.invoke(key, { kind: 'echo', value: 7 }, signal), ['it', 7]);
  // From a thread of the other node it is the same way, one hop longer.
  assert.deepEqual(await a.thread.invoke(key, { kind: 'echo', value: 8 }, signal), ['it', 8]);
  await arrived();
  assert.deepEqual(told, ['it woken', 'it desired']);
});
