import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, errorTable, HubError } from '../../core/errors.ts';
import { hubErrorOf, refusalOf } from './refusals.ts';

const context = { requestId: '01234567-89ab-4cde-8f01-23456789abcd', now: Date.UTC(2026, 6, 5, 4, 3, 2) };

test('every code of the table has its status, its header and form A, which Node reads by splitting at the semicolon', () => {
  for (const code of Object.keys(errorTable) as ErrorCode[]) {
    const { status, headers, body } = refusalOf(new HubError(code, 'one; two'), context);
    assert.equal(status, errorTable[code].status, code);
    assert.equal(headers['iothub-errorcode'], code);
    const [first, ...texts] = body.Message.split(';');
    assert.equal(first, `ErrorCode:${code}`);
    assert.equal(texts.length, 1, code);
    assert.equal(
      body.ExceptionMessage,
      'Tracking ID:0123456789ab4cde8f0123456789abcd-G:0-TimeStamp:07/05/2026 04:03:02',
    );
  }
});

test('a limit that was hit is named, with the time from which a retry may succeed', () => {
  const limit = { name: 'requestsPerSecond', scope: 'hub', current: 101, max: 100, freeAt: context.now + 2500 };
  const { headers, body } = refusalOf(new HubError('ThrottlingException', 'Too fast.', { limit }), context);
  assert.equal(headers['retry-after'], '3');
  assert.equal(
    body.Message,
    'ErrorCode:ThrottlingException;Too fast. Limit requestsPerSecond of hub: 101 of 100, free at 2026-07-05T04:03:04.500Z.',
  );
  const full = new HubError('DeviceMaximumQueueDepthExceeded', undefined, {
    limit: { name: 'commandQueueDepthMax', scope: 'device d1', current: 50, max: 50 },
  });
  assert.match(refusalOf(full, context).body.Message, /queue of the device is full\. Limit commandQueueDepthMax/);
  assert.equal(refusalOf(new HubError('ServiceUnavailable'), context).headers['retry-after'], '1');
  assert.equal(refusalOf(new HubError('PartitionNotFound'), context).headers['retry-after'], undefined);
});

test('neither a failed authentication nor a failure of ours says why', () => {
  const { body } = refusalOf(new HubError('IotHubUnauthorized', 'wrong key', { reason: 'wrong-key' }), context);
  assert.equal(body.Message, 'ErrorCode:IotHubUnauthorized;Unauthorized');
  const failed = hubErrorOf(new Error('password is hunter2'));
  assert.equal(failed.code, 'ServerError');
  assert.equal(JSON.stringify(refusalOf(failed, context)).includes('hunter2'), false);
  assert.equal(hubErrorOf(undefined).code, 'ServerError');
});
