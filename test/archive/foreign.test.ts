/** The files of an archive as others read them: pyarrow, DuckDB, fastavro. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { ArchiveFormat } from '../../src/core/archive/types.ts';
import { OFFSET_BASE } from '../../src/core/events/types.ts';
import { azureMessage } from '../../src/records/archive/azure-message.ts';
import { bodyOf, type EventRow, messageIdOf } from '../../src/records/archive/event-row.ts';
import { isJsonText } from '../../src/records/archive/json-text.ts';
import { RowReader } from '../../src/records/archive/row-reader.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { ask, missingReaders } from '../drivers/archive-readers.ts';
import { file, fileOf, records, type SampleEvent } from '../drivers/archive-samples.ts';

const skip = missingReaders();
const folder = mkdtempSync(path.join(os.tmpdir(), 'archive-'));
after(() => rmSync(folder, { recursive: true }));

const TIME = Date.UTC(2026, 10, 29, 12);
const write = (name: string, format: ArchiveFormat, events: readonly SampleEvent[]): string => {
  const at = path.join(folder, name);
  writeFileSync(at, fileOf(format, events));
  return at;
};

/** The same drawn events for all readers; a failure prints the seed. */
const seed = Date.now() % 1_000_000;
const drawn: readonly SampleEvent[] = fc
  .sample(fc.record({ record: records, isShown: fc.boolean() }), { seed, numRuns: 300 })
  .map(({ record, isShown }, nth) => ({ sequence: 2 ** 33 + 2 * nth, time: TIME + (nth >> 2), record, isShown }));

