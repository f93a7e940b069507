import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { HubError } from '../../core/errors.ts';
import { LostAnswers } from './lost-answers.ts';

test('an answer that is lost is told at once, and when the database can carry out nothing of it any more', async () => {
  const clock = new VirtualClock();
  const lost = new LostAnswers(clock, 30_000);
  let told = 0;
  const end = lost.watch(() => told++);
  const fail = (name: 'twins.change' | 'commands.settle', code: 'ServiceUnavailable' | 'ServerError'): Promise<void> =>
    assert.rejects(lost.watching(name, Promise.reject(new HubError(code))));
  assert.equal(await lost.watching('twins.change', Promise.resolve(7)), 7);
  await fail('twins.change', 'ServerError');
  await fail('commands.settle', 'ServiceUnavailable');
  assert.equal(told, 0, 'what was refused was not carried out, and no row holds a command');
  await fail('twins.change', 'ServiceUnavailable');
  assert.equal(told, 1);
  clock.advance(20_000);
  await fail('twins.change', 'ServiceUnavailable');
  clock.advance(20_000);
  assert.equal(told, 2, 'the time begins anew');
  clock.advance(10_000);
  assert.equal(told, 3);
  end();
  await fail('twins.change', 'ServiceUnavailable');
  assert.equal(told, 3);
  lost.close();
});
