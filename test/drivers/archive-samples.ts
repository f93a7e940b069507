/** Records of all kinds, as rows of an archive and as its files. */
import fc from 'fast-check';
import type { ArchiveFormat } from '../../src/core/archive/types.ts';
import type { HubEventStamp, Telemetry } from '../../src/core/events/types.ts';
import { createEncoder } from '../../src/records/archive/archive-format.ts';
import { RowReader } from '../../src/records/archive/row-reader.ts';
import { recordCodec } from '../../src/records/record-codec.ts';

export interface SampleEvent {
  readonly sequence: number;
  readonly time: number;
  readonly record: Buffer;
  readonly isShown?: boolean;
  readonly enrichments?: readonly (readonly [key: string, value: string])[];
}

export const file = { eventHub: 'hub', partition: 3, firstSequence: 0 } as const;

/** The whole file. @param at where a record begins in the memory that it is read from: as in a run, between others */
export function fileOf(format: ArchiveFormat, events: readonly SampleEvent[], at = 3): Buffer {
  const rows = new RowReader();
  const encoder = createEncoder(format, file);
  const pieces: Uint8Array[] = [];
  for (const { sequence, time, record, isShown = true, enrichments = [] } of events) {
    const bytes = Buffer.alloc(at + record.length + 2, 0xee);
    record.copy(bytes, at);
    const place = { partition: file.partition, sequence, time, isShown, enrichments };
    encoder.add(rows.read(place, bytes, at, at + record.length));
    pieces.push(...encoder.take());
  }
  pieces.push(...encoder.finish());
  return Buffer.concat(pieces);
}

const word = fc.string({ maxLength: 12, unit: 'grapheme' });
const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(value, { nil: undefined });
export const times = fc.integer({ min: 0, max: 2 ** 43 });

export const stamps: fc.Arbitrary<HubEventStamp> = fc.record(
  {
    deviceId: maybe(fc.constantFrom('d1', 'd2', "a-.+%_#*?!(),:=@$'")),
    moduleId: maybe(fc.constant('m1')),
    generationId: maybe(fc.constantFrom('1', '2')),
    authMethod: maybe(fc.constant('{}')),
    source: fc.constantFrom('Telemetry', 'twinChangeEvents'),
    modelId: maybe(word),
  },
  { noNullPrototype: true },
) as fc.Arbitrary<HubEventStamp>;

const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 600 }),
  fc.json().map((text) => Buffer.from(text)),
  fc
    .constantFrom(
      '',
      ' ',
      '1',
      '\ufeff{}',
      '{"a":1',
      '"\ud83d\ude00"',
      '{"a":"\\ud800"}',
      '1e999',
      '"\\u0000"',
      '"\\ud83d\\ude00"',
      '{"a":1,"a":2}',
      '[\r\n 1 ]',
      'x'.repeat(300),
    )
    .map((text) => Buffer.from(text)),
);

export const messages: fc.Arbitrary<Telemetry> = fc.record({
  system: fc.record(
    {
      messageId: fc.oneof(word, fc.string({ minLength: 250, maxLength: 260 })),
      correlationId: word,
      userId: word,
      to: word,
      contentType: fc.constantFrom('application/json', 'Application/JSON', 'text/plain'),
      contentEncoding: fc.constantFrom('utf-8', 'UTF-8', 'gzip'),
      expiry: times,
      creationTime: times,
      subject: word,
      outputName: word,
      diagnosticId: word,
    },
    { requiredKeys: [] },
  ),
  properties: fc.array(fc.tuple(fc.oneof(word, fc.constantFrom('__proto__', 'a', 'b')), fc.option(word)), {
    maxLength: 4,
  }),
  body: bodies,
}) as fc.Arbitrary<Telemetry>;

export const records: fc.Arbitrary<Buffer> = fc
  .tuple(stamps, messages, times)
  .map(([stamp, message, time]) => recordCodec.encode(stamp, message, time));
