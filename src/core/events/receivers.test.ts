import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import type { HubError } from '../errors.ts';
import { ReceiverPlaces } from './receivers.ts';

function receiver(name: string, epoch?: number) {
  const told: HubError[] = [];
  return { name, epoch, told, displaced: (reason: HubError) => void told.push(reason) };
}

test('receivers without an epoch share a partition up to the limit, and a place that is left is free again', () => {
  const places = new ReceiverPlaces();
  const leaves = Array.from({ length: limits.receiversPerPartitionMax }, (_, at) =>
    places.enter('$Default', 0, receiver(`r${at}`)),
  );
  assert.throws(() => places.enter('$default', 0, receiver('late')), { code: 'IotHubQuotaExceeded' });
  places.enter('other', 0, receiver('other group'));
  places.enter('$Default', 1, receiver('other partition'));
  leaves[0]();
  leaves[0]();
  places.enter('$Default', 0, receiver('late'));
  assert.throws(() => places.enter('$Default', 0, receiver('too late')), { code: 'IotHubQuotaExceeded' });
});

test('an epoch takes the place of everybody who is there, and an equal or higher one takes it again', () => {
  const places = new ReceiverPlaces();
  const [shared, first, equal, higher] = [receiver('s'), receiver('a', 0), receiver('b', 0), receiver('c', 7)];
  places.enter('g', 0, shared);
  places.enter('g', 0, first);
  assert.match(
    shared.told[0].message,
    /^New receiver 'a' with higher epoch of '0' is created hence current receiver 's'/,
  );
  assert.equal(shared.told[0].code, 'LinkCreationConflict');
  places.enter('g', 0, equal);
  assert.equal(first.told.length, 1);
  const leave = places.enter('g', 0, higher);
  assert.equal(equal.told.length, 1);
  assert.throws(() => places.enter('g', 0, receiver('d', 6)), {
    code: 'LinkCreationConflict',
    message: /^Receiver 'c' with a higher epoch '7' already exists. Receiver 'd' with epoch 6 cannot be created/,
  });
  assert.throws(() => places.enter('g', 0, receiver('e')), {
    code: 'LinkCreationConflict',
    message:
      /^At least one receiver for the endpoint is created with epoch of '7', and so non-epoch receiver is not allowed/,
  });
  leave();
  places.enter('g', 0, receiver('e'));
  assert.deepEqual(higher.told, []);
});

test('one that was displaced does not take the place of its successor out when it leaves', () => {
  const places = new ReceiverPlaces();
  const leave = places.enter('g', 0, receiver('a', 1));
  places.enter('g', 0, receiver('b', 1));
  leave();
  assert.throws(() => places.enter('g', 0, receiver('c')), { code: 'LinkCreationConflict' });
});
