import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PresenceStateStore, StoredPresence } from '../../core/presence/states.ts';

export interface PresenceTrial {
  readonly store: PresenceStateStore;
  /** What another node on the same tables keeps; absent where there is one node only. */
  readonly another?: PresenceStateStore;
  /** Adds the identity to the registry, in a generation. */
  register(deviceId: string, moduleId: string | undefined, generationId: string): Promise<void>;
  /** Removes a device, with its modules. */
  unregister(deviceId: string): Promise<void>;
  readonly close: () => Promise<void>;
}

const state = (deviceId: string, connected: boolean, time: number, moduleId?: string): StoredPresence => ({
  key: moduleId === undefined ? { deviceId } : { deviceId, moduleId },
  generationId: 'g1',
  connected,
  connectionStateUpdatedTime: time,
  lastActivityTime: time + 1,
});

const plain = ({ connected, connectionStateUpdatedTime, lastActivityTime }: StoredPresence) => ({
  connected,
  connectionStateUpdatedTime,
  lastActivityTime,
});

/** What every `PresenceStateStore` does. `open` gives a new, empty one. */
export function presenceStateStoreContract(name: string, open: () => Promise<PresenceTrial>): void {
  const trial = (title: string, body: (parts: PresenceTrial) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const parts = await open();
      try {
        await body(parts);
      } finally {
        await parts.close();
      }
    });
  };

  trial('states are replaced, and answered in the order asked for', async ({ store, register }) => {
    await register('d1', undefined, 'g1');
    await register('d1', 'm1', 'g1');
    await register('d2', undefined, 'g1');
    await store.save([state('d1', true, 10), state('d1', true, 20, 'm1')]);
    await store.save([state('d1', false, 30)]);
    const keys = [{ deviceId: 'd2' }, { deviceId: 'd1', moduleId: 'm1' }, { deviceId: 'nobody' }, { deviceId: 'd1' }];
    assert.deepEqual(await store.get(keys), [
      undefined,
      plain(state('d1', true, 20, 'm1')),
      undefined,
      plain(state('d1', false, 30)),
    ]);
    assert.deepEqual(await store.get([]), []);
  });

  trial('a state belongs to one generation: the next bearer of the id has none', async (parts) => {
    const { store, register, unregister } = parts;
    await store.save([state('d1', true, 10)]);
    assert.deepEqual(await store.get([{ deviceId: 'd1' }]), [undefined], 'nobody of that name is registered');
    await register('d1', undefined, 'g1');
    await store.save([state('d1', true, 10)]);
    await unregister('d1');
    assert.deepEqual(await store.get([{ deviceId: 'd1' }]), [undefined]);
    await register('d1', undefined, 'g2');
    await store.save([state('d1', true, 20)]);
    assert.deepEqual(await store.get([{ deviceId: 'd1' }]), [undefined], 'written late, of the one before');
    assert.deepEqual(await store.recover(10), []);
  });

  trial('a run that did not end is noticed by the next', async ({ store }) => {
    assert.equal(await store.begin(), false);
    await store.end();
    assert.equal(await store.begin(), false);
    assert.equal(await store.begin(), true);
    await store.end();
    assert.equal(await store.begin(), false);
  });

  trial('of what nodes share, each recovers what it has said itself', async ({ store, another, register }) => {
    if (another === undefined) return;
    assert.equal(await store.begin(), false);
    assert.equal(await another.begin(), false, 'the other node runs; this one is new');
    for (const id of ['here', 'there', 'moved', 'left']) await register(id, undefined, 'g1');
    await store.save([state('here', true, 10), state('moved', true, 10), state('left', true, 10)]);
    await another.save([state('there', true, 20), state('moved', true, 20)]);
    // What the first node says of connections that it has lost arrives after the second has taken one of them.
    await store.save([state('moved', false, 15), state('left', false, 15)]);
    const keys = ['here', 'there', 'moved', 'left'].map((deviceId) => ({ deviceId }));
    const connected = async () => (await another.get(keys)).map((each) => each?.connected);
    assert.deepEqual(await connected(), [true, true, true, false]);
    assert.equal(await store.begin(), true, 'the first was killed');
    assert.deepEqual(
      (await store.recover(10)).map(({ key }) => key.deviceId),
      ['here'],
    );
    assert.deepEqual(await connected(), [false, true, true, false]);
    await another.save([state('moved', false, 30)]);
    await store.save([state('moved', true, 40)]);
    assert.deepEqual(await another.recover(10).then((all) => all.map(({ key }) => key.deviceId)), ['there']);
    assert.deepEqual(await connected(), [false, false, true, false]);
    await another.end();
  });

  trial('after a crash each connection ends once, at its last known activity', async ({ store, register }) => {
    const count = 25;
    for (let at = 0; at < count; at++) {
      await register(`d${at}`, undefined, 'g1');
      await store.save([state(`d${at}`, at % 5 !== 0, 100 + at)]);
    }
    const recovered: string[] = [];
    for (let pages = 1; ; pages++) {
      assert.ok(pages <= count, 'what was told is not told again');
      const page = await store.recover(7);
      assert.ok(page.length <= 7);
      if (page.length === 0) break;
      for (const each of page) {
        const time = 101 + Number(each.key.deviceId.slice(1));
        assert.deepEqual(plain(each), { connected: false, connectionStateUpdatedTime: time, lastActivityTime: time });
        assert.equal(each.generationId, 'g1');
        recovered.push(each.key.deviceId);
      }
    }
    assert.equal(new Set(recovered).size, 20);
    assert.equal(recovered.length, 20);
    const states = await store.get(Array.from({ length: count }, (_, at) => ({ deviceId: `d${at}` })));
    assert.ok(states.every((each) => each?.connected === false));
  });
}
