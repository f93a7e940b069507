import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileRecords, NewNotification } from '../../core/files/ports.ts';
import type { Upload } from '../../core/files/types.ts';
import type { IdentityStore } from '../../core/identity/ports.ts';
import type { IdentityKey } from '../../core/identity/types.ts';
import { exampleIdentity } from './identities.ts';

export interface OpenedRecords {
  readonly records: FileRecords;
  readonly identities: IdentityStore;
  readonly close: () => Promise<void>;
}

const NOW = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;
const d1: IdentityKey = { deviceId: 'd1' };
const m1: IdentityKey = { deviceId: 'd1', moduleId: 'm1' };

/** What every `FileRecords` does. `open` gives new, empty ones. */
export function fileRecordsContract(name: string, open: () => Promise<OpenedRecords>): void {
  const trial = (
    what: string,
    run: (opened: OpenedRecords, upload: (id: string, key?: IdentityKey) => Upload) => Promise<void>,
  ) =>
    test(`${name}: ${what}`, async () => {
      const opened = await open();
      try {
        for (const key of [d1, m1]) {
          await opened.identities.write([{ kind: 'create', identity: exampleIdentity(key), countMax: 100 }]);
        }
        const generations = new Map<string, string>();
        for (const key of [d1, m1]) {
          generations.set(JSON.stringify(key), (await opened.identities.get(key))?.generationId ?? '');
        }
        await run(opened, (correlationId, key = d1) => ({
          correlationId,
          key,
          generationId: generations.get(JSON.stringify(key)) ?? '',
          path: `d1/${correlationId}.bin`,
          openedTime: NOW,
          expiresAt: NOW + HOUR,
        }));
      } finally {
        await opened.close();
      }
    });

  trial('the first secret stays', async ({ records }) => {
    const first = Buffer.alloc(32, 1);
    assert.deepEqual(Buffer.from(await records.secret(first)), first);
    assert.deepEqual(Buffer.from(await records.secret(Buffer.alloc(32, 2))), first);
  });

  trial('an identity has so many uploads open; time and ending one make room', async ({ records }, upload) => {
    assert.deepEqual(await records.open(upload('a'), 2, NOW), { kind: 'opened' });
    assert.deepEqual(await records.open({ ...upload('b'), expiresAt: NOW + 10 }, 2, NOW), { kind: 'opened' });
    assert.deepEqual(await records.open(upload('c'), 2, NOW), { kind: 'full', open: 2 });
    assert.deepEqual(await records.open(upload('c', m1), 2, NOW), { kind: 'opened' }, 'a module counts by itself');
    assert.deepEqual(await records.open(upload('c'), 2, NOW + 10), { kind: 'opened' }, 'b is over');
    assert.equal(await records.close(d1, 'a', undefined, NOW + 10), true);
    assert.deepEqual(await records.open(upload('d'), 2, NOW + 10), { kind: 'opened' });
    assert.deepEqual(await records.totals(NOW + 10), { uploadsOpen: 3, notifications: 0 });
  });

  trial('an upload is found as it was opened, and closed once', async ({ records }, upload) => {
    await records.open(upload('a', m1), 2, NOW);
    assert.deepEqual(await records.find(m1, 'a'), { ...upload('a', m1), isOpen: true });
    assert.equal(await records.find(d1, 'a'), undefined, 'another identity does not see it');
    assert.equal(await records.close(d1, 'a', notification(d1), NOW), false);
    assert.equal(await records.close(m1, 'a', undefined, NOW + HOUR), false, 'its time is over');
    assert.equal(await records.close(m1, 'a', undefined, NOW), true);
    assert.equal(await records.close(m1, 'a', notification(m1), NOW), false);
    assert.deepEqual(await records.find(m1, 'a'), { ...upload('a', m1), isOpen: false });
    assert.equal(await records.lock({ lockToken: 't', lockMs: 1000 }, NOW), undefined, 'none was told of');
  });

  trial(
    'nothing is opened for a generation that is gone, and what it had goes with it',
    async ({ records }, upload) => {
      assert.deepEqual(await records.open({ ...upload('a'), generationId: 'other' }, 2, NOW), { kind: 'gone' });
      await records.open(upload('b'), 2, NOW);
      await records.open(upload('b', m1), 2, NOW);
      await records.forget(d1);
      assert.equal(await records.find(d1, 'b'), undefined);
      assert.notEqual(await records.find(m1, 'b'), undefined);
    },
  );

  trial('a notification goes to one back end at a time, oldest first', async ({ records }, upload) => {
    for (const id of ['a', 'b']) {
      await records.open(upload(id), 5, NOW);
      await records.close(d1, id, notification(d1, id), NOW);
    }
    const first = await records.lock({ lockToken: 't1', lockMs: 1000 }, NOW);
    assert.deepEqual(first, {
      lockToken: 't1',
      lockedUntil: NOW + 1000,
      deliveryCount: 0,
      notification: { sequence: first?.notification.sequence, ...shown(notification(d1, 'a')) },
    });
    assert.equal((await records.lock({ lockToken: 't2', lockMs: 1000 }, NOW))?.notification.path, 'd1/b.bin');
    assert.equal(await records.lock({ lockToken: 't3', lockMs: 1000 }, NOW), undefined);
    assert.equal(await records.settle('t1', 'complete', 5, NOW + 1000), false, 'the lock has ended');
    assert.equal((await records.lock({ lockToken: 't4', lockMs: 1000 }, NOW + 1000))?.notification.path, 'd1/a.bin');
    assert.equal(await records.settle('t4', 'complete', 5, NOW + 1500), true);
    assert.equal(await records.settle('t4', 'complete', 5, NOW + 1500), false);
    assert.deepEqual(await records.totals(NOW + 1500), { uploadsOpen: 0, notifications: 1 });
  });

  trial('what is abandoned comes again, so often', async ({ records }, upload) => {
    await records.open(upload('a'), 5, NOW);
    await records.close(d1, 'a', notification(d1, 'a'), NOW);
    for (const count of [0, 1]) {
      const locked = await records.lock({ lockToken: `t${count}`, lockMs: 1000 }, NOW);
      assert.equal(locked?.deliveryCount, count);
      assert.equal(await records.settle(`t${count}`, 'abandon', 2, NOW), true);
    }
    assert.equal(await records.lock({ lockToken: 't', lockMs: 1000 }, NOW), undefined, 'given up');
  });

  trial('time removes uploads and notifications, but not what a back end holds', async ({ records }, upload) => {
    await records.open(upload('a'), 5, NOW);
    await records.open({ ...upload('b'), expiresAt: NOW + 2 * HOUR }, 5, NOW);
    await records.close(d1, 'a', notification(d1, 'a'), NOW);
    await records.close(d1, 'b', notification(d1, 'b'), NOW);
    await records.lock({ lockToken: 't', lockMs: 2 * HOUR }, NOW);
    assert.equal(await records.sweep(100, NOW + HOUR - 1), 0);
    assert.equal(await records.lock({ lockToken: 'u', lockMs: 1 }, NOW + HOUR), undefined, 'its time is over');
    assert.equal(await records.sweep(100, NOW + HOUR), 2);
    assert.equal(await records.find(d1, 'a'), undefined);
    assert.notEqual(await records.find(d1, 'b'), undefined);
    assert.equal(await records.settle('t', 'complete', 5, NOW + HOUR), true);
  });
}

function notification(key: IdentityKey, id = 'x'): NewNotification {
  return {
    key,
    path: `d1/${id}.bin`,
    blobUri: `https://files.example/hub-files/d1/${id}.bin`,
    bytes: 5_000_000_000,
    lastModified: NOW - 1,
    enqueuedTime: NOW,
    expiresAt: NOW + HOUR,
  };
}

function shown({ expiresAt: _over, ...rest }: NewNotification): Omit<NewNotification, 'expiresAt'> {
  return rest;
}
