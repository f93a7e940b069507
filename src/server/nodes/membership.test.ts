/** A node's lease and whom it knows, over a table of nodes that answers when the test says so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { type Log, silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import type { LeasedNode, NodeStore, Notice } from '../../core/nodes/ports.ts';
import { nodesCheck } from '../observe/health/checks.ts';
import { Membership } from './membership.ts';

const leased = (id: string): LeasedNode => ({
  ...{ id, name: id, address: '127.0.0.1', port: 1, version: '1', startedTime: 0, isDraining: false },
  ...{ devices: 0, leaseMs: limits.nodeLeaseMs },
});

async function joined(log: Log = silentLog) {
  const clock = new VirtualClock();
  /** Who else has a lease, and whether this node still has its own. */
  const table = {
    others: [] as readonly LeasedNode[],
    isOver: false,
    notices: [] as readonly Notice[],
    /** A join takes effect, and its answer is lost. */
    losesJoin: false,
    /** Another process has its name. */
    isTaken: false,
  };
  const lists: ((nodes: readonly LeasedNode[]) => void)[] = [];
  const lease = () => ({ nodes: table.others, duties: [], notices: table.notices });
  const store: NodeStore = {
    namesake: async () => undefined,
    async join() {
      if (table.isTaken) return { kind: 'taken', forMs: limits.nodeLeaseMs };
      table.isOver = false;
      if (table.losesJoin) throw new Error('the answer is lost');
      return { kind: 'joined', lease: lease() };
    },
    renew: async () => (table.isOver ? undefined : lease()),
    list: () => new Promise((resolve) => lists.push(resolve)),
    drain: async () => undefined,
    leave: async () => {},
    bury: async () => [],
    cleared: async () => {},
    notify: async () => true,
    noticesLeft: async () => [],
    async noticesTaken(ids) {
      table.notices = table.notices.filter(({ id }) => !ids.includes(id));
    },
  };
  const node = { name: 'a', folder: 'a', address: '127.0.0.1', version: '1' };
  const random = seededRandom(1);
  const membership = new Membership({ store, node, duties: [], clock, random, log });
  await membership.join(1);
  return { membership, clock, table, lists };
}

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await undefined;
};

test('a node whose name another process has meanwhile says so, until the name is free again', async () => {
  const { membership, table } = await joined();
  const { look } = nodesCheck({ membership, unreached: () => [] });
  assert.equal((await look()).status, 'ok');
  [table.isOver, table.isTaken] = [true, true];
  await assert.rejects(membership.renew(), /another node has this one’s name/);
  assert.equal(membership.isValid, false);
  const { status, reason } = await look();
  assert.deepEqual([status, /another process has the name of this node/.test(reason ?? '')], ['fail', true]);
  table.isTaken = false;
  await membership.renew();
  await turns();
  assert.equal((await look()).status, 'ok');
});

test('a lease that cannot be renewed is told once for each reason, and once when it can be again', async () => {
  const said: string[] = [];
  const say = (level: string) => (fields: object, sentence: string) => {
    const { error } = fields as { readonly error?: Error };
    said.push([level, sentence, ...(error === undefined ? [] : [error.message])].join(': '));
  };
  const { membership, clock, table } = await joined({ ...silentLog, warn: say('warn'), error: say('error') });
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += limits.nodeRenewAgainMs) {
      clock.advance(limits.nodeRenewAgainMs);
      await turns();
    }
  };
  const failed = 'warn: the lease of this node could not be renewed; it is tried again, and told when it can be';
  [table.isOver, table.isTaken] = [true, true];
  await pass(60_000);
  assert.equal(membership.isReplaced, true);
  assert.deepEqual(said.splice(0), [
    'error: this node could not renew its lease: it lets go of its connections, and answers for the hub again when the database is there',
    `${failed}: another node has this one’s name meanwhile`,
  ]);
  [table.isTaken, table.losesJoin] = [false, true];
  await pass(2 * limits.nodeRenewAgainMs);
  assert.deepEqual(said, [`${failed}: the answer is lost`]);
  table.losesJoin = false;
  await pass(limits.nodeLeaseMs);
  assert.equal(membership.isValid, true);
  // The next time is told anew.
  [table.isOver, table.isTaken] = [true, true];
  await pass(2 * limits.nodeRenewMs);
  assert.equal(said.at(-1), `${failed}: another node has this one’s name meanwhile`);
});

