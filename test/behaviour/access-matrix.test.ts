/**
 * Every kind of identity on every operation of every door: what is expected and what happens, cell by cell. The rows are
 * those of the permission table (`test/drivers/access-rows.ts`): an operation, or a route of the REST API, without a row is an
 * error of its own.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Operation, operations } from '../../src/core/identity/operations.ts';
import { type AccessScene, type CallerName, callerNames, openAccessScene } from '../drivers/access.ts';
import { closed, matrix, type Row, withoutRows } from '../drivers/access-rows.ts';

interface Cells {
  readonly row: Row;
  readonly allowed: readonly CallerName[];
  /** Undefined = none of the table's. */
  readonly operation: Operation | undefined;
}

const cells: readonly Cells[] = [
  ...operations.flatMap((operation) =>
    matrix[operation].rows.map((row) => ({ row, operation, allowed: matrix[operation].who(row.of) })),
  ),
  ...closed.map((row) => ({ row, operation: undefined, allowed: [] })),
];

/** Of what a client asks on its way to an operation, beside the operation itself. */
const onTheWay: Readonly<Partial<Record<Operation, readonly Operation[]>>> = {
  'eventHubs.read': ['events.read'],
  'sharedKeys.derive': ['devices.speakFor'],
};

let scene: AccessScene;
before(async () => {
  scene = await openAccessScene();
});
after(() => scene[Symbol.asyncDispose]());

test('every operation of the permission table has a row, or a reason why no door asks for it', () => {
  const bare = operations.filter((operation) => matrix[operation].rows.length === 0);
  assert.deepEqual(bare, Object.keys(withoutRows));
});

for (const door of ['HTTP', 'MQTT', 'AMQP'] as const) {
  test(`${door}: the expected callers are let in, and no others; a refusal names the operation`, async (context) => {
    const differences: string[] = [];
    const rows = cells.filter(({ row }) => row.door === door);
    let count = 0;
    for (const { row, operation, allowed } of rows) {
      for (const caller of scene.callers) {
        scene.refused.length = 0;
        const expected = allowed.includes(caller.name);
        const actual = await row.attempt(scene, caller);
        count++;
        const cell = `${operation} (${row.what}) by ${caller.name}`;
        if (actual !== expected) differences.push(`${cell}: ${actual ? 'let in' : 'refused'}, against expectation`);
        const names = operation === undefined ? [] : [operation, ...(onTheWay[operation] ?? [])];
        const foreign = scene.refused.filter((told) => operation !== undefined && !names.includes(told));
        if (foreign.length > 0) differences.push(`${cell}: told as ${foreign.join(', ')}`);
      }
    }
    context.diagnostic(
      `${door}: ${rows.length} rows x ${callerNames.length} identities = ${count} cells, ${differences.length} differences`,
    );
    assert.deepEqual(differences, []);
    assert.equal(count, rows.length * callerNames.length);
  });
}

test('every operation of the REST API has a row', () => {
  const { paths } = scene.http.door.openApi() as { readonly paths: Readonly<Record<string, object>> };
  const http = cells.filter(({ row }) => row.door === 'HTTP').map(({ row }) => row.what);
  const missing = Object.entries(paths).flatMap(([path, methods]) => {
    const pattern = new RegExp(`^${path.replace(/\{[\w*]+\}/g, '[^/]+').replaceAll('$', '\\$')}$`, 'i');
    return Object.keys(methods)
      .map((method) => method.toUpperCase())
      .filter((method) => {
        const has = (what: string): boolean => {
          const [known, at] = what.split(' ');
          return known === method && pattern.test(at);
        };
        return !http.some(has);
      })
      .map((method) => `${method} ${path}`);
  });
  assert.deepEqual(missing, []);
});
