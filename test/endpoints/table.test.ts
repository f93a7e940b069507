/** Events as rows of a real PostgreSQL: `scripts/postgres-for-tests.sh npm test -- endpoints/table`. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { type EventView, eventView } from '../../src/endpoints/event-view.ts';
import { deliverRows } from '../../src/endpoints/table/deliverer.ts';
import { EventTable } from '../../src/endpoints/table/rows.ts';
import { recordCodec } from '../../src/records/record-codec.ts';

const database = process.env.MOORING_TEST_POSTGRES;
const options = { skip: database === undefined && 'there is no PostgreSQL: scripts/postgres-for-tests.sh' };
const TIME = Date.UTC(2026, 10, 29, 12, 0, 0, 123);

function event(sequence: number, body: string | Buffer = '{"t":21.5}', contentType = 'application/json'): EventView {
  const stamp = { deviceId: 'truck-7', moduleId: 'm', generationId: 'g1', authMethod: '{}', source: 'Telemetry' };
  const properties = [
    ['level', 'high\0er'],
    ['empty', null],
    ['__proto__', 'x'],
  ] as const;
  const telemetry = {
    system: { messageId: `m${sequence}`, contentType, contentEncoding: 'utf-8' },
    properties,
    body: Buffer.from(body),
  };
  return eventView(recordCodec.encode(stamp, telemetry, TIME), { partition: 2, sequence, enqueuedTime: TIME });
}

async function place(context: TestContext) {
  const schema = `events_${randomBytes(6).toString('hex')}`;
  const admin = new pg.Client(database);
  await admin.connect();
  await admin.query(`create schema ${schema}`);
  context.after(async () => {
    await admin.query(`drop schema ${schema} cascade`);
    await admin.end();
  });
  const open = (url = database as string): EventTable => {
    const table = new EventTable({ url, table: `${schema}.Readings`, hub: 'harbour', lost: () => {} });
    context.after(() => table.close());
    return table;
  };
  const rows = async (columns: string): Promise<unknown[][]> => {
    const text = `select ${columns} from ${schema}."Readings" order by sequence`;
    return (await admin.query({ text, rowMode: 'array' })).rows;
  };
  return { schema, admin, open, rows };
}

test('events become rows, each once however often it is delivered', options, async (context) => {
  const { open, rows } = await place(context);
  const table = open();
  assert.deepEqual(await deliverRows(table, [event(1), event(2)]), { kind: 'done' });
  assert.deepEqual(await deliverRows(table, [event(2), event(3, Buffer.from([0, 255]), 'application/octet-stream')]), {
    kind: 'done',
  });
  assert.deepEqual(
    await rows('hub, partition, sequence::int, source, device_id, module_id, message_id, content_type'),
    [
      ['harbour', 2, 1, 'Telemetry', 'truck-7', 'm', 'm1', 'application/json'],
      ['harbour', 2, 2, 'Telemetry', 'truck-7', 'm', 'm2', 'application/json'],
      ['harbour', 2, 3, 'Telemetry', 'truck-7', 'm', 'm3', 'application/octet-stream'],
    ],
  );
  assert.deepEqual(
    (await rows("enqueued_time, body->>'t', body_bytes, properties->>'level', properties->'empty'"))[0],
    [new Date(TIME), '21.5', null, 'higher', null],
  );
  assert.deepEqual((await rows('body, body_bytes'))[2], [null, Buffer.from([0, 255])]);
});

test('what PostgreSQL cannot hold as JSON is kept as bytes, and holds up nothing', options, async (context) => {
  const { open, rows } = await place(context);
  const bodies = [
    '{"a":1}',
    '{"a":"\\u0000"}',
    '{"a":"\\ud800"}',
    '{"a":1e999999}',
    '{"a":2}',
    `${'['.repeat(90_000)}${']'.repeat(90_000)}`,
    '{"a":3}',
  ];
  const events = bodies.map((body, at) => event(at, body));
  let at = 0;
  const table = open();
  while (at < events.length) {
    const outcome = await deliverRows(table, events.slice(at));
    assert.equal(outcome.kind, 'done', JSON.stringify(outcome));
    at += (outcome.kind === 'done' && outcome.count) || events.length - at;
  }
  const kept = await rows("sequence::int, coalesce(body::text, convert_from(body_bytes, 'UTF8'))");
  assert.deepEqual(
    kept.map(([sequence]) => sequence),
    [0, 1, 2, 3, 4, 5, 6],
  );
  assert.equal(kept[3][1], '{"a":1e999999}');
});

test('a table that is there and lacks what is written is told, and nothing is dropped', options, async (context) => {
  const { schema, admin, open } = await place(context);
  await admin.query(`create table ${schema}."Readings" (hub text)`);
  const outcome = await deliverRows(open(), [event(1)]);
  assert.equal(outcome.kind, 'retry');
  assert.match(outcome.kind === 'retry' ? outcome.reason : '', /column "partition" .* does not exist/);
});

test('a database that is away is tried again, and its password is not told', options, async (context) => {
  const { open } = await place(context);
  const url = new URL(database as string);
  url.username = 'nobody-here';
  url.password = 'secret-of-url';
  const outcome = await deliverRows(open(url.href), [event(1)]);
  assert.equal(outcome.kind, 'retry');
  assert.doesNotMatch(JSON.stringify(outcome), /secret-of-url/);
});
