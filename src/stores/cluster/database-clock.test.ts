import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { DatabaseClock } from './database-clock.ts';

const START = Date.UTC(2026, 0, 1);

/** A node whose clock is an hour ahead of its database, which takes `tookMs` to answer. */
class Scene {
  readonly node = new VirtualClock(START + 3_600_000);
  tookMs = 0;
  asked = 0;
  isGone = false;
  #answer = (): void => {};

  open(): Promise<DatabaseClock> {
    const opened = DatabaseClock.open(() => this.#ask(), this.node);
    this.answer();
    return opened;
  }

  /** The database's time. */
  get time(): number {
    return START + this.node.monotonic();
  }

  /** The next question is asked by the timer, and answered. */
  async next(): Promise<void> {
    this.node.advance(limits.databaseClockMs);
    this.answer();
    await new Promise((resolve) => setImmediate(resolve));
  }

  answer(): void {
    this.node.advance(this.tookMs / 2);
    this.#answer();
  }

  #ask(): Promise<number> {
    this.asked++;
    if (this.isGone) return Promise.reject(new Error('gone'));
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#answer = () => {
      resolve(this.time);
      this.node.advance(this.tookMs / 2);
    };
    return promise;
  }
}

test('the time is the database’s, whatever the node’s own clock shows and however it jumps', async () => {
  const scene = new Scene();
  const clock = await scene.open();
  assert.equal(clock.now(), START);
  scene.node.advance(5000);
  assert.equal(clock.now(), START + 5000);
  scene.node.setWall(START - 86_400_000);
  assert.equal(clock.now(), START + 5000);
  clock.close();
});

test('it is asked again; a slow answer does not replace a better one, and time never goes back', async () => {
  const scene = new Scene();
  scene.tookMs = 10;
  const clock = await scene.open();
  assert.ok(Math.abs(clock.now() - scene.time) <= 5);
  scene.tookMs = 4000;
  await scene.next();
  assert.equal(scene.asked, 2);
  assert.ok(Math.abs(clock.now() - scene.time) <= 5, 'the older answer is carried on');
  const before = clock.now();
  scene.tookMs = 0;
  await scene.next();
  assert.equal(scene.asked, 3);
  assert.ok(clock.now() >= before + limits.databaseClockMs - 5);
  clock.close();
  await scene.next();
  assert.equal(scene.asked, 3, 'not after it was closed');
});

test('the time of a database that does not answer is carried on, and it is asked again', async () => {
  const scene = new Scene();
  const clock = await scene.open();
  scene.isGone = true;
  await scene.next();
  await scene.next();
  assert.equal(scene.asked, 3);
  assert.equal(clock.now(), scene.time);
  clock.close();
});