function rowOf({ sequence, time, record, isShown = true, enrichments = [] }: SampleEvent): EventRow {
  return new RowReader().read(
    { partition: file.partition, sequence, time, isShown, enrichments },
    record,
    0,
    record.length,
  );
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A name stands once in a map, and the last one of a row counts. */
function expected(event: SampleEvent): Record<string, unknown> {
  const row = rowOf(event);
  const body = bodyOf(row);
  const isJson = isJsonText(body);
  const { correlationId, contentType, contentEncoding } = row.properties;
  return {
    partition: 3,
    sequenceNumber: row.sequence,
    offset: OFFSET_BASE + row.sequence,
    enqueuedTime: row.time,
    iothubEnqueuedTime: row.hubTime,
    isShown: event.isShown ?? true,
    deviceId: row.annotations.deviceId ?? null,
    moduleId: row.annotations.moduleId ?? null,
    source: row.annotations.source,
    modelId: row.annotations.modelId ?? null,
    messageId: messageIdOf(row) ?? null,
    correlationId: correlationId ?? null,
    contentType: contentType ?? null,
    contentEncoding: contentEncoding ?? null,
    properties: { ...Object.fromEntries(row.application.entries.map(({ key, value }) => [key, value])) },
    bodyJson: isJson ? body.toString('utf8') : null,
    body: isJson ? null : hex(body),
    amqpAnnotations: hex(row.annotations.bytes),
    amqpProperties: hex(row.bytes.subarray(row.propertiesStart, row.propertiesEnd)),
    amqpApplicationProperties: hex(row.application.bytes),
  };
}

for (const reader of ['pyarrow', 'duckdb'] as const) {
  test(`Parquet by ${reader}: every column of drawn events (seed ${seed})`, { skip }, async () => {
    const rows = await ask<unknown[]>(reader, write('drawn.parquet', 'parquet', drawn));
    assert.deepEqual(rows, drawn.map(expected));
  });
}

for (const format of ['avro', 'avrodeflate'] as const) {
  test(`${format} by fastavro: every field of drawn events (seed ${seed})`, { skip }, async () => {
    const rows = await ask<unknown[]>('fastavro', write(`drawn-${format}`, format, drawn));
    const wanted = drawn.map((event) => {
      const row = rowOf(event);
      const { enqueuedTimeUtc, properties, systemProperties } = azureMessage(row);
      return {
        EnqueuedTimeUtc: enqueuedTimeUtc,
        Properties: Object.fromEntries(properties),
        SystemProperties: Object.fromEntries(systemProperties),
        Body: hex(bodyOf(row)),
      };
    });
    assert.deepEqual(rows, wanted);
  });
}

/** Texts that are hard to bound: longer than what a bound may have, at the ends of characters of one to four bytes. */
const hardText = fc.string({
  unit: fc.constantFrom('\u{10ffff}', '\uffff', '\ue000', '\ud7ff', '\u07ff', '\u007f', 'a'),
  maxLength: 30,
});

test(`no text of a row group lies beyond its bounds (seed ${seed})`, { skip }, async () => {
  const record = (correlationId: string): Buffer =>
    recordCodec.encode(
      { deviceId: 'd', generationId: '1', authMethod: '{}', source: 'Telemetry' },
      { system: { correlationId }, properties: [], body: Buffer.from('{}') },
      TIME,
    );
  let cut = 0;
  for (const texts of fc.sample(fc.array(hardText, { minLength: 1, maxLength: 4 }), { seed, numRuns: 12 })) {
    const events = texts.map((text, sequence) => ({ sequence, time: TIME, record: record(text) }));
    const [group] = await ask<Record<string, { bounds: [string, string] }>[]>(
      'statistics',
      write('hard.parquet', 'parquet', events),
    );
    const [least, greatest] = group.correlationId.bounds.map((text) => Buffer.from(text));
    for (const text of texts.map((each) => Buffer.from(each))) {
      assert.ok(Buffer.compare(least, text) <= 0, `${text.toString('hex')} is below ${least.toString('hex')}`);
      assert.ok(Buffer.compare(greatest, text) >= 0, `${text.toString('hex')} is above ${greatest.toString('hex')}`);
      if (text.length > greatest.length) cut++;
    }
  }
  assert.ok(cut > 0, 'some bounds are shorter than texts');
});

/** 25,000 events of fifty devices, 256 bytes of JSON each. */
function fleet(): readonly SampleEvent[] {
  const records = Array.from({ length: 25_000 }, (_, nth) => {
    const body = JSON.stringify({ temperature: 20 + ((nth * 7919) % 1000) / 100, nth, pad: 'x'.repeat(210) });
    return recordCodec.encode(
      { deviceId: `d${nth % 50}`, generationId: '1', authMethod: '{}', source: 'Telemetry' },
      {
        system: {
          messageId: hex(Buffer.from(`${nth * 7919}`)),
          contentType: 'application/json',
          contentEncoding: 'utf-8',
        },
        properties: [['site', `s${nth % 20}`]],
        body: Buffer.from(body),
      },
      TIME + nth,
    );
  });
  return records.map((record, sequence) => ({ sequence, time: TIME + (sequence >> 3), record }));
}

test('readers may skip row groups by sequence number, time and device, and the file is no larger than theirs', {
  skip,
}, async () => {
  const at = write('fleet.parquet', 'parquet', fleet());
  const groups = await ask<Record<string, { codec: string; encodings: string[]; bounds: [unknown, unknown] | null }>[]>(
    'statistics',
    at,
  );
  assert.deepEqual(
    groups.map((group) => [group.rows, group.sequenceNumber.bounds, group.enqueuedTime.bounds, group.deviceId.bounds]),
    [
      [10_000, [0, 9_999], [TIME, TIME + 1249], ['d0', 'd9']],
      [10_000, [10_000, 19_999], [TIME + 1250, TIME + 2499], ['d0', 'd9']],
      [5_000, [20_000, 24_999], [TIME + 2500, TIME + 3124], ['d0', 'd9']],
    ],
  );
  for (const name of ['sequenceNumber', 'offset', 'enqueuedTime', 'iothubEnqueuedTime']) {
    assert.deepEqual([groups[0][name].codec, groups[0][name].encodings], ['ZSTD', ['DELTA_BINARY_PACKED']], name);
  }
  const theirs = await ask<number>('size', at);
  const { length } = fileOf('parquet', fleet());
  assert.ok(length <= 1.2 * theirs, `${length} bytes, pyarrow needs ${theirs}`);
});
