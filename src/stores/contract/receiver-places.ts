import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import type { HubError } from '../../core/errors.ts';
import type { Receiver, ReceiverPlaces } from '../../core/events/receivers.ts';

/**
 * What every implementation of `ReceiverPlaces` keeps.
 * @param open two ways to the same new, empty places: receivers of two members, where there are members
 */
export function receiverPlacesContract(name: string, open: () => readonly [ReceiverPlaces, ReceiverPlaces]): void {
  test(`${name}: receivers without an epoch share a partition up to the limit, and a place that is left is free again`, async () => {
    const [one, other] = open();
    const leaves = [];
    for (let at = 0; at < limits.receiversPerPartitionMax; at++) {
      leaves.push(await [one, other][at % 2].enter(at0('$Default'), receiver(`r${at}`)));
    }
    await assert.rejects(other.enter(at0('$default'), receiver('late')), { code: 'IotHubQuotaExceeded' });
    await one.enter(at0('other'), receiver('other group'));
    await one.enter({ ...at0('$Default'), partition: 1 }, receiver('other partition'));
    await one.enter({ ...at0('$Default'), eventHub: 'other' }, receiver('other event hub'));
    leaves[0]();
    leaves[0]();
    await one.enter(at0('$Default'), receiver('late'));
    await assert.rejects(other.enter(at0('$Default'), receiver('too late')), { code: 'IotHubQuotaExceeded' });
  });

  test(`${name}: an epoch takes the place of everybody who is there, and an equal or higher one takes it again`, async () => {
    const [one, other] = open();
    const [shared, first, equal, higher] = [receiver('s'), receiver('a', 0), receiver('b', 0), receiver('c', 7)];
    await one.enter(at0('g'), shared);
    await other.enter(at0('g'), first);
    assert.match(
      shared.told[0].message,
      /^New receiver 'a' with higher epoch of '0' is created hence current receiver 's'/,
    );
    assert.equal(shared.told[0].code, 'LinkCreationConflict');
    await one.enter(at0('g'), equal);
    assert.equal(first.told.length, 1);
    const leave = await other.enter(at0('g'), higher);
    assert.equal(equal.told.length, 1);
    await assert.rejects(one.enter(at0('g'), receiver('d', 6)), {
      code: 'LinkCreationConflict',
      message: /^Receiver 'c' with a higher epoch '7' already exists. Receiver 'd' with epoch 6 cannot be created/,
    });
    await assert.rejects(other.enter(at0('g'), receiver('e')), {
      code: 'LinkCreationConflict',
      message:
        /^At least one receiver for the endpoint is created with epoch of '7', and so non-epoch receiver is not allowed/,
    });
    leave();
    await other.enter(at0('g'), receiver('e'));
    assert.deepEqual(higher.told, []);
  });

  test(`${name}: one that was displaced does not take the place of its successor out when it leaves`, async () => {
    const [one, other] = open();
    const leave = await one.enter(at0('g'), receiver('a', 1));
    await other.enter(at0('g'), receiver('b', 1));
    leave();
    await assert.rejects(one.enter(at0('g'), receiver('c')), { code: 'LinkCreationConflict' });
  });

  test(`${name}: a receiver is let in when those whose place it takes read no more`, async () => {
    const [one, other] = open();
    const told = Promise.withResolvers<void>();
    const stops = Promise.withResolvers<void>();
    const slow: Receiver = {
      ...{ name: 'slow', epoch: 1 },
      displaced: () => {
        told.resolve();
        return stops.promise;
      },
    };
    await one.enter(at0('g'), slow);
    let isIn = false;
    const entered = other.enter(at0('g'), receiver('owner', 2)).then(() => {
      isIn = true;
    });
    await told.promise;
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isIn, false);
    stops.resolve();
    await entered;
  });
}

const at0 = (consumerGroup: string) => ({ eventHub: 'hub', consumerGroup, partition: 0 });

function receiver(name: string, epoch?: number) {
  const told: HubError[] = [];
  const displaced = (reason: HubError): void => void told.push(reason);
  return { name, ...(epoch !== undefined && { epoch }), told, displaced };
}
