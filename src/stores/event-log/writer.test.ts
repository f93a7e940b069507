import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { BatchWriter, type BatchWriterOptions, type SealedBatch } from './writer.ts';

interface Commit {
  readonly epoch: number;
  readonly texts: readonly string[];
  succeed(): void;
  fail(error: Error): void;
}

/** A writer whose commits wait for the test, and whose turns of the event loop the test ends. */
function make(options: Partial<BatchWriterOptions> = {}) {
  const commits: Commit[] = [];
  const deferred: (() => void)[] = [];
  const told: string[] = [];
  const writer = new BatchWriter({
    ...options,
    partitionCount: 2,
    log: silentLog,
    defer: (callback) => deferred.push(callback),
    sink: {
      commit: (batch, epoch) =>
        new Promise((succeed, fail) => {
          commits.push({ epoch, texts: textsOf(batch), succeed, fail });
        }),
      committed: () => told.push('readers'),
    },
  });
  const put = (text: string, waiter: string, partition = 0): void => {
    const at = writer.reserve(partition, text.length);
    writer.bytes(partition).write(text, at);
    writer.await(waiters(waiter));
  };
  const known = new Map<string, ReturnType<typeof newWaiter>>();
  const newWaiter = (name: string) => ({
    batchDurable: (batch: number) => told.push(`${name} durable ${batch}`),
    batchFailed: (batch: number, error: Error) => told.push(`${name} failed ${batch}: ${error.message}`),
  });
  const waiters = (name: string) => {
    const waiter = known.get(name) ?? newWaiter(name);
    known.set(name, waiter);
    return waiter;
  };
  /** Ends the turn: what was deferred runs, then promises settle. */
  const turn = async (): Promise<void> => {
    for (const callback of deferred.splice(0)) callback();
    await new Promise<void>((resolve) => setImmediate(resolve));
  };
  return { writer, commits, told, put, turn };
}

function textsOf(batch: SealedBatch): string[] {
  const texts: string[] = [];
  for (let partition = 0; partition < batch.counts.length; partition++) {
    const run = Buffer.concat(batch.pieces(partition).map(({ bytes }) => bytes));
    assert.equal(run.length, batch.lengths[partition]);
    for (let at = 0; at < run.length; ) {
      const length = run.readUInt32LE(at);
      texts.push(run.toString('latin1', at + 4, at + 4 + length));
      at += 4 + length;
    }
  }
  return texts;
}

test('all batches that may wait at a time are used again, with their memory', async () => {
  const used = new Set<ArrayBufferLike>();
  const { writer, commits, put, turn } = make({ batchBytesMax: 20_000, writerBytesMax: 40_000 });
  const burst = async (): Promise<void> => {
    for (let batch = 0; batch < 4; batch++) {
      put('x'.repeat(12_000), 'a');
      used.add(writer.bytes(0).buffer);
    }
    await turn();
    for (let commit = commits.shift(); commit !== undefined; commit = commits.shift()) {
      commit.succeed();
      await turn();
      await turn();
    }
    assert.equal(writer.pendingBytes, 0);
  };
  await burst();
  assert.equal(used.size, 4);
  await burst();
  assert.equal(used.size, 4);
});

test('one commit at a time; what comes meanwhile shares the next one', async () => {
  const { commits, told, put, turn } = make();
  put('a', 'w');
  put('b', 'w', 1);
  await turn();
  put('c', 'w');
  await turn();
  put('d', 'v');
  assert.deepEqual(
    commits.map(({ texts }) => texts),
    [['a', 'b']],
  );
  commits[0].succeed();
  await turn();
  await turn();
  assert.deepEqual(commits[1].texts, ['c', 'd']);
  commits[1].succeed();
  await turn();
  assert.deepEqual(told, ['w durable 1', 'readers', 'w durable 2', 'v durable 2', 'readers']);
});

