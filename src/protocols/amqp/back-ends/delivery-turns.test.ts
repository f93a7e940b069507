import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../base/limits.ts';
import { type Deliverer, type DeliverySocket, DeliveryTurns } from './delivery-turns.ts';

/** A thread whose time passes only by what is done in it. */
class Thread {
  now = 1000;
  readonly #due: (() => void)[] = [];
  readonly turns = new DeliveryTurns({ monotonic: () => this.now }, (callback) => this.#due.push(callback));

  /** One turn of the event loop, in which all else takes `elseMs`. Returns what delivering took. */
  turn(elseMs: number): number {
    this.now += elseMs;
    const begun = this.now;
    for (const callback of this.#due.splice(0)) callback();
    return this.now - begun;
  }

  get isIdle(): boolean {
    return this.#due.length === 0;
  }

  /** @param socket absent = one of its own */
  reader(
    pieces: number,
    pieceMs: number,
    log: string[] = [],
    name = '',
    socket: DeliverySocket = { cork: () => {}, uncork: () => {} },
  ): Deliverer {
    let left = pieces;
    return {
      socket,
      written: () => {},
      deliverPiece: () => {
        this.now += pieceMs;
        log.push(name);
        return --left > 0;
      },
    };
  }
}

test('readers get half of the time that all else takes, and what is left over waits for the next turn', () => {
  const thread = new Thread();
  thread.turns.want(thread.reader(1000, 0.25));
  thread.turn(0);
  for (const elseMs of [2, 4, 8, 16]) {
    const took = thread.turn(elseMs);
    assert.ok(Math.abs(took - elseMs * limits.deliveryShareMax) <= 0.25, `${elseMs} ms: ${took} ms`);
  }
});

test('readers always go on, also where all else takes no time', () => {
  const thread = new Thread();
  thread.turns.want(thread.reader(100, 0.25));
  thread.turn(0);
  let turns = 0;
  for (; !thread.isIdle; turns++) {
    const took = thread.turn(0);
    assert.ok(took >= limits.deliveryTurnMsMin && took <= limits.deliveryTurnMsMin + 0.25, `${took}`);
  }
  assert.equal(turns, (100 * 0.25 - limits.deliveryTurnMsMax) / limits.deliveryTurnMsMin);
});

test('one turn is bounded, however long the thread had nothing to deliver', () => {
  const thread = new Thread();
  thread.turns.want(thread.reader(1_000_000, 0.25));
  assert.equal(thread.turn(60_000), limits.deliveryTurnMsMax);
});

test('readers take turns, a piece each; who has nothing more waits until it asks again', () => {
  const thread = new Thread();
  const log: string[] = [];
  thread.turns.want(thread.reader(3, 0, log, 'a'));
  const once = thread.reader(1, 0, log, 'b');
  thread.turns.want(once);
  thread.turns.want(once);
  thread.turns.want(thread.reader(2, 0, log, 'c'));
  thread.turn(0);
  assert.equal(log.join(''), 'abcaca');
  assert.ok(thread.isIdle);
  thread.turns.want(once);
  thread.turn(0);
  assert.equal(log.join(''), 'abcacab');
});

/** Notes what is given to it, and when it leaves. */
function socketIn(log: string[], name: string): DeliverySocket {
  return { cork: () => log.push(`${name}(`), uncork: () => log.push(')') };
}

test('the readers of one socket have their turn together, and what they deliver leaves as one', () => {
  const thread = new Thread();
  const log: string[] = [];
  const first = socketIn(log, 'first');
  const second = socketIn(log, 'second');
  thread.turns.want(thread.reader(2, 0, log, 'a', first));
  thread.turns.want(thread.reader(1, 0, log, 'b', second));
  thread.turns.want(thread.reader(1, 0, log, 'c', first));
  thread.turn(0);
  assert.equal(log.join(''), 'first(ac)second(b)first(a)');
});

test('who was served hears when the socket was given everything', () => {
  const thread = new Thread();
  const log: string[] = [];
  const reader = thread.reader(1, 0, log, 'a', socketIn(log, ''));
  thread.turns.want({ ...reader, written: () => log.push('written') });
  thread.turn(0);
  assert.equal(log.join(''), '(a)written');
});

test('a reader that another one of its socket wakes has its turn as well', () => {
  const thread = new Thread();
  const log: string[] = [];
  const socket = socketIn(log, '');
  const woken = thread.reader(1, 0, log, 'b', socket);
  const waking = { ...thread.reader(1, 0, log, 'a', socket), written: () => thread.turns.want(woken) };
  thread.turns.want(waking);
  thread.turn(0);
  assert.equal(log.join(''), '(a)(b)');
});

test('a socket with many readers has no more time than others, and its readers go on where they stopped', () => {
  const thread = new Thread();
  const log: string[] = [];
  const socket = socketIn(log, '');
  thread.turns.want(thread.reader(1, 0, log, 'x', socket));
  thread.turn(0);
  const names = Array.from({ length: 40 }, (_, nth) => String.fromCharCode(0x41 + nth));
  for (const name of names) thread.turns.want(thread.reader(1, 1, log, name, socket));
  const took = thread.turn(4);
  assert.ok(took >= 4 * limits.deliveryShareMax && took <= 4 * limits.deliveryShareMax + 1, `${took}`);
  while (!thread.isIdle) thread.turn(4);
  assert.equal(log.join('').replaceAll(/[()]/g, ''), `x${names.join('')}`);
});

test('a reader that always has more does not keep the others of its socket waiting', () => {
  const thread = new Thread();
  const log: string[] = [];
  const socket = { cork: () => {}, uncork: () => {} };
  thread.turns.want(thread.reader(1, 0, log, 'x', socket));
  thread.turn(0);
  thread.turns.want(thread.reader(1000, 1, log, 'a', socket));
  thread.turns.want(thread.reader(1, 1, log, 'b', socket));
  thread.turns.want(thread.reader(1, 1, log, 'c', socket));
  for (let turn = 0; turn < 5; turn++) thread.turn(0.1);
  assert.equal(log.join(''), 'xabcaa');
});
