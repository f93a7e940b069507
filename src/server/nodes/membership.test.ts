/** A node's lease and whom it knows, over a table of nodes that answers when the test says so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import type { LeasedNode, NodeStore } from '../../core/nodes/ports.ts';
import { Membership } from './membership.ts';

const leased = (id: string): LeasedNode => ({
  ...{ id, name: id, address: '127.0.0.1', port: 1, version: '1', startedTime: 0, isDraining: false },
  ...{ devices: 0, leaseMs: limits.nodeLeaseMs },
});

async function joined() {
  const clock = new VirtualClock();
  /** Who else has a lease, and whether this node still has its own. */
  const table: { others: readonly LeasedNode[]; isOver: boolean } = { others: [], isOver: false };
  const lists: ((nodes: readonly LeasedNode[]) => void)[] = [];
  const lease = () => ({ nodes: table.others, duties: [], notices: [] });
  const store: NodeStore = {
    async join() {
      table.isOver = false;
      return { kind: 'joined', lease: lease() };
    },
    renew: async () => (table.isOver ? undefined : lease()),
    list: () => new Promise((resolve) => lists.push(resolve)),
    drain: async () => undefined,
    leave: async () => {},
    bury: async () => [],
    notify: async () => true,
    noticesLeft: async () => [],
    noticesTaken: async () => {},
  };
  const node = { name: 'a', folder: 'a', address: '127.0.0.1', version: '1' };
  const random = seededRandom(1);
  const membership = new Membership({ store, node, duties: [], clock, random, log: silentLog });
  await membership.join(1);
  return { membership, clock, table, lists };
}

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await undefined;
};

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
