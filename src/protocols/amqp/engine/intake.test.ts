import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { systemClock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import { silentLog } from '../../../base/log.ts';
import { PROTOCOL_AMQP, protocolHeader } from '../../../wire/amqp/frames.ts';
import { beginFrame, emptyFrame, openFrame } from '../../../wire/amqp/performatives.ts';
import { AmqpConnection } from './connection.ts';
import { Intake } from './intake.ts';

const frames = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => emptyFrame));
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a peer who asks much is taken in shares, and others have their turn between them', async () => {
  const taken = new Map<string, number>();
  const intakeOf = (name: string): Intake => {
    const owner = {
      take: () => void taken.set(name, (taken.get(name) ?? 0) + 1),
      failed: (error: unknown) => assert.fail(String(error)),
      pause: () => {},
      resume: () => {},
      cork: () => {},
      uncork: () => {},
    };
    const intake = new Intake(limits.amqpFrameBytesMaxUnauthenticated, owner);
    // The splitter expects one at the beginning.
    intake.push(protocolHeader(PROTOCOL_AMQP));
    taken.set(name, 0);
    return intake;
  };
  const greedy = intakeOf('greedy');
  const modest = intakeOf('modest');
  const share = limits.amqpWorkPerTurn;
  greedy.push(frames(3 * share));
  assert.equal(taken.get('greedy'), share - 1, 'the header counts');
  assert.equal(greedy.isHeld, true, 'its stream is paused');
  modest.push(frames(1));
  assert.equal(taken.get('modest'), 1);
  await nextTurn();
  assert.equal(taken.get('greedy'), 2 * share - 1);
  modest.push(frames(1));
  assert.equal(taken.get('modest'), 2);
  await nextTurn();
  await nextTurn();
  assert.equal(taken.get('greedy'), 3 * share);
  assert.equal(greedy.isHeld, false);
});

/** A stream that counts how often it is written to, however much is written together. */
class Counting extends Duplex {
  writes = 0;
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.writes++;
    callback();
  }
  override _writev(_chunks: unknown, callback: () => void): void {
    this.writes++;
    callback();
  }
}

test('answers to one share are one write', async () => {
  const stream = new Counting();
  const owner = { authenticate: async () => 'accepted' as const, linkAttached: () => {}, closed: () => {} };
  new AmqpConnection(stream, owner, { containerId: 'hub', clock: systemClock, log: silentLog });
  stream.push(protocolHeader(PROTOCOL_AMQP));
  stream.push(openFrame({ containerId: 'c', frameBytesMax: 65536, channelMax: 1000, idleTimeoutMs: 0 }));
  await nextTurn();
  const before = stream.writes;
  const sessions = limits.amqpWorkPerTurn;
  const begin = { remoteChannel: 0, nextOutgoingId: 0, incomingWindow: 10, outgoingWindow: 10, handleMax: 10 };
  stream.push(Buffer.concat(Array.from({ length: sessions }, (_, channel) => beginFrame(channel, begin))));
  await nextTurn();
  await nextTurn();
  await nextTurn();
  assert.ok(stream.writes > before, 'each begin is answered');
  assert.ok(stream.writes - before <= 2, `${stream.writes - before} writes for ${sessions} answers`);
  stream.destroy();
  await once(stream, 'close');
});
