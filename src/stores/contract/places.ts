import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { identityName } from '../../core/identity/permissions.ts';
import type { Holder, Places } from '../../core/presence/places.ts';
import type { DisconnectReason } from '../../core/presence/types.ts';

/** The devices that the suite claims places for. */
export const placesDevices = ['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'never'];

/** What the identities say against a claim, where the implementation knows them; set by a test. */
export interface Objections {
  of(claim: Holder): DisconnectReason | undefined;
}

/**
 * What every implementation of `Places` keeps.
 * @param open a new, empty one, which asks `objections`; or which knows identities by itself, and then `placesDevices` and a module m1 of
 *   d1, each in generation g1
 */
export function placesContract(name: string, open: (objections: Objections) => Promise<Places>): void {
  const nothing: Objections = { of: () => undefined };
  const fresh = (): Promise<Places> => open(nothing);

  test(`${name}: the newest claim has the place, and is told whose it was`, async () => {
    const places = await fresh();
    const [first, second] = [holder('d1', 1, 'a'), holder('d1', 1, 'b')];
    assert.deepEqual(await outcomes(places, [first]), [['held', undefined]]);
    assert.deepEqual(await outcomes(places, [second]), [['held', 'a1']]);
    assert.equal(nameOf(await places.find(first.key)), 'b1');
    assert.equal((await places.find(first.key))?.since, second.since);
    assert.equal(await places.connectedDevices(), 1);
  });

  test(`${name}: claims of one batch are taken in their order`, async () => {
    const places = await fresh();
    const batch = [holder('d1', 1, 'a'), holder('d2', 2, 'a'), holder('d1', 3, 'a')];
    assert.deepEqual(await outcomes(places, batch), [
      ['held', undefined],
      ['held', undefined],
      ['held', 'a1'],
    ]);
    assert.equal(nameOf(await places.find({ deviceId: 'd1' })), 'a3');
    assert.equal(await places.connectedDevices(), 2);
  });

  test(`${name}: only the holder frees its place, and twice is harmless`, async () => {
    const places = await fresh();
    const [older, newer] = [holder('d1', 1, 'a'), holder('d1', 1, 'b')];
    await places.claim([older, newer]);
    await places.release([older, holder('never', 9, 'a')]);
    assert.equal(nameOf(await places.find(newer.key)), 'b1');
    await places.release([newer]);
    await places.release([newer]);
    assert.equal(await places.find(newer.key), undefined);
    assert.equal(await places.connectedDevices(), 0);
  });

  test(`${name}: what a node holds is told, and what it has lost is not`, async () => {
    const places = await fresh();
    await places.claim([holder('d1', 1, 'a'), holder('d2', 2, 'a'), holder('d3', 3, 'b')]);
    await places.claim([holder('d2', 4, 'b')]);
    assert.deepEqual((await places.of('a')).map(nameOf), ['a1']);
    assert.deepEqual((await places.of('b')).map(nameOf).sort(), ['b3', 'b4']);
    assert.deepEqual(await places.of('c'), []);
  });

  test(`${name}: a module has a place of its own, and is no device`, async () => {
    const places = await fresh();
    const module = { ...holder('d1', 1, 'a'), key: { deviceId: 'd1', moduleId: 'm1' } };
    await places.claim([module]);
    assert.equal(await places.connectedDevices(), 0);
    assert.equal(await places.find({ deviceId: 'd1' }), undefined);
    assert.equal(nameOf(await places.find(module.key)), 'a1');
  });

  test(`${name}: a claim that the identity speaks against is refused, and leaves the place as it is`, async () => {
    const places = await open({ of: (claim) => (claim.generationId === 'g2' ? 'deleted' : undefined) });
    await places.claim([holder('d1', 1, 'a')]);
    const late = { ...holder('d1', 2, 'b'), generationId: 'g2' };
    assert.deepEqual(await places.claim([late]), [{ kind: 'refused', reason: 'deleted' }]);
    assert.equal(nameOf(await places.find(late.key)), 'a1');
  });

  test(`${name}: a node that has gone leaves all its places, and no others`, async () => {
    const places = await fresh();
    await places.claim([holder('d1', 1, 'a'), holder('d2', 2, 'a'), holder('d3', 1, 'b'), holder('d2', 2, 'b')]);
    const gone = await places.leave('a');
    assert.deepEqual(gone.map(nameOf), ['a1']);
    assert.equal(await places.find({ deviceId: 'd1' }), undefined);
    assert.equal(nameOf(await places.find({ deviceId: 'd2' })), 'b2');
    assert.equal(await places.connectedDevices(), 2);
    // Its late word counts for nothing.
    await places.release(gone);
    assert.equal(await places.connectedDevices(), 2);
  });

  test(`${name}: any sequence ends as in a model that keeps one holder per identity`, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const { next } = dice(seed);
    const places = await fresh();
    const model = new Map<string, Holder>();
    const all: Holder[] = [];
    for (let step = 0; step < 400; step++) {
      const kind = next(10);
      if (kind < 6) {
        const batch = Array.from({ length: 1 + next(3) }, () => holder(`d${next(6)}`, all.length + 1, `n${next(3)}`));
        const told = await places.claim(batch);
        batch.forEach((claim, at) => {
          const name = identityName(claim.key);
          const outcome = told[at];
          assert.ok(outcome.kind === 'held', `seed ${seed}, step ${step}`);
          assert.equal(nameOf(outcome.displaced), nameOf(model.get(name)), `seed ${seed}, step ${step}`);
          model.set(name, claim);
          all.push(claim);
        });
      } else if (kind < 9 && all.length > 0) {
        const left = all[next(all.length)];
        await places.release([left]);
        if (nameOf(model.get(identityName(left.key))) === nameOf(left)) model.delete(identityName(left.key));
      } else {
        const node = `n${next(3)}`;
        await places.leave(node);
        for (const [name, { node: own }] of model) if (own === node) model.delete(name);
      }
      assert.equal(await places.connectedDevices(), model.size, `seed ${seed}, step ${step}`);
      for (let at = 0; at < 6; at++) {
        const found = await places.find({ deviceId: `d${at}` });
        assert.equal(nameOf(found), nameOf(model.get(`d${at}`)), `seed ${seed}, step ${step}`);
      }
    }
  });
}

function holder(deviceId: string, connection: number, node: string): Holder {
  return { key: { deviceId }, connection, node, generationId: 'g1', since: 1000 + connection };
}

const nameOf = (one: Holder | undefined): string | undefined => one && `${one.node}${one.connection}`;

async function outcomes(places: Places, claims: readonly Holder[]): Promise<readonly unknown[]> {
  const told = await places.claim(claims);
  return told.map((outcome) => [outcome.kind, outcome.kind === 'held' ? nameOf(outcome.displaced) : undefined]);
}

function dice(seed: number): { next(below: number): number } {
  const random = seededRandom(seed);
  return { next: (below) => random.bytes(4).readUInt32BE() % below };
}
