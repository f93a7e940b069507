/** Places of connections in PostgreSQL: the contract, and what only several nodes can do to each other. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import type { IdentityWrite } from '../../core/identity/ports.ts';
import type { Identity, IdentityKey } from '../../core/identity/types.ts';
import type { Holder } from '../../core/presence/places.ts';
import { exampleIdentity } from '../contract/identities.ts';
import { placesContract, placesDevices } from '../contract/places.ts';
import { type OpenedPostgres, withPostgres } from '../contract/postgres.ts';

const holder = (key: IdentityKey, node: string, connection: number): Holder => ({
  ...{ key, node, connection, generationId: 'g1', since: 1000 + connection },
});

const created = (key: IdentityKey, more: Partial<Identity> = {}): IdentityWrite => ({
  kind: 'create',
  identity: exampleIdentity(key, { generationId: 'g1', ...more }),
  countMax: 1000,
});

withPostgres('places of connections', (open) => {
  const opened: OpenedPostgres[] = [];
  after(() => Promise.all(opened.map((each) => each.close())));
  const fresh = async (): Promise<OpenedPostgres> => {
    const each = await open();
    opened.push(each);
    const keys = [...placesDevices.map((deviceId) => ({ deviceId })), { deviceId: 'd1', moduleId: 'm1' }];
    await each.tables.identities.write(keys.map((key) => created(key)));
    return each;
  };

  placesContract('postgres', async () => (await fresh()).tables.places);

  test('postgres: nodes that claim one place at the same moment are told of each other, in one order', async () => {
    const { tables, another } = await fresh();
    const nodes = [tables, await another(), await another()];
    for (let round = 0; round < 30; round++) {
      const key = { deviceId: `d${round % 6}` };
      const claims = nodes.map((_, at) => holder(key, `n${at}`, 10 * round + at));
      const told = await Promise.all(nodes.map(({ places }, at) => places.claim([claims[at]])));
      const displaced = told.map(([outcome]) => {
        assert.ok(outcome.kind === 'held');
        return outcome.displaced?.connection;
      });
      const last = (await tables.places.find(key))?.connection;
      const own = claims.map(({ connection }) => connection);
      // A chain: each of them but the last was displaced by one, and one has displaced who was there before.
      assert.deepEqual(
        own.filter((connection) => !displaced.includes(connection)),
        [last],
        `round ${round}: ${displaced}`,
      );
      await nodes[0].places.release(claims);
    }
    assert.equal(await tables.places.connectedDevices(), 0);
    await Promise.all(nodes.slice(1).map((node) => node.close()));
  });

  test('postgres: a node without a lease takes no place, and displaces nobody', async () => {
    const { tables, another, query } = await fresh();
    const key = { deviceId: 'd1' };
    const standing = { id: 'n/1', name: 'n', folder: 'one', hasJoined: true };
    const held = await another(systemClock, { standing: () => standing });
    try {
      await tables.nodes.join({ id: 'n/1', name: 'n', folder: 'one', address: '', port: 1, version: '' }, 60_000);
      const [first] = await held.places.claim([holder(key, 'n/1', 1)]);
      assert.deepEqual(first, { kind: 'held', displaced: undefined });
      await query(`update nodes set lease_until = 0`);
      await tables.places.claim([holder(key, 'n/2', 1)]);
      const late = await held.places.claim([holder(key, 'n/1', 2), holder({ deviceId: 'nobody' }, 'n/1', 3)]);
      assert.deepEqual(
        late.map(({ kind }) => kind),
        ['none', 'refused'],
      );
      assert.equal((await tables.places.find(key))?.node, 'n/2');
    } finally {
      await held.close();
    }
  });

  test('postgres: identities speak against a claim, each for itself', async () => {
    const { tables } = await fresh();
    await tables.identities.write([
      created({ deviceId: 'off' }, { status: 'disabled' }),
      created({ deviceId: 'off', moduleId: 'm1' }),
    ]);
    const claims: Holder[] = [
      holder({ deviceId: 'd1' }, 'a', 1),
      holder({ deviceId: 'off' }, 'a', 2),
      holder({ deviceId: 'off', moduleId: 'm1' }, 'a', 3),
      holder({ deviceId: 'nobody' }, 'a', 4),
      holder({ deviceId: 'd1', moduleId: 'nobody' }, 'a', 5),
      { ...holder({ deviceId: 'd2' }, 'a', 6), generationId: 'g0' },
      { ...holder({ deviceId: 'd3' }, 'a', 7), authority: 'of nobody' },
    ];
    const told = await tables.places.claim(claims);
    assert.deepEqual(
      told.map((outcome) => (outcome.kind === 'refused' ? outcome.reason : outcome.kind)),
      ['held', 'disabled', 'disabled', 'deleted', 'deleted', 'deleted', 'authority-removed'],
    );
    assert.equal(await tables.places.connectedDevices(), 1);
  });

  test('postgres: a claim that the database does not answer has an outcome, too', async () => {
    const { another } = await fresh();
    const node = await another();
    await node.close();
    const [outcome] = await node.places.claim([holder({ deviceId: 'd1' }, 'a', 1)]);
    assert.equal(outcome.kind, 'unknown');
  });
});