test('a batch that fails takes those behind it along, in order', async () => {
  const { writer, commits, told, put, turn } = make({ batchBytesMax: 20 });
  put('0123456789', 'a');
  await turn();
  put('1123456789', 'b');
  put('2123456789', 'c');
  put('3123456789', 'd');
  assert.equal(writer.batch, 4);
  commits[0].fail(new Error('gone'));
  await turn();
  assert.deepEqual(told, ['a failed 1: gone', 'b failed 2: gone', 'c failed 3: gone', 'd failed 4: gone']);
  assert.equal(writer.pendingBytes, 0);
  put('later', 'a');
  await turn();
  assert.deepEqual(commits[1].texts, ['later']);
  commits[1].succeed();
  await turn();
  assert.equal(told.at(-2), 'a durable 5');
});

test('several commits: one when none is under way, others when they are worth it or one has settled; told in order', async () => {
  const { commits, told, put, turn } = make({ commitsMax: 3, commitBytesMin: 20 });
  const texts = (): string[] => commits.map((commit) => commit.texts.join(' '));
  put('a', 'w');
  await turn();
  put('b', 'w');
  await turn();
  assert.deepEqual(texts(), ['a']);
  put('0123456789abcdef', 'w');
  await turn();
  assert.deepEqual(texts(), ['a', 'b 0123456789abcdef']);
  put('c', 'w');
  await turn();
  commits[0].succeed();
  await turn();
  await turn();
  assert.deepEqual(texts().slice(2), ['c']);
  put('1123456789abcdef', 'w');
  await turn();
  put('2123456789abcdef', 'w');
  await turn();
  assert.deepEqual(texts().slice(3), ['1123456789abcdef']);
  commits[2].succeed();
  await turn();
  assert.deepEqual(told, ['w durable 1', 'readers']);
  commits[1].succeed();
  await turn();
  await turn();
  assert.deepEqual(told.slice(2), ['w durable 2', 'readers', 'w durable 3', 'readers']);
  assert.deepEqual(texts().slice(4), ['2123456789abcdef']);
});

test('of several commits one that fails takes along those behind it, whatever becomes of them; the next are of a new epoch', async () => {
  const { writer, commits, told, put, turn } = make({ commitsMax: 4, commitBytesMin: 1 });
  for (const text of ['a', 'b', 'c']) {
    put(text, text);
    await turn();
  }
  // Handed over in the turn in which the second one fails.
  put('d', 'd');
  commits[1].fail(new Error('gone'));
  await turn();
  assert.deepEqual(told, ['b failed 2: gone', 'c failed 3: gone', 'd failed 4: gone']);
  put('e', 'e');
  await turn();
  put('f', 'f');
  await turn();
  // What the sink says of a failed batch is not taken for one that uses its memory again.
  commits[2].succeed();
  commits[0].succeed();
  await turn();
  assert.deepEqual(told.slice(3), ['a durable 1', 'readers']);
  assert.deepEqual(
    commits.map(({ epoch }) => epoch),
    [0, 0, 0, 0, 1, 1],
  );
  commits[4].succeed();
  commits[5].succeed();
  await turn();
  assert.deepEqual(told.slice(5), ['e durable 5', 'readers', 'f durable 6', 'readers']);
  assert.equal(writer.pendingBytes, 0);
});

test('a waiter that writes again when it is told gets its records into the next batch', async () => {
  const { writer, commits, put, turn } = make();
  const waiter = {
    batchDurable: () => put('again', 'other'),
    batchFailed: () => put('after failure', 'other'),
  };
  put('x', 'w');
  writer.await(waiter);
  await turn();
  commits[0].succeed();
  await turn();
  await turn();
  assert.deepEqual(commits[1].texts, ['again']);
  writer.await(waiter);
  commits[1].fail(new Error('gone'));
  await turn();
  await turn();
  assert.deepEqual(commits[2].texts, ['after failure']);
  commits[2].succeed();
  await turn();
});

