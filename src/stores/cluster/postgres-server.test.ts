/** What PostgreSQL does that no other store can: it waits, is silent, has a clock, keeps what it cannot read, and is changed by newer nodes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { defaultCommandLimits } from '../../core/commands/rules.ts';
import { parseQuery } from '../../core/query/statement.ts';
import { admitIdentities, newCommand } from '../contract/fresh-queue.ts';
import { exampleIdentity } from '../contract/identities.ts';
import { withPostgres } from '../contract/postgres.ts';

withPostgres('a server of its own', (open) => {
  test('postgres: a statement that waits too long is refused, and the connection serves the next', async () => {
    const opened = await open();
    const node = await opened.another(systemClock, { statementMs: 2000 });
    const unlock = await opened.lock('policies');
    try {
      await assert.rejects(node.policies.load(), { code: 'ServiceUnavailable' });
    } finally {
      await unlock();
    }
    assert.deepEqual(await node.policies.load(), []);
    await node.close();
    await opened.close();
  });

  test('postgres: a text that it cannot have is refused as such, and not as a fault of the hub', async () => {
    const opened = await open();
    const group = { name: 'a\0b', createdTime: 0 };
    await assert.rejects(opened.tables.consumerGroups.create('hub', group, 10), { code: 'ArgumentInvalid' });
    await opened.close();
  });

  test('postgres: a server that is silent is given up, and the next call goes by a new connection', async () => {
    const opened = await open();
    let isSilent = false;
    const proxy = net.createServer((client) => {
      const { hostname, port } = new URL(opened.url);
      const server = net.connect(Number(port), hostname);
      client.on('data', (bytes) => isSilent || server.write(bytes));
      server.on('data', (bytes) => client.write(bytes));
      for (const [one, other] of [
        [client, server],
        [server, client],
      ]) {
        one.on('error', () => {});
        one.on('close', () => other.destroy());
      }
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const url = new URL(opened.url);
    url.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const node = await opened.another(systemClock, { url: url.href, statementMs: 2000 });
    isSilent = true;
    await assert.rejects(node.policies.load(), { code: 'ServiceUnavailable' });
    isSilent = false;
    assert.deepEqual(await node.policies.load(), []);
    await node.close();
    proxy.close();
    await opened.close();
  });

  test('postgres: a node whose clock is an hour ahead does not end the locks of another', async () => {
    const opened = await open();
    const ahead = await opened.another({ ...systemClock, now: () => Date.now() + 3_600_000 });
    try {
      const { clock, commandQueue } = opened.tables;
      assert.ok(Math.abs(clock.now() - ahead.clock.now()) < 1000);
      const target = { deviceId: 'd1' };
      await admitIdentities(opened.tables.identities, [target]);
      const expiresAt = clock.now() + 600_000;
      await commandQueue.enqueue(newCommand('m', { target, expiresAt }), defaultCommandLimits, clock.now());
      // Nor does it count as ended, in a query, what has its time.
      const query = parseQuery('SELECT cloudToDeviceMessageCount AS count FROM devices');
      const page = await ahead.fleet.page({ query, countMax: 10 }, new AbortController().signal);
      assert.deepEqual(JSON.parse(page.text), [{ count: 1 }]);
      const lock = (token: string) => ({ tokens: [token], holder: 'c', lockMs: 60_000 });
      assert.equal((await commandQueue.lockNext(target, 'g1', lock('a'), clock.now())).length, 1);
      assert.equal((await ahead.commandQueue.lockNext(target, 'g1', lock('b'), ahead.clock.now())).length, 0);
      const outcome = await ahead.commandQueue.settle(target, 'a', 'complete', defaultCommandLimits, ahead.clock.now());
      assert.deepEqual(outcome, { kind: 'ended', outcome: 'completed' });
    } finally {
      await ahead.close();
      await opened.close();
    }
  });

  test('postgres: identities that are asked for at the same time are answered each by itself', async () => {
    const opened = await open();
    const { identities, subscriptions } = opened.tables;
    const keys = Array.from({ length: 700 }, (_, nth) => ({ deviceId: `d${nth}` }));
    const some = keys.filter((_, nth) => nth % 3 > 0);
    await admitIdentities(identities, some);
    await subscriptions.save(some[0], 'g1', [{ filter: 'f', qos: 1 }]);
    await subscriptions.save(some[1], 'g0', [{ filter: 'f', qos: 1 }]);
    const found = await Promise.all(keys.map((key) => identities.get(key)));
    assert.deepEqual(
      found.map((identity) => identity?.deviceId),
      keys.map(({ deviceId }, nth) => (nth % 3 > 0 ? deviceId : undefined)),
    );
    const sessions = await Promise.all(some.map((key) => subscriptions.load(key, 'g1')));
    assert.deepEqual(sessions.map((session) => session?.length).slice(0, 3), [1, undefined, undefined]);
    await opened.close();
  });

  test('postgres: an identity that cannot be read is refused to who asks for it, and to nobody beside', async () => {
    const opened = await open();
    const { identities } = opened.tables;
    const keys = ['d1', 'd2', 'd3'].map((deviceId) => ({ deviceId }));
    await admitIdentities(identities, keys);
    await opened.query(
      `update identities set primary_key = 'damaged', secondary_key = 'damaged' where device_id = 'd2'`,
    );
    const found = await Promise.allSettled(keys.map((key) => identities.get(key)));
    assert.deepEqual(
      found.map((each) => (each.status === 'fulfilled' ? each.value?.deviceId : each.reason.code)),
      ['d1', 'ServiceUnavailable', 'd3'],
    );
    await opened.close();
  });

  test('postgres: an id with a NUL, which no text of PostgreSQL has, is that of nobody, and nothing to who asks beside', async () => {
    const opened = await open();
    const { identities, subscriptions, places } = opened.tables;
    const keys = ['d1', 'd\u0000', 'd3'].map((deviceId) => ({ deviceId }));
    await admitIdentities(identities, [keys[0], keys[2]]);
    const found = await Promise.all(keys.map((key) => identities.get(key)));
    assert.deepEqual(
      found.map((identity) => identity?.deviceId),
      ['d1', undefined, 'd3'],
    );
    assert.deepEqual(await Promise.all(keys.map((key) => subscriptions.load(key, 'g1'))), new Array(3).fill(undefined));
    assert.deepEqual(await Promise.all(keys.map((key) => places.find(key))), new Array(3).fill(undefined));
    await opened.close();
  });

  test('postgres: a table that a newer node changes is read on', async () => {
    const opened = await open();
    const { identities, consumerGroups } = opened.tables;
    await admitIdentities(identities, [{ deviceId: 'd1' }]);
    // Often enough to be parsed once, and the plan to be kept.
    for (let time = 0; time < 12; time++) await identities.get({ deviceId: 'd1' });
    await opened.query(
      `alter table identities add column later text; alter table consumer_groups add column later text`,
    );
    assert.equal((await identities.get({ deviceId: 'd1' }))?.deviceId, 'd1');
    const group = { name: 'g', createdTime: 1 };
    assert.equal(await consumerGroups.create('e', group, 10), 'created');
    assert.equal((await consumerGroups.list('e')).length, 1);
    await opened.close();
  });

  test('postgres: devices that nodes create, change and delete beside each other are counted', async () => {
    const opened = await open();
    const node = await opened.another();
    const nodes = [opened.tables.identities, node.identities];
    const of = (at: number, nth: number) => ({ deviceId: `${at}-${nth}` });
    const nths = Array.from({ length: 40 }, (_, nth) => nth);
    const all = <Result>(work: (at: number, nth: number) => Promise<Result>): Promise<Result[]> =>
      Promise.all(nths.flatMap((nth) => [0, 1].map((at) => work(at, nth))));
    await all((at, nth) =>
      nodes[at].write([{ kind: 'create', identity: exampleIdentity(of(at, nth)), countMax: 1000 }]),
    );
    assert.deepEqual(await nodes[0].counts(), { devices: 80, enabled: 80, disabled: 0 });
    // Each by the other node, whose connections count in parts of their own.
    await all(async (at, nth) => {
      if (nth % 4 === 0) await nodes[1 - at].write([{ kind: 'delete', key: of(at, nth), ifMatch: '*' }]);
      if (nth % 4 !== 1) return;
      const identity = { ...exampleIdentity(of(at, nth)), status: 'disabled' as const };
      await nodes[1 - at].write([{ kind: 'replace', identity, ifMatch: '*' }]);
    });
    assert.deepEqual(await nodes[1].counts(), { devices: 60, enabled: 40, disabled: 20 });
    const more = { kind: 'create', identity: exampleIdentity({ deviceId: 'more' }), countMax: 60 } as const;
    assert.deepEqual(await nodes[0].write([more]), [{ kind: 'full' }]);
    await node.close();
    await opened.close();
  });
});
