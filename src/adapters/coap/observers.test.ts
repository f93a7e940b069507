/** What one observer is told when it is slower than what happens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { limits } from '../../base/limits.ts';
import { codes } from '../../wire/coap/messages.ts';
import type { Answer, Caller, Delivery } from './exchange.ts';
import { type Observer, Observers } from './observers.ts';

/** A client that acknowledges when the test says so. */
class SlowClient {
  readonly told: string[] = [];
  readonly open: ((delivery: Delivery) => void)[] = [];
  readonly caller = {
    key: 'c',
    notify: (_: Buffer, answer: Answer) => {
      this.told.push(String(answer.payload));
      return new Promise<Delivery>((resolve) => void this.open.push(resolve));
    },
  } as Partial<Caller> as Caller;

  observer(resource: Observer['resource']): Observer {
    const token = Buffer.of(1);
    return { resource, caller: this.caller, token, bodyKey: '', settlesByAcknowledgement: true, exponentMax: 6 };
  }

  async acknowledge(): Promise<void> {
    for (const settle of this.open.splice(0)) settle('acknowledged');
    await turn();
  }
}

const content = (text: string): Answer => ({ code: codes.content, payload: Buffer.from(text) });

test('changes that come while a client is told of an earlier one are one notification, of the newest state', async () => {
  const client = new SlowClient();
  const observers = new Observers();
  const observer = client.observer('desired');
  observers.add(observer);
  let state = 0;
  const done: Promise<void>[] = [];
  for (; state < 1000; state++) {
    done.push(observers.notifyNewest(observer, () => content(String(state))));
    if (state === 0) await turn();
  }
  await client.acknowledge();
  await client.acknowledge();
  await Promise.all(done);
  assert.deepEqual(client.told, ['0', '1000']);
  const last = observers.notifyNewest(observer, () => content('behind'));
  await turn();
  await client.acknowledge();
  await last;
  assert.deepEqual(client.told, ['0', '1000', 'behind']);
});

test('an observer for whom too many notifications wait is one no more', async () => {
  const client = new SlowClient();
  const observers = new Observers();
  const observer = client.observer('commands');
  const sent: Promise<Delivery>[] = [];
  for (let registered = 0; registered <= limits.coapNotificationsWaitingMax; registered++) {
    observers.add(observer);
    sent.push(observers.notify(observer, () => content('command')));
  }
  assert.equal(await sent.at(-1), 'lost');
  assert.equal(observers.size, 0);
  await turn();
  await client.acknowledge();
  assert.deepEqual(new Set((await Promise.all(sent)).slice(1)), new Set(['lost']));
});
