import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandOutcome, Receipt } from '../../core/commands/types.ts';
import { receiptsJson } from './receipts.ts';

const receipt = (outcome: CommandOutcome, more: Partial<Receipt> = {}): Receipt => ({
  sequence: 1,
  originalMessageId: 'm1',
  deviceId: 'd1',
  deviceGenerationId: 'g1',
  enqueuedTime: Date.UTC(2015, 6, 28, 16, 24, 48, 789),
  outcome,
  ...more,
});

test('a receipt has the members, the order and the words of the service', () => {
  assert.equal(
    receiptsJson([receipt('completed')]),
    '[{"originalMessageId":"m1","description":"Success","deviceGenerationId":"g1","deviceId":"d1",' +
      '"enqueuedTimeUtc":"2015-07-28T16:24:48.789Z","statusCode":"Success"}]',
  );
  const outcomes: CommandOutcome[] = ['rejected', 'expired', 'deliveryCountExceeded', 'purged'];
  const words = outcomes.map((outcome) => JSON.parse(receiptsJson([receipt(outcome)]))[0].statusCode);
  assert.deepEqual(words, ['Rejected', 'Expired', 'DeliveryCountExceeded', 'Purged']);
});

test('a command without a message id has a receipt with null, one to a module names it', () => {
  const [record] = JSON.parse(receiptsJson([receipt('completed', { originalMessageId: null, moduleId: 'm' })]));
  assert.deepEqual([record.originalMessageId, record.moduleId], [null, 'm']);
});

test('the text is plain ASCII and still the same text', () => {
  const originalMessageId = 'ü-\u{1f600}-\u007f';
  const text = receiptsJson([receipt('completed', { originalMessageId })]);
  assert.match(text, /^[\x20-\x7e]*$/);
  assert.equal(JSON.parse(text)[0].originalMessageId, originalMessageId);
});
