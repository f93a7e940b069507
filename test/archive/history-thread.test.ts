/** History is unpacked in a thread: the loop that serves the doors goes on meanwhile, and what is damaged harms no other read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { openParquet, type ParquetDecoder } from '../../src/records/archive/parquet-reader.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { createHistoryThread } from '../../src/server/archive/history-thread.ts';
import { fileOf } from '../drivers/archive-samples.ts';

const EVENTS = 30_000;

function sampleFile(): Uint8Array<ArrayBuffer> {
  const stamp = { deviceId: 'd1', generationId: '7', authMethod: '{}', source: 'Telemetry' };
  const events = Array.from({ length: EVENTS }, (_, sequence) => ({
    ...{ sequence, time: 1000 + sequence },
    record: recordCodec.encode(
      stamp,
      { system: {}, properties: [], body: Buffer.alloc(300, `${sequence} `) },
      sequence,
    ),
  }));
  return new Uint8Array(fileOf('parquet', events));
}

const whole = sampleFile();
const access = (bytes: Uint8Array<ArrayBuffer>) => ({
  byteLength: bytes.length,
  slice: (start: number, end: number) => bytes.slice(start, end).buffer,
});

async function readAll(bytes: Uint8Array<ArrayBuffer>, decoder?: ParquetDecoder): Promise<Buffer> {
  const file = await openParquet(access(bytes), decoder);
  const records: Buffer[] = [];
  for (const group of file.groups) {
    for (const { bytes, start, end } of await file.read(group)) records.push(bytes.subarray(start, end));
  }
  return Buffer.concat(records);
}

test('the thread gives the same bytes, and takes most of the work from the loop', async () => {
  const plain = await readAll(whole);
  const decoder = createHistoryThread({ clock: systemClock, log: silentLog });
  try {
    assert.ok((await readAll(whole, decoder)).equals(plain));
    const file = await openParquet(access(whole), decoder);
    const here = await openParquet(access(whole));
    const spent = { thread: 0, loop: 0 };
    for (let round = 0; round < 8; round++) {
      for (const [kind, read] of [
        ['thread', file.read],
        ['loop', here.read],
      ] as const) {
        const before = process.threadCpuUsage();
        for (const group of file.groups) await read(group);
        const after = process.threadCpuUsage();
        spent[kind] += after.user + after.system - before.user - before.system;
      }
    }
    assert.ok(spent.thread < 0.6 * spent.loop, JSON.stringify(spent));
  } finally {
    await decoder.close();
  }
});

test('a damaged file is refused, and those who read others do not notice', async () => {
  const decoder = createHistoryThread({ clock: systemClock, log: silentLog });
  const turned = whole.slice();
  turned.fill(0xff, 10, 4000);
  const cut = whole.slice(0, -5);
  const [good, bad, worse] = await Promise.allSettled(
    [turned, turned, cut].map((bytes, nth) => readAll(nth === 0 ? whole : bytes, decoder)),
  );
  assert.equal(good.status, 'fulfilled');
  assert.equal(bad.status, 'rejected');
  assert.equal(worse.status, 'rejected');
  await decoder.close();
  await assert.rejects(readAll(whole, decoder), /the hub stops/);
});
