/** Leases of nodes, duties, notices and readers, over PostgreSQL. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/drivers/until.ts';
import { limits } from '../../base/limits.ts';
import type { JoiningNode, KnownReceiver, NodeStore } from '../../core/nodes/ports.ts';
import { withPostgres } from '../contract/postgres.ts';

const node = (id: string, more: Partial<JoiningNode> = {}): JoiningNode => ({
  ...{ id, name: id, folder: `folder of ${id}`, address: '127.0.0.1', port: 1, version: '1' },
  ...more,
});
const LONG = 60_000;

/** Its lease runs out: only then, however slow the machine is. */
async function ended(nodes: NodeStore, id: string): Promise<void> {
  await nodes.renew(id, 1, []);
  await until('its lease is over', async () => (await nodes.list()).every((each) => each.id !== id));
}

withPostgres('nodes', (open) => {
  test('postgres: a lease lasts as long as it says, is renewed while it lasts, and is not given again', async () => {
    const { tables, close } = await open();
    const { nodes } = tables;
    try {
      assert.equal((await nodes.join(node('a'), LONG)).kind, 'joined');
      const joined = await nodes.join(node('b'), LONG);
      assert.ok(joined.kind === 'joined');
      assert.deepEqual(
        joined.lease.nodes.map(({ id }) => id),
        ['a', 'b'],
      );
      assert.ok((await nodes.renew('b', LONG, []))?.nodes.length === 2);
      await ended(nodes, 'b');
      assert.deepEqual(
        (await nodes.list()).map(({ id }) => id),
        ['a'],
      );
      assert.equal(await nodes.renew('b', LONG, []), undefined);
      assert.equal(await nodes.renew('b', LONG, []), undefined);
      await nodes.leave('a');
      assert.deepEqual(await nodes.list(), []);
    } finally {
      await close();
    }
  });

  test('postgres: a name is one living node’s, but for one whose folder the newcomer holds', async () => {
    const { tables, query, close } = await open();
    const { nodes } = tables;
    try {
      await nodes.join(node('a1', { name: 'a' }), LONG);
      const taken = await nodes.join(node('a2', { name: 'a' }), LONG);
      assert.ok(taken.kind === 'taken' && taken.forMs > LONG / 2);
      assert.ok(((await nodes.namesake('a', 'another folder')) ?? 0) > LONG / 2);
      assert.equal(await nodes.namesake('a', 'folder of a1'), undefined);
      assert.equal(await nodes.namesake('b', 'another folder'), undefined);
      assert.equal((await nodes.join(node('a3', { name: 'a', folder: 'folder of a1' }), LONG)).kind, 'joined');
      assert.deepEqual(
        (await nodes.list()).map(({ id }) => id),
        ['a3'],
      );
      assert.deepEqual(
        (await nodes.bury('a3')).map(({ id }) => id),
        ['a1'],
      );
      await nodes.cleared('a1');
      assert.deepEqual(await nodes.bury('a3'), []);
      // So many that join one after the other would take as long as a call waits for a connection, on a busy machine.
      await query(`insert into nodes (id, name, folder, address, port, version, started_time, lease_until)
        select 'n' || n, 'n' || n, '', '', 1, '', 0, lease_until from nodes, generate_series(2, ${limits.nodesMax - 1}) n`);
      assert.equal((await nodes.join(node('the last'), LONG)).kind, 'joined');
      assert.equal((await nodes.join(node('one more'), LONG)).kind, 'full');
    } finally {
      await close();
    }
  });

  test('postgres: who has gone is one living node’s to clear up after, until that is done or that node has gone, too', async () => {
    const { tables, read, close } = await open();
    const { nodes } = tables;
    const bury = async (own: string): Promise<string> => (await nodes.bury(own)).map(({ id }) => id).join(' ');
    try {
      for (const id of ['gone', 'a', 'b', 'c']) await nodes.join(node(id), LONG);
      await ended(nodes, 'gone');
      const told = await Promise.all(['a', 'b', 'c'].map(bury));
      assert.deepEqual(told.toSorted(), ['', '', 'gone'], 'one of them does it');
      const first = ['a', 'b', 'c'][told.indexOf('gone')];
      const [second, third] = ['a', 'b', 'c'].filter((id) => id !== first);
      assert.equal(await bury(first), 'gone', 'it is told until it is done');
      assert.deepEqual((await nodes.renew(first, LONG, ['sweep']))?.duties, ['sweep'], 'duties are those asked for');
      await ended(nodes, first);
      assert.equal(await bury(first), '', 'who has no lease does nothing');
      assert.deepEqual((await bury(second)).split(' ').sort(), [first, 'gone'].sort());
      await nodes.leave(second);
      assert.deepEqual((await bury(third)).split(' ').sort(), [first, 'gone'].sort());
      for (const id of [first, 'gone']) await nodes.cleared(id);
      assert.equal(await bury(third), '');
      assert.deepEqual(await read('select id from nodes'), [{ id: third }]);
      assert.deepEqual(await read('select duty from node_duties'), []);
    } finally {
      await close();
    }
  });

  test('postgres: a duty is one node’s, until it drains or its lease is over', async () => {
    const { tables, close } = await open();
    const { nodes } = tables;
    try {
      await nodes.join(node('a'), LONG);
      await nodes.join(node('b'), LONG);
      const duties = ['sweep', 'publish'];
      assert.deepEqual([...((await nodes.renew('a', LONG, duties))?.duties ?? [])].sort(), ['publish', 'sweep']);
      assert.deepEqual((await nodes.renew('b', LONG, duties))?.duties, []);
      assert.equal((await nodes.drain('a'))?.isDraining, true);
      assert.deepEqual((await nodes.renew('a', LONG, duties))?.duties, []);
      assert.equal((await nodes.renew('b', LONG, duties))?.duties.length, 2);
      await nodes.join(node('c'), LONG);
      await nodes.leave('b');
      assert.equal((await nodes.renew('c', LONG, duties, 7))?.duties.length, 2);
      assert.equal((await nodes.list()).find(({ id }) => id === 'c')?.devices, 7);
      assert.equal(await nodes.drain('nobody'), undefined);
    } finally {
      await close();
    }
  });

  test('postgres: a notice waits for its node’s renewal, and nobody waits for one of a node that has gone', async () => {
    const { tables, close } = await open();
    const { nodes } = tables;
    try {
      await nodes.join(node('a'), LONG);
      assert.equal(await nodes.notify('a', [{ id: 'n1', body: '{}' }]), true);
      assert.equal(await nodes.notify('gone', [{ id: 'n2', body: '{}' }]), false);
      const lease = await nodes.renew('a', LONG, []);
      assert.deepEqual(lease?.notices, [{ id: 'n1', body: '{}' }]);
      assert.deepEqual(await nodes.noticesLeft(['n1', 'n2']), ['n1']);
      await nodes.noticesTaken(['n1']);
      assert.deepEqual(await nodes.noticesLeft(['n1']), []);
      await nodes.notify('a', [{ id: 'n3', body: '{}' }]);
      await ended(nodes, 'a');
      assert.deepEqual(await nodes.noticesLeft(['n3']), []);
    } finally {
      await close();
    }
  });

  test('postgres: readers of all nodes share a place as those of one do', async () => {
    const { tables, close } = await open();
    const { nodes, receivers } = tables;
    const place = { eventHub: 'Hub', consumerGroup: 'G', partition: 0 };
    const reader = (of: string, receiver: number, epoch?: number): KnownReceiver => ({
      ...{ node: of, receiver, name: `${of}${receiver}` },
      ...(epoch !== undefined && { epoch }),
    });
    try {
      await nodes.join(node('a'), LONG);
      await nodes.join(node('b'), LONG);
      for (let at = 0; at < limits.receiversPerPartitionMax; at++) {
        await receivers.enter({ ...place, consumerGroup: 'g' }, reader(at % 2 === 0 ? 'a' : 'b', at));
      }
      await assert.rejects(receivers.enter(place, reader('a', 9)), { code: 'IotHubQuotaExceeded' });
      await receivers.leave(place, reader('a', 0));
      await receivers.enter(place, reader('a', 9));
      await ended(nodes, 'b');
      await receivers.enter(place, reader('a', 10));
      const displaced = await receivers.enter(place, reader('a', 11, 3));
      assert.deepEqual(displaced.map(({ name }) => name).sort(), ['a10', 'a2', 'a4', 'a9']);
      await assert.rejects(receivers.enter(place, reader('a', 12, 2)), { code: 'LinkCreationConflict' });
      await assert.rejects(receivers.enter(place, reader('a', 12)), { code: 'LinkCreationConflict' });
      const [first, second] = await Promise.all([
        receivers.enter({ ...place, partition: 1 }, reader('a', 13, 1)),
        receivers.enter({ ...place, partition: 1 }, reader('a', 14, 1)),
      ]);
      assert.equal(first.length + second.length, 1, 'of two at the same time one displaces the other');
    } finally {
      await close();
    }
  });
});
