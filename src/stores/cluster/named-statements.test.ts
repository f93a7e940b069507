import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../base/limits.ts';
import { StatementNames } from './named-statements.ts';

test('a text that comes again has a name, and keeps it; one that comes once has none', () => {
  const names = new StatementNames();
  for (let text = 0; text < 10_000; text++) assert.equal(names.nameOf(`select ${text}`), undefined);
  const said = Array.from({ length: 5 }, () => names.nameOf('select 1 where $1'));
  assert.deepEqual([said[0], said[1]], [undefined, undefined]);
  assert.ok(said[2] !== undefined && said[3] === said[2] && said[4] === said[2]);
});

test('there are so many names at the most, and each is of one text', () => {
  const names = new StatementNames();
  const given = new Set<string>();
  for (let text = 0; text < 2 * limits.postgresStatementNamesMax; text++) {
    for (let time = 0; time < 5; time++) {
      const name = names.nameOf(`select ${text}`);
      if (name !== undefined) given.add(name);
    }
  }
  assert.equal(given.size, limits.postgresStatementNamesMax);
  names.renew();
  for (let time = 0; time < 5; time++) {
    const name = names.nameOf('select 0');
    if (name !== undefined) assert.ok(!given.has(name), 'a name is not used again for another parse');
  }
});
