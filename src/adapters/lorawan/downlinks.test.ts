import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import type { Command } from '../../gateway/index.ts';
import type { Downlink } from './api-call.ts';
import { CallFailed } from './api-client.ts';
import { Downlinks } from './downlinks.ts';

const device = { devEui: '0101010101010101', reference: { application: 'a', device: 'd' } };

function command(some: Partial<Command> = {}): Command {
  return {
    id: 'delivery-1',
    messageId: 'm-1',
    body: Buffer.from('x'),
    properties: { confirmed: 'true' },
    deliveryCount: 0,
    ...some,
  };
}

interface Sent {
  readonly downlinks: Downlinks;
  readonly sent: Downlink[];
}

function server(answer: (at: number) => string | Error): Sent {
  const sent: Downlink[] = [];
  const send = async (downlink: Downlink): Promise<string> => {
    sent.push(downlink);
    const given = answer(sent.length);
    if (given instanceof Error) throw given;
    return given;
  };
  return { downlinks: new Downlinks(send, { fPort: 1, confirmed: false }, systemClock), sent };
}

const never = new AbortController().signal;

test('a confirmed downlink is settled by the acknowledgement of the device', async () => {
  for (const [outcome, settlement] of [
    ['arrived', 'complete'],
    ['failed', 'abandon'],
  ] as const) {
    const { downlinks } = server(() => 'queue-1');
    const settled = downlinks.command(device, command(), never);
    await new Promise(setImmediate);
    downlinks.told(['another'], 'arrived');
    downlinks.told(['queue-1'], outcome);
    assert.equal(await settled, settlement);
  }
});

test('a command whose lock is over before the device has answered is not sent down twice', async () => {
  const { downlinks, sent } = server(() => 'queue-1');
  const lock = new AbortController();
  const first = downlinks.command(device, command(), lock.signal);
  await new Promise(setImmediate);
  lock.abort(new Error('over'));
  await assert.rejects(first, /over/);
  // The acknowledgement comes between two deliveries, named by the id that The Things Stack was given.
  downlinks.told(['m-1', 'as:downlink:7'], 'arrived');
  assert.equal(await downlinks.command(device, command({ id: 'delivery-2' }), never), 'complete');
  assert.equal(sent.length, 1);
});

test('one that the device did not acknowledge is sent again with its next delivery', async () => {
  const { downlinks, sent } = server((at) => `queue-${at}`);
  const first = downlinks.command(device, command(), never);
  await new Promise(setImmediate);
  downlinks.told(['queue-1'], 'failed');
  assert.equal(await first, 'abandon');
  const second = downlinks.command(device, command({ id: 'delivery-2', deliveryCount: 1 }), never);
  await new Promise(setImmediate);
  downlinks.told(['queue-2'], 'arrived');
  assert.equal(await second, 'complete');
  assert.equal(sent.length, 2);
});

test('an unconfirmed one is complete when the server has it, and what the server refuses is rejected', async () => {
  const taken = server(() => 'queue-1');
  assert.equal(await taken.downlinks.command(device, command({ properties: {} }), never), 'complete');
  const refused = server(() => new CallFailed('the server answered 404', false));
  assert.deepEqual(await refused.downlinks.command(device, command(), never), { rejected: 'the server answered 404' });
});

test('a lock that ends while the server cannot be reached gives the command back', async () => {
  const { downlinks } = server(() => new CallFailed('away', true));
  const lock = new AbortController();
  const settled = downlinks.command(device, command(), lock.signal);
  await new Promise(setImmediate);
  lock.abort(new Error('over'));
  await assert.rejects(settled, /over/);
});
