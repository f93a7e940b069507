import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BlobGrant, signQuery, verifyQuery } from './signed-url.ts';

const NOW = Date.UTC(2026, 6, 1);
const secret = Buffer.alloc(32, 7);
const grant: BlobGrant = {
  path: 'd1/a b/ü.bin',
  rights: new Set(['read', 'write'] as const),
  correlationId: '5e9fba2e-42c1-4bcf-9a8e-0e6d1c1f2a3b',
  expiresAt: NOW + 60_000,
};
const query = signQuery(grant, secret);
const verified = (text: string, path = grant.path, now = NOW) =>
  verifyQuery(path, new URLSearchParams(text), secret, now);

test('a signed query is what it was signed for, until its time', () => {
  assert.match(query, /^\?sv=[0-9-]+&sr=b&se=[^&]+&sp=rw&sig=[^&+/=]+$/);
  assert.deepEqual(verified(query), grant);
  assert.deepEqual(verified(query, grant.path, grant.expiresAt - 1), grant);
  assert.equal(verified(query, grant.path, grant.expiresAt), undefined);
});

test('order, further parameters and encoding do not matter', () => {
  const parameters = [...new URLSearchParams(query)].reverse();
  const again = new URLSearchParams([
    ['comp', 'block'],
    ['blockid', 'AAAA'],
    ...parameters,
    ['api-version', '2019-02-02'],
  ]);
  assert.deepEqual(verified(`?${again}`), grant);
});

test('nothing of it can be changed', () => {
  assert.equal(verified(query, 'd1/other'), undefined);
  assert.equal(verified(query.replace('sp=rw', 'sp=rwd')), undefined);
  assert.equal(verified(query.replace('2026', '2027')), undefined);
  assert.equal(verified(query.replace('5e9fba2e', '5e9fba2f')), undefined);
  assert.equal(verified(`${query}&sp=r`), undefined, 'twice the same parameter');
  assert.equal(verified(''), undefined);
  assert.equal(verifyQuery(grant.path, new URLSearchParams(query), Buffer.alloc(32, 8), NOW), undefined);
});

test('a URL to read does not allow to write', () => {
  const reading = { ...grant, rights: new Set(['read'] as const) };
  assert.deepEqual(verified(signQuery(reading, secret))?.rights, new Set(['read']));
});
