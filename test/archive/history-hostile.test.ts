/** Files that the archive has not written, in its place: what they would make of the hub's memory and time is bounded before it is made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { limits } from '../../src/base/limits.ts';
import { columns, schema } from '../../src/records/archive/parquet-columns.ts';
import { openParquet } from '../../src/records/archive/parquet-reader.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { fileOf } from '../drivers/archive-samples.ts';

const compress = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });

/** One group of rows that have nothing but numbers, annotations of zeros, a body, and bytes that should be properties. */
function fileWith(rows: number, body: (row: number) => Buffer, properties = Buffer.alloc(0)): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter();
  const writer = new ParquetWriter({ writer: out, schema, codec: 'ZSTD', compressors: { ZSTD: compress } });
  const own: Readonly<Record<string, (row: number) => unknown>> = {
    partition: () => 0,
    isShown: () => true,
    body,
    amqpAnnotations: () => Buffer.alloc(256),
    amqpProperties: () => Buffer.alloc(0),
    amqpApplicationProperties: () => properties,
  };
  writer.write({
    rowGroupSize: rows,
    columnData: columns.map(({ name, schema: [{ type }], statistics }) => {
      const value = own[name] ?? (type === 'INT64' ? BigInt : () => undefined);
      const data = Array.from({ length: rows }, (_, row) => value(row));
      const encoding = encodingOf(name, type);
      return { name, statistics, data, ...(encoding !== undefined && { encoding }) };
    }),
  });
  writer.finish();
  return new Uint8Array(out.getBytes());
}

/** As the archive writes them. */
function encodingOf(name: string, type: string | undefined): 'DELTA_BINARY_PACKED' | 'PLAIN' | undefined {
  if (type === 'INT64' || type === 'INT32') return 'DELTA_BINARY_PACKED';
  return ['messageId', 'bodyJson', 'body', 'amqpProperties'].includes(name) ? 'PLAIN' : undefined;
}

const opened = (bytes: Uint8Array<ArrayBuffer>) =>
  openParquet({ byteLength: bytes.length, slice: (start, end) => bytes.slice(start, end).buffer });

async function readWhole(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const { groups, read } = await opened(bytes);
  let events = 0;
  for (const group of groups) for (const { count } of await read(group)) events += count;
  return events;
}

test('more rows, more bytes of a column, more bytes of records than the archive writes are refused', async () => {
  const small = Buffer.from('1');
  assert.equal(await readWhole(fileWith(100, () => small)), 100, 'such a file is read');
  const many = fileWith(limits.archiveGroupRows + 1, () => small);
  await assert.rejects(readWhole(many), /a group of 10001 rows/);

  // Ten gigabytes of records, in a file of some kilobytes.
  const dense = fileWith(limits.archiveGroupRows, () => small, Buffer.alloc(1024 * 1024, 'x'));
  assert.ok(dense.length < 1024 * 1024, `${dense.length} bytes`);
  await assert.rejects(readWhole(dense), /a group of \d{11} bytes/);

  const zeros = Buffer.alloc(100_000);
  const different = fileWith(1000, (row) => Buffer.concat([Buffer.from(`${row} `), zeros]));
  assert.ok(different.length < 4 * 1024 * 1024, `${different.length} bytes`);
  await assert.rejects(readWhole(different), /in the column body: it has more bytes than the archive writes/);
});

test('a group is bounded by what its properties hold, too, and is read back', async () => {
  const stamp = { deviceId: 'd1', generationId: '7', authMethod: '{}', source: 'Telemetry' };
  const events = Array.from({ length: 1000 }, (_, sequence) => {
    const properties = [['p', `${sequence} `.padEnd(100_000, 'x')]] as const;
    const record = recordCodec.encode(stamp, { system: {}, properties, body: Buffer.from('1') }, sequence);
    return { sequence, time: 1000 + sequence, record };
  });
  const bytes = new Uint8Array(fileOf('parquet', events));
  const { groups } = await opened(bytes);
  assert.ok(
    groups.every(({ rows }) => rows < 340),
    JSON.stringify(groups),
  );
  assert.equal(await readWhole(bytes), 1000);
});
