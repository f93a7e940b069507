/** The files of an archive: what goes in comes out, by the hub's own reader. Foreign ones: `foreign.test.ts`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { limits } from '../../src/base/limits.ts';
import type { Telemetry } from '../../src/core/events/types.ts';
import { isJsonText } from '../../src/records/archive/json-text.ts';
import { openParquet } from '../../src/records/archive/parquet-reader.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { fileOf, records, type SampleEvent } from '../drivers/archive-samples.ts';

const TIME = Date.UTC(2018, 6, 5, 15, 11, 42, 685);
const stamp = {
  deviceId: 'd1',
  generationId: '7',
  authMethod: '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
  source: 'Telemetry',
};

const access = (bytes: Buffer) => {
  const memory = new Uint8Array(bytes).buffer;
  return { byteLength: memory.byteLength, slice: (start: number, end?: number) => memory.slice(start, end) };
};

/** All records of a file that readers see, with their places. */
async function readBack(bytes: Buffer): Promise<SampleEvent[]> {
  const parquet = await openParquet(access(bytes));
  const found: SampleEvent[] = [];
  for (const group of parquet.groups) {
    for (const run of await parquet.read(group)) {
      let at = run.start;
      for (let nth = 0; nth < run.count; nth++) {
        const end = at + 4 + run.bytes.readUInt32LE(at);
        found.push({ sequence: run.firstSequence + nth, time: run.time, record: run.bytes.subarray(at + 4, end) });
        at = end;
      }
      assert.equal(at, run.end);
    }
  }
  return found;
}

function message(
  body: string | Buffer,
  more: Partial<Telemetry['system']> = {},
  properties: Telemetry['properties'] = [],
) {
  return recordCodec.encode(stamp, { system: more, properties, body: Buffer.from(body) }, TIME);
}

test('a record comes back from Parquet byte for byte, whatever it holds', async () => {
  const event = fc.record({
    record: records,
    step: fc.integer({ min: 1, max: 3 }),
    later: fc.integer({ min: 0, max: 2 }),
    isShown: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 30 }), async (drawn) => {
      let sequence = 0;
      let time = TIME;
      const events = drawn.map(({ record, step, later, isShown }) => {
        sequence += step;
        time += later;
        return { sequence, time, record, isShown };
      });
      const seen = events.filter((each) => each.isShown);
      assert.deepEqual(
        await readBack(fileOf('parquet', events)),
        seen.map(({ isShown, ...rest }) => rest),
      );
    }),
    { numRuns: 200 },
  );
});

test('row groups are bounded in rows and in bytes, and say what is in them', async () => {
  const small = message('{}');
  const many = Array.from({ length: limits.archiveGroupRows + 5 }, (_, nth) => ({
    sequence: 100 + nth,
    time: TIME + nth,
    record: small,
  }));
  const { groups } = await openParquet(access(fileOf('parquet', many)));
  assert.deepEqual(groups, [
    {
      ...{ firstRow: 0, rows: 10_000, firstSequence: 100, lastSequence: 10_099 },
      ...{ firstTime: TIME, lastTime: TIME + 9_999 },
    },
    {
      ...{ firstRow: 10_000, rows: 5, firstSequence: 10_100, lastSequence: 10_104 },
      ...{ firstTime: TIME + 10_000, lastTime: TIME + 10_004 },
    },
  ]);
  const large = message(Buffer.alloc(256 * 1024, 1));
  const count = 1 + limits.archiveGroupBytes / (256 * 1024);
  const events = Array.from({ length: count }, (_, sequence) => ({ sequence, time: TIME, record: large }));
  const bytes = fileOf('parquet', events);
  assert.equal((await openParquet(access(bytes))).groups.length, 2);
  assert.equal((await readBack(bytes)).length, count);
});

test('a file that is written again is the same file', async () => {
  fc.assert(
    fc.property(fc.array(records, { maxLength: 5 }), (drawn) => {
      const events = drawn.map((record, sequence) => ({ sequence, time: TIME, record }));
      for (const format of ['parquet', 'avro', 'avrodeflate', 'json'] as const) {
        assert.deepEqual(fileOf(format, events, 0), fileOf(format, events, 7), format);
      }
    }),
    { numRuns: 20 },
  );
});

test('a file that is damaged, or of another program, is refused', async () => {
  const whole = fileOf('parquet', [{ sequence: 0, time: TIME, record: message('{}') }]);
  await assert.rejects(openParquet(access(whole.subarray(0, -1))));
  await assert.rejects(openParquet(access(Buffer.from('not a table'))));
  const turned = Buffer.from(whole);
  turned.fill(0xff, 10, 60);
  await assert.rejects(readBack(turned));
});

