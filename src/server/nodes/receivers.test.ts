import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../base/log.ts';
import { HubError } from '../../core/errors.ts';
import { NodeReceivers } from './receivers.ts';

const place = { eventHub: 'hub', consumerGroup: '$Default', partition: 0 };
const reader = { name: 'r', displaced: () => {} };

test('a reader whose place may have been taken gives it back, one that was refused has none to give', async () => {
  const left: number[] = [];
  let answer: () => Promise<never> = () => Promise.reject(new HubError('ServiceUnavailable'));
  let own = 'a';
  const receivers = new NodeReceivers({
    store: {
      enter: () => answer(),
      leave: async (_, { receiver }) => void left.push(receiver),
    },
    own: () => own,
    isValid: () => true,
    displace: async () => {},
    log: silentLog,
  });
  await assert.rejects(receivers.enter(place, reader), { code: 'ServiceUnavailable' });
  assert.deepEqual(left, [1]);
  answer = () => Promise.reject(new HubError('IotHubQuotaExceeded'));
  await assert.rejects(receivers.enter(place, reader), { code: 'IotHubQuotaExceeded' });
  assert.deepEqual(left, [1]);
  // The node has joined again meanwhile: nobody knows the reader by the older id.
  answer = async () => {
    own = 'a again';
    return [] as never;
  };
  await assert.rejects(receivers.enter(place, reader), { code: 'ServiceUnavailable' });
  assert.deepEqual(left, [1, 3]);
});
