import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { configPage, errorsPage } from '../../src/server/config/config-docs.ts';

const docs = path.join(import.meta.dirname, '..', '..', 'docs');

for (const [file, page] of [
  ['config.md', configPage()],
  ['errors.md', errorsPage()],
] as const) {
  test(`docs/${file} says what the code says`, () => {
    const written = readFileSync(path.join(docs, file), 'utf8');
    assert.ok(written === page, `docs/${file} is stale: run "npm run docs" and commit it`);
  });
}
