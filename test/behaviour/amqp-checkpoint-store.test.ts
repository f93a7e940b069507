import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { FileCheckpointStore, type PartitionOwnership } from '../../examples/checkpoint-store/file-checkpoint-store.ts';

const place = { fullyQualifiedNamespace: 'localhost', eventHubName: 'hub', consumerGroup: '$Default' };
const key = [place.fullyQualifiedNamespace, place.eventHubName, place.consumerGroup] as const;

async function inFolder(run: (open: () => FileCheckpointStore) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'checkpoints-'));
  try {
    await run(() => new FileCheckpointStore(path.join(folder, 'new', 'one')));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('checkpoints are found again by another store over the same folder, the newest of each partition', async () => {
  await inFolder(async (open) => {
    const store = open();
    assert.deepEqual(await store.listCheckpoints(...key), []);
    await store.updateCheckpoint({ ...place, partitionId: '0', sequenceNumber: 5, offset: '1000000000000005' });
    await store.updateCheckpoint({ ...place, partitionId: '1', sequenceNumber: 1, offset: '1000000000000001' });
    await store.updateCheckpoint({ ...place, partitionId: '0', sequenceNumber: 9, offset: '1000000000000009' });
    const found = await open().listCheckpoints(...key);
    assert.deepEqual(found.map(({ partitionId, sequenceNumber }) => [partitionId, sequenceNumber]).sort(), [
      ['0', 9],
      ['1', 1],
    ]);
    assert.deepEqual(await open().listCheckpoints('localhost', 'hub', 'other'), []);
  });
});

test('of many readers that claim a partition at once exactly one wins, each time', async () => {
  await inFolder(async (open) => {
    let known: PartitionOwnership[] = [];
    for (let round = 1; round <= 10; round++) {
      const claims = Array.from({ length: 8 }, (_, reader) =>
        open().claimOwnership([{ ...place, partitionId: '0', ownerId: `reader ${reader}`, etag: known[0]?.etag }]),
      );
      const won = (await Promise.all(claims)).flat();
      assert.equal(won.length, 1, `round ${round}`);
      const stale = await open().claimOwnership([
        { ...place, partitionId: '0', ownerId: 'late', etag: known[0]?.etag },
      ]);
      assert.deepEqual(stale, []);
      known = await open().listOwnership(...key);
      assert.equal(known.length, 1);
      assert.equal(known[0].ownerId, won[0].ownerId);
      assert.equal(known[0].etag, won[0].etag);
    }
  });
});
