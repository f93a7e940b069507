import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { Output } from '../terminal.ts';
import { facts, paint, printable, table } from './table.ts';
import { transferText } from './transfer.ts';
import { byteCount, count, duration, latency, parseDuration, rate } from './values.ts';

const plain: Output = { stream: new PassThrough(), isTerminal: false, columns: () => 80 };

test('tables align by the widest cell, and colours do not count', () => {
  const columns = [
    { title: 'id', cell: (row: readonly [string, number]) => `\u001b[32m${row[0]}\u001b[39m` },
    { title: 'n', align: 'right' as const, cell: (row: readonly [string, number]) => String(row[1]) },
  ];
  const text = table(plain, columns, [
    ['a', 1],
    ['long', 1000],
  ]);
  assert.equal(stripVTControlCharacters(text), 'ID       N\na        1\nlong  1000');
  assert.equal(
    facts(plain, [
      ['name', 'd1'],
      ['absent', undefined],
      ['a longer one', 'x'],
    ]),
    'name          d1\na longer one  x',
  );
});

test('colours are for terminals only', () => {
  assert.equal(paint(plain, 'red', 'text'), 'text');
});

test('text from devices cannot steer the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\r\nc\u009b1m\u0007'), 'a\\x1b[2Jb\\r\\nc\\x9b1m\\x07');
  assert.equal(printable('Grüße, 温度'), 'Grüße, 温度');
});

test('durations are read as they are written', () => {
  const read = ['500ms', '30s', '10m', '1h30m', '2d', '1.5s'].map(parseDuration);
  assert.deepEqual(read, [500, 30_000, 600_000, 5_400_000, 172_800_000, 1500]);
  assert.deepEqual(['', '10', 'm', '10 m', '-1s', '1h x', '1y'].map(parseDuration), Array(7).fill(undefined));
});

test('values are shown in the unit that reads best', () => {
  const durations = [0.4, 850, 12_340, 245_000, 7_380_000, 273_600_000, 34_300_000_000];
  assert.deepEqual(durations.map(duration), ['0 ms', '850 ms', '12.3 s', '4m 05s', '2h 03m', '3d 4h', '397 days']);
  assert.deepEqual([0.8412, 12.34, 123.4, 999.7, 1204].map(latency), [
    '0.841 ms',
    '12.3 ms',
    '123 ms',
    '1.00 s',
    '1.20 s',
  ]);
  assert.deepEqual([0, 999, 1000, 1_234_567].map(count), ['0', '999', '1,000', '1,234,567']);
  assert.deepEqual([0.251, 12.54, 1234.4].map(rate), ['0.25', '12.5', '1,234']);
});

test('a transfer shows its share, rate and the time that is left, within the line', () => {
  const sizes = [0, 850, 1023, 1024, 12_595, 1024 * 1024 - 1, 5 * 2 ** 20, 2 ** 32].map(byteCount);
  assert.deepEqual(sizes, ['0 B', '850 B', '1023 B', '1.00 KiB', '12.3 KiB', '1.00 MiB', '5.00 MiB', '4.00 GiB']);
  const half = { name: 'fw.bin', done: 50 * 2 ** 20, total: 100 * 2 ** 20, bytesPerSecond: 10 * 2 ** 20 };
  assert.equal(
    transferText(half, 80),
    'fw.bin  [##########----------]  50 %  50.0 MiB of 100 MiB  10.0 MiB/s  5.0 s left',
  );
  const start = transferText({ ...half, done: 0, bytesPerSecond: 0 }, 80);
  assert.equal(start, 'fw.bin  [--------------------]   0 %  0 B of 100 MiB');
  const narrow = transferText(half, 50);
  assert.ok(narrow.length <= 80 && !narrow.includes('['), narrow);
  assert.equal(
    transferText({ ...half, done: 0, total: 0 }, 80),
    'fw.bin  [####################] 100 %  0 B of 0 B  10.0 MiB/s',
  );
});