test('whatever byte of a file is damaged, it is refused or read: nothing else comes of it', async () => {
  const events = Array.from({ length: 40 }, (_, sequence) => {
    const body = sequence % 3 === 0 ? Buffer.from([sequence, 255]) : JSON.stringify({ sequence });
    return { sequence, time: TIME + sequence * (sequence % 5), record: message(body, { messageId: `m${sequence}` }) };
  });
  const whole = fileOf('parquet', events);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
      const turned = Buffer.from(whole);
      turned[at] ^= by;
      try {
        assert.ok((await readBack(turned)).length <= events.length);
      } catch (error) {
        assert.ok(error instanceof Error && error.name !== 'AssertionError', String(error));
        refused++;
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(refused > 100, `${refused} were refused`);
});

test('JSON as Azure writes it', () => {
  const json = { contentType: 'application/JSON', contentEncoding: 'UTF-8', messageId: 'm', userId: 'u' };
  const events = [
    {
      sequence: 0,
      time: TIME,
      record: message('{\r\n"a": [1]}', json, [
        ['p', 'v'],
        ['__proto__', null],
      ]),
    },
    { sequence: 1, time: TIME, record: message('{"a":', json) },
    { sequence: 2, time: TIME, record: message('{}', { contentType: 'application/json' }) },
    {
      ...{ sequence: 3, time: TIME, record: message('5', json, [['site', 'own']]) },
      enrichments: [['site', 'north']] as const,
    },
  ];
  const lines = fileOf('json', events).toString('utf8').split('\n');
  const system = (rest: string): string =>
    `{${rest}"connectionDeviceId":"d1",` +
    '"connectionAuthMethod":"{\\"scope\\":\\"device\\",\\"type\\":\\"sas\\",\\"issuer\\":\\"iothub\\",\\"acceptingIpFilterRule\\":null}",' +
    '"connectionDeviceGenerationId":"7","messageSource":"Telemetry","enqueuedTime":"2018-07-05T15:11:42.6850000Z"}';
  const named = system('"messageId":"m","userId":"u","contentType":"application/JSON","contentEncoding":"UTF-8",');
  const time = '{"EnqueuedTimeUtc":"2018-07-05T15:11:42.6850000Z"';
  assert.deepEqual(lines, [
    `${time},"Properties":{"p":"v","__proto__":""},"SystemProperties":${named},"Body":{  "a": [1]}}`,
    `${time},"Properties":{},"SystemProperties":${named},"Body":"eyJhIjo="}`,
    `${time},"Properties":{},"SystemProperties":${system('"contentType":"application/json",')},"Body":"e30="}`,
    `${time},"Properties":{"site":"north"},"SystemProperties":${named},"Body":5}`,
    '',
  ]);
});

test('Avro: the head, its blocks plain and deflated', () => {
  const events = [0, 1].map((sequence) => ({ sequence, time: TIME, record: message(`body ${sequence}`) }));
  const [plain, deflated] = [fileOf('avro', events), fileOf('avrodeflate', events)];
  assert.equal(plain.toString('latin1', 0, 4), 'Obj\x01');
  assert.ok(
    plain.includes(
      '{"type":"record","name":"Message","namespace":"Microsoft.Azure.Devices","fields":[{"name":"EnqueuedTimeUtc","type":"string"},',
    ),
  );
  const blockOf = (file: Buffer): Buffer => {
    const sync = file.subarray(-16);
    const head = file.indexOf(sync) + 16;
    // The count of rows is one byte, the length two, zigzag.
    assert.equal(file[head], 4);
    assert.equal(((file[head + 1] & 0x7f) | (file[head + 2] << 7)) / 2, file.length - 16 - head - 3);
    return file.subarray(head + 3, -16);
  };
  assert.deepEqual(inflateRawSync(blockOf(deflated)), blockOf(plain));
  assert.equal(
    blockOf(plain)
      .toString('latin1')
      .match(/body [01]/g)?.length,
    2,
  );
});

test('which bodies are JSON texts', () => {
  const judged = (text: string | Buffer): boolean => isJsonText(Buffer.from(text));
  for (const text of ['{}', ' [1]', '"ä"', '-1', 'null', 'true\n', '"\\ud83d\\uDE00"']) assert.ok(judged(text), text);
  for (const text of [
    '',
    '{',
    'nul',
    '"\\ud800"',
    '"\\ude00\\ud83d"',
    'x',
    '\ufeff{}',
    Buffer.from([0x22, 0xff, 0x22]),
  ])
    assert.ok(!judged(text));
});