test('an answer that was asked for before a node joined does not say that it has gone', async () => {
  const { membership, clock, table, lists } = await joined();
  const left: string[] = [];
  membership.watch({ left: ({ name }) => void left.push(name) });
  const looking = membership.look();
  clock.advance(1);
  table.others = [leased('b')];
  await membership.renew();
  assert.equal(membership.of('b')?.name, 'b');
  lists[0]([]);
  await looking;
  assert.equal(membership.of('b')?.name, 'b');
  // One that is asked for from now on does.
  clock.advance(1);
  const again = membership.look();
  lists[1]([]);
  await again;
  assert.deepEqual(left, ['b']);
});

test('a node that has joined again answers for the hub when the others know its new id, or the length of a lease later', async () => {
  const { membership, clock, table } = await joined();
  let knows = (): void => {};
  const told: string[] = [];
  membership.watch({
    rejoined: () => new Promise((resolve) => (knows = resolve)),
    lost: () => void told.push('lost'),
    regained: () => void told.push('regained'),
  });
  const lose = async (): Promise<void> => {
    const { own } = membership;
    table.isOver = true;
    await membership.renew();
    assert.notEqual(membership.own, own);
  };
  await lose();
  await turns();
  assert.equal(membership.isValid, false);
  assert.deepEqual(told, ['lost']);
  knows();
  await turns();
  assert.equal(membership.isValid, true);
  assert.deepEqual(told, ['lost', 'regained']);

  await lose();
  for (let passed = 0; passed < limits.nodeLeaseMs; passed += limits.nodeRenewMs) {
    assert.equal(membership.isValid, false);
    clock.advance(limits.nodeRenewMs);
    await turns();
  }
  assert.equal(membership.isValid, true);
});

test('a node that has joined again without hearing so answers for the hub when the others know its new id', async () => {
  const { membership, table } = await joined();
  const told: string[] = [];
  membership.watch({
    rejoined: async () => void told.push(membership.own),
    regained: () => void told.push('regained'),
  });
  table.isOver = true;
  table.losesJoin = true;
  await assert.rejects(membership.renew(), /the answer is lost/);
  await membership.renew();
  await turns();
  assert.equal(membership.isValid, true);
  assert.deepEqual(told, [membership.own, 'regained']);
});

test('the lease is renewed, and others are heard, while what one has left takes its time', async () => {
  const { membership, clock, table } = await joined();
  const heard: string[] = [];
  let ended = (): void => {};
  membership.watch({
    notices(notices) {
      heard.push(...notices.map(({ id }) => id));
      return heard.length === 1 ? new Promise((resolve) => (ended = resolve)) : Promise.resolve();
    },
  });
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += limits.nodeRenewMs) {
      clock.advance(limits.nodeRenewMs);
      await turns();
      assert.equal(membership.isValid, true);
    }
  };
  table.notices = [{ id: 'slow', body: '{}' }];
  await pass(3 * limits.nodeLeaseMs);
  table.notices = [...table.notices, { id: 'quick', body: '{}' }];
  await pass(limits.nodeRenewMs);
  assert.deepEqual(heard, ['slow', 'quick']);
  assert.deepEqual(
    table.notices.map(({ id }) => id),
    ['slow'],
  );
  ended();
  await pass(2 * limits.nodeRenewMs);
  assert.deepEqual([table.notices, heard], [[], ['slow', 'quick']]);
});
