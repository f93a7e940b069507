/** Nodes of one process each, as far as they concern each other: links, and what is told where there is none. Over PostgreSQL. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/drivers/until.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import type { EventLog } from '../../core/events/ports.ts';
import type { Places } from '../../core/presence/places.ts';
import { createPresence } from '../../core/presence/presence.ts';
import type { PresenceStateStore } from '../../core/presence/states.ts';
import type { ConnectionClaim } from '../../core/presence/types.ts';
import { type OpenedPostgres, withPostgres } from '../../stores/contract/postgres.ts';
import { createMemoryEventLog } from '../../stores/memory/event-log.ts';
import { Nodes, type OwnRooms } from './nodes.ts';
import { WORDS } from './words.ts';

withPostgres('nodes that cannot reach each other', (open) => {
  /** @param address where the others are told to find it */
  async function node(
    opened: OpenedPostgres,
    name: string,
    address = '127.0.0.1',
    places: Places = opened.tables.places,
    words = WORDS,
    recover: OwnRooms['recover'] = async () => {},
    logs: readonly EventLog[] = [],
  ) {
    const { tables } = opened;
    const told: string[] = [];
    const nodes = new Nodes({
      node: { name, folder: name, address, version: '1' },
      ...{ duties: [], stores: tables, places, logs, hubName: 'hub', words },
      ...{ clock: systemClock, random: systemRandom, log: silentLog },
    });
    const presence = createPresence({ places: nodes.places, nodes: nodes.presence, clock: systemClock });
    const rooms = {
      presence,
      forgetAll: () => void told.push('forgets'),
      recover,
      heard: { 'changed identities': (change: string) => void told.push(change) },
    };
    await nodes.join(rooms, { port: 0, addresses: ['127.0.0.1'] });
    told.length = 0;
    return { nodes, presence, told };
  }
  const claimOf = (dropped: string[]): ConnectionClaim => ({
    ...{ key: { deviceId: 'd1' }, generationId: 'g1', protocol: 'mqtt', credential: 'sas', peer: '127.0.0.1' },
    drop: (reason) => void dropped.push(reason),
  });

  test('postgres: a node that lives and cannot be reached is told by the database before the writer is answered', async () => {
    const opened = await open();
    const a = await node(opened, 'a');
    // Nothing listens there; its own links to the others are open.
    const b = await node(opened, 'b', '127.0.0.9');
    try {
      a.nodes.elsewhere.tell('identities', 'd1 is disabled');
      await a.nodes.elsewhere.heard();
      assert.deepEqual(b.told, ['d1 is disabled']);
      assert.deepEqual(a.nodes.unreached(), ['b']);
      // The other way there is a link, and no need to wait.
      const begun = performance.now();
      b.nodes.elsewhere.tell('identities', 'd2 is disabled');
      await b.nodes.elsewhere.heard();
      assert.deepEqual(a.told, ['d2 is disabled']);
      assert.ok(performance.now() - begun < 1000);
    } finally {
      await Promise.all([a.nodes.close(), b.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: a device that comes from a node that cannot be reached is let in when its older connection is dropped there', async () => {
    const opened = await open();
    const { exampleIdentity } = await import('../../stores/contract/identities.ts');
    const identity = exampleIdentity({ deviceId: 'd1' }, { generationId: 'g1' });
    await opened.tables.identities.write([{ kind: 'create', identity, countMax: 10 }]);
    const a = await node(opened, 'a');
    const b = await node(opened, 'b', '127.0.0.9');
    const dropped: string[] = [];
    try {
      await b.presence.claim(claimOf(dropped));
      await a.presence.claim(claimOf([]));
      assert.deepEqual(dropped, ['taken-over']);
      assert.equal((await b.presence.state({ deviceId: 'd1' })).connected, true);
      assert.equal(b.presence.held(), 0);
    } finally {
      await Promise.all([a.nodes.close(), b.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: a place that a node has not freed when it stops, because its log waits, is freed by another', async () => {
    const opened = await open();
    const { exampleIdentity } = await import('../../stores/contract/identities.ts');
    const identity = exampleIdentity({ deviceId: 'd1' }, { generationId: 'g1' });
    await opened.tables.identities.write([{ kind: 'create', identity, countMax: 10 }]);
    const log = createMemoryEventLog({ name: 'hub', partitionCount: 1, durable: 'byHand' });
    const { places } = opened.tables;
    const a = await node(opened, 'a', '127.0.0.1', places, WORDS, async () => {}, [log]);
    const b = await node(opened, 'b');
    try {
      const ticket = await a.presence.claim(claimOf([]));
      log.writer.reserve(0, 1);
      ticket.release('by-client');
      await a.nodes.close();
      assert.equal(await b.presence.connectedDevices(), 1);
      await until('its place is free', async () => (await b.presence.connectedDevices()) === 0);
      await until('nothing is left of the node', async () => (await opened.read('select from nodes')).length === 1);
    } finally {
      await b.nodes.close();
      await opened.close();
    }
  });

  test('postgres: many devices that come from a node that cannot be reached take few statements of those that renew leases', async () => {
    const opened = await open();
    const { exampleIdentity } = await import('../../stores/contract/identities.ts');
    const keys = Array.from({ length: 600 }, (_, at) => ({ deviceId: `d${at}` }));
    const created = keys.map((key) => ({
      ...{ kind: 'create' as const, countMax: 1000 },
      identity: exampleIdentity(key, { generationId: 'g1' }),
    }));
    await opened.tables.identities.write(created);
    let statements = 0;
    const { nodes } = opened.tables;
    const counting: typeof nodes = {
      ...nodes,
      notify(...args) {
        statements++;
        return nodes.notify(...args);
      },
      noticesLeft(...args) {
        statements++;
        return nodes.noticesLeft(...args);
      },
    };
    const a = await node({ ...opened, tables: { ...opened.tables, nodes: counting } }, 'a');
    const b = await node(opened, 'b', '127.0.0.9');
    const dropped: string[] = [];
    try {
      await Promise.all(keys.map((key) => b.presence.claim({ ...claimOf(dropped), key })));
      await Promise.all(keys.map((key) => a.presence.claim({ ...claimOf([]), key })));
      assert.deepEqual(dropped, new Array(keys.length).fill('taken-over'));
      assert.ok(statements > 2 && statements <= 60, `${statements} statements`);
    } finally {
      await Promise.all([a.nodes.close(), b.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: many who wait for one node to hear what it was told leave it in the database together', async () => {
    const opened = await open();
    const { nodes } = opened.tables;
    let notices = 0;
    let bytes = 0;
    const counting: typeof nodes = {
      ...nodes,
      notify(id, some) {
        notices += some.length;
        for (const { body } of some) bytes += body.length;
        return nodes.notify(id, some);
      },
    };
    const a = await node({ ...opened, tables: { ...opened.tables, nodes: counting } }, 'a');
    const b = await node(opened, 'b', '127.0.0.9');
    const changes = Array.from({ length: 500 }, (_, at) => `d${at} is disabled`);
    try {
      await Promise.all(
        changes.map((change) => {
          a.nodes.elsewhere.tell('identities', change);
          return a.nodes.elsewhere.heard();
        }),
      );
      assert.deepEqual(new Set(b.told), new Set(changes));
      assert.ok(notices >= 1 && notices <= 50, `${notices} notices of ${bytes} bytes`);
    } finally {
      await Promise.all([a.nodes.close(), b.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: a node that joins again lets nobody in before the others know it by its new id', async () => {
    const opened = await open();
    const a = await node(opened, 'a');
    const b = await node(opened, 'b');
    try {
      const { membership } = a.nodes;
      const regained = new Promise<boolean>((resolve) => {
        membership.watch({ regained: () => resolve(b.nodes.membership.of(membership.own) !== undefined) });
      });
      // Its lease is over.
      await opened.tables.nodes.leave(membership.own);
      await membership.renew();
      assert.equal(await regained, true);
      assert.deepEqual(a.told, ['forgets', 'forgets'], 'when it loses its lease, and when it has one again');
    } finally {
      await Promise.all([a.nodes.close(), b.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: a connection that was displaced by a claim of unknown outcome at another node is ended', async () => {
    const opened = await open();
    const { exampleIdentity } = await import('../../stores/contract/identities.ts');
    const identity = exampleIdentity({ deviceId: 'd1' }, { generationId: 'g1' });
    await opened.tables.identities.write([{ kind: 'create', identity, countMax: 10 }]);
    const { places } = opened.tables;
    const a = await node(opened, 'a', '127.0.0.1', {
      ...places,
      async claim(claims) {
        await places.claim(claims);
        return claims.map(() => ({ kind: 'unknown', error: new Error('the answer was lost') }));
      },
    });
    const b = await node(opened, 'b');
    try {
      const dropped: string[] = [];
      await b.presence.claim(claimOf(dropped));
      await assert.rejects(a.presence.claim(claimOf([])), { code: 'ServiceUnavailable' });
      await a.nodes.membership.renew();
      await a.nodes.elsewhere.heard();
      await b.nodes.membership.renew();
      await until('it is ended', () => dropped.length > 0);
      assert.deepEqual([dropped, b.presence.held()], [['taken-over'], 0]);
    } finally {
      await Promise.all([a.nodes.close(), b.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: a node that comes back while another clears up after it keeps what it says from then on', async () => {
    const opened = await open();
    const { exampleIdentity } = await import('../../stores/contract/identities.ts');
    const { tables } = opened;
    const keys = ['d1', 'd2'].map((deviceId) => ({ deviceId }));
    for (const key of keys) {
      const identity = exampleIdentity(key, { generationId: 'g1' });
      await tables.identities.write([{ kind: 'create', identity, countMax: 10 }]);
    }
    const said = tables.presenceOf('x');
    const connected = { generationId: 'g1', connected: true, connectionStateUpdatedTime: 1, lastActivityTime: 1 };
    await said.save([{ key: keys[0], ...connected }]);
    await opened.query(`insert into nodes (id, name, folder, address, port, version, started_time, lease_until)
      values ('x/1', 'x', '', '', 1, '', 0, 0)`);
    const begun = Promise.withResolvers<PresenceStateStore>();
    const isBack = Promise.withResolvers<void>();
    const recovered: string[] = [];
    const a = await node(opened, 'a', '127.0.0.1', tables.places, WORDS, async (states) => {
      for (const { key } of await states.recover(1)) recovered.push(key.deviceId);
      begun.resolve(states);
      await isBack.promise;
      for (const { key } of await states.recover(1)) recovered.push(key.deviceId);
      await states.end();
    });
    await a.nodes.membership.renew();
    await begun.promise;
    const back = await node(opened, 'x');
    try {
      assert.equal(await said.begin(), false);
      await said.save([{ key: keys[1], ...connected }]);
      isBack.resolve();
      await until(
        'it is cleared up',
        async () => (await opened.read(`select from nodes where id = 'x/1'`)).length === 0,
      );
      assert.deepEqual(recovered, ['d1']);
      const states = await said.get(keys);
      assert.deepEqual(
        states.map((state) => state?.connected),
        [false, true],
      );
      assert.equal(await said.begin(), true, 'its run has not ended');
    } finally {
      isBack.resolve();
      await Promise.all([a.nodes.close(), back.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: a node whose words are one newer is talked to', async () => {
    const opened = await open();
    const a = await node(opened, 'a');
    const b = await node(opened, 'b', '127.0.0.1', opened.tables.places, WORDS + 1);
    try {
      await Promise.all(
        [a, b].map(({ nodes }) => nodes.elsewhere.tell('identities', `d1 by ${nodes.membership.name}`)),
      );
      await Promise.all([a, b].map(({ nodes }) => nodes.elsewhere.heard()));
      assert.deepEqual([a.told, b.told], [['d1 by b'], ['d1 by a']]);
      assert.deepEqual([a.nodes.unreached(), b.nodes.unreached()], [[], []]);
    } finally {
      await Promise.all([a.nodes.close(), b.nodes.close()]);
      await opened.close();
    }
  });

  test('postgres: a node whose words the others do not know is refused, and says why', async (t) => {
    const opened = await open();
    const a = await node(opened, 'a');
    t.after(async () => {
      await a.nodes.close();
      await opened.close();
    });
    const stranger = new Nodes({
      node: { name: 'z', folder: 'z', address: '127.0.0.1', version: '9' },
      ...{
        duties: [],
        stores: opened.tables,
        places: opened.tables.places,
        logs: [],
        hubName: 'hub',
        words: WORDS + 2,
      },
      ...{ clock: systemClock, random: systemRandom, log: silentLog },
    });
    const presence = createPresence({ places: stranger.places, nodes: stranger.presence, clock: systemClock });
    const rooms = { presence, forgetAll: () => {}, recover: async () => {}, heard: {} };
    await assert.rejects(
      stranger.join(rooms, { port: 0, addresses: ['127.0.0.1'] }),
      /node a, version 1.*nodes of form 3 and 1 cannot talk/,
    );
    await stranger.close();
  });
});