test('a waiter that throws does not keep the others waiting', async () => {
  const { writer, commits, told, put, turn } = make();
  put('x', 'first');
  const broken = (): never => {
    throw new Error('bug');
  };
  writer.await({ batchDurable: broken, batchFailed: broken });
  put('y', 'last');
  await turn();
  commits[0].succeed();
  await turn();
  assert.deepEqual(told, ['first durable 1', 'last durable 1', 'readers']);
});

test('congestion begins at the high mark and ends at half of it; everybody hears of it once', async () => {
  const { writer, commits, put, turn } = make({ batchBytesMax: 100, writerBytesMax: 100 });
  let relieved = 0;
  const listener = (): void => {
    relieved++;
  };
  for (let count = 0; count < 2; count++) put('x'.repeat(46), 'w');
  assert.equal(writer.congested, true);
  writer.whenRelieved(listener);
  writer.whenRelieved(listener);
  put('y'.repeat(46), 'w');
  await turn();
  assert.equal(relieved, 0);
  commits[0].succeed();
  await turn();
  assert.deepEqual([writer.congested, relieved], [false, 1]);
  await turn();
  commits[1].succeed();
  await turn();
  await writer.drained();
  assert.equal(relieved, 1);
});

test('room is never given twice, whatever the sizes: records of all batches come out as they went in', async () => {
  const { commits, put, turn } = make({ batchBytesMax: 200_000 });
  const sent: string[][] = [[], []];
  const got: string[] = [];
  for (let round = 0; round < 30; round++) {
    for (let count = 0; count < 20; count++) {
      const size = (round * 7919 + count * 104_729) % (count === 7 ? 40_000 : 700);
      const text = `${round} ${count} `.padEnd(size, 'abcdefghij'[count % 10]);
      put(text, 'w', count % 2);
      sent[count % 2].push(text);
    }
    await turn();
    for (const commit of commits.splice(0)) {
      got.push(...commit.texts);
      commit.succeed();
    }
    await turn();
  }
  while (got.length < 600) {
    await turn();
    for (const commit of commits.splice(0)) {
      got.push(...commit.texts);
      commit.succeed();
    }
  }
  for (const partition of [0, 1]) {
    const parity = (text: string): boolean => Number(text.split(' ')[1]) % 2 === partition;
    assert.deepEqual(got.filter(parity), sent[partition]);
  }
});

test('after a commit the disk rests, unless enough waits or a caller waits for the end', async () => {
  const clock = new VirtualClock();
  const { writer, commits, put, turn } = make({ pace: { restMs: 5, bytesMax: 40, clock } });
  const ofNext = async (): Promise<readonly string[] | undefined> => {
    await turn();
    const commit = commits.shift();
    commit?.succeed();
    await turn();
    return commit?.texts;
  };
  put('behind a quiet time', 'w');
  assert.deepEqual(await ofNext(), ['behind a quiet time']);
  put('a', 'w');
  assert.equal(await ofNext(), undefined);
  clock.advance(4);
  put('b', 'w');
  assert.equal(await ofNext(), undefined);
  clock.advance(1);
  assert.deepEqual(await ofNext(), ['a', 'b']);

  put('c', 'w');
  put('d'.repeat(40), 'w');
  assert.deepEqual(await ofNext(), ['c', 'd'.repeat(40)]);

  put('e', 'w');
  const drained = writer.drained();
  assert.deepEqual(await ofNext(), ['e']);
  await drained;

  // What came while a commit was under way waits for the rest behind it as well.
  clock.advance(5);
  put('f', 'w');
  await turn();
  put('g', 'w');
  assert.deepEqual(await ofNext(), ['f']);
  assert.equal(await ofNext(), undefined);
  clock.advance(5);
  assert.deepEqual(await ofNext(), ['g']);
  assert.equal(writer.pendingBytes, 0);
});
