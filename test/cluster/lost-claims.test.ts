/** Who has a place where the answer to a claim is lost, or a node dies that has taken it and has told nobody. Over PostgreSQL. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connections, Places } from '../../src/core/presence/places.ts';
import { type OpenedPostgres, withPostgres } from '../../src/stores/contract/postgres.ts';
import { createMemoryEventLog, type MemoryEventLog } from '../../src/stores/memory/event-log.ts';
import { claimOf, makeDevices, openPlacesNode, type PlacesNode } from '../drivers/places-nodes.ts';
import { until } from '../drivers/until.ts';

const key = { deviceId: 'd1' };
/** Of a node that has died: it is in the tables alone. */
const dead = { key, generationId: 'g1', node: 'dead/1', connection: 1, since: 0 };
/** Long enough for anything that is not waited for. */
const SETTLE_MS = 200;

withPostgres('claims without an answer', (open) => {
  interface Rig extends AsyncDisposable {
    readonly opened: OpenedPostgres;
    readonly a: PlacesNode;
    readonly b: PlacesNode;
    readonly c: PlacesNode;
    /** What connections of `b` have handed over waits until the test says so. */
    readonly log: MemoryEventLog;
  }

  /** Three nodes of which `b` has the connection of the device. */
  async function rig(
    dropped: string[],
    placesOfA: (places: Places) => Places = (places) => places,
    reachedB?: (own: Connections) => Connections,
  ): Promise<Rig> {
    await using all = new AsyncDisposableStack();
    const opened = await open();
    all.defer(() => opened.close());
    await makeDevices(opened, [key]);
    const log = createMemoryEventLog({ name: 'hub', partitionCount: 1, durable: 'byHand' });
    const a = await openPlacesNode(opened, 'a', { places: placesOfA(opened.tables.places) });
    const b = await openPlacesNode(opened, 'b', { logs: [log], ...(reachedB && { reached: reachedB }) });
    const c = await openPlacesNode(opened, 'c');
    all.defer(async () => {
      await log.commit();
      await Promise.all([a, b, c].map(({ nodes }) => nodes.close()));
    });
    await b.presence.claim(claimOf(dropped));
    log.writer.reserve(0, 1);
    const own = all.move();
    return { opened, a, b, c, log, [Symbol.asyncDispose]: () => own.disposeAsync() };
  }

  /** Tells what has become of a claim so far. */
  function watched(claim: Promise<unknown>): () => 'waits' | 'in' | 'refused' {
    let outcome: ReturnType<ReturnType<typeof watched>> = 'waits';
    claim.then(
      () => (outcome = 'in'),
      () => (outcome = 'refused'),
    );
    return () => outcome;
  }

  /** Who comes now waits until what the first connection has handed over is stored, and is the one that has the place then. */
  async function comesBehind({ b, c, log }: Rig, dropped: readonly string[]): Promise<void> {
    const newest = watched(c.presence.claim(claimOf([])));
    await until('the first is ended', () => dropped.length > 0);
    await sleep(SETTLE_MS);
    assert.deepEqual([dropped, newest()], [['taken-over'], 'waits']);
    await log.commit();
    await until('the newest is in', () => newest() !== 'waits');
    assert.deepEqual([newest(), b.presence.held(), c.presence.held()], ['in', 0, 1]);
  }

  test('postgres: who comes behind a claim whose answer was lost waits for the connection that was there before it', async () => {
    const dropped: string[] = [];
    await using nodes = await rig(dropped, (places) => ({
      ...places,
      async claim(claims) {
        await places.claim(claims);
        return claims.map(() => ({ kind: 'unknown', error: new Error('the answer was lost') }));
      },
    }));
    await assert.rejects(nodes.a.presence.claim(claimOf([])), { code: 'ServiceUnavailable' });
    await sleep(SETTLE_MS);
    await comesBehind(nodes, dropped);
  });

  test('postgres: who takes the place from a node that has died waits for whom that had taken it from', async () => {
    const dropped: string[] = [];
    await using nodes = await rig(dropped);
    await nodes.opened.tables.places.claim([dead]);
    await comesBehind(nodes, dropped);
  });

  test('postgres: a place that a node had taken which has died is free when whom it was taken from has ended', async () => {
    const dropped: string[] = [];
    await using nodes = await rig(dropped);
    const { opened, a, log } = nodes;
    const { places } = opened.tables;
    await places.claim([dead]);
    await opened.query(`insert into nodes (id, name, folder, address, port, version, started_time, lease_until)
      values ('${dead.node}', 'dead', '', '', 1, '', 0, 0)`);
    await a.nodes.membership.renew();
    await until('the first is ended', () => dropped.length > 0);
    await sleep(SETTLE_MS);
    assert.equal((await places.find(key))?.node, dead.node, 'what the first has handed over is on its way');
    await log.commit();
    await until('the place is free', async () => (await places.find(key)) === undefined);
  });

  test('postgres: a place whose older connection could not be ended is not free before that has ended', async () => {
    const dropped: string[] = [];
    let fails = true;
    await using nodes = await rig(dropped, undefined, (own) => ({
      ...own,
      async drop(...place) {
        if (fails) throw new Error('a bug');
        await own.drop(...place);
      },
    }));
    await assert.rejects(nodes.a.presence.claim(claimOf([])), { code: 'ServiceUnavailable' });
    fails = false;
    await sleep(SETTLE_MS);
    await comesBehind(nodes, dropped);
  });
});
