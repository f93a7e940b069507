import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback, isOwnHost, isOwnOrigin, tokenOf } from './admin-guard.ts';

test('only addresses of this machine count as loopback', () => {
  for (const address of ['127.0.0.1', '127.8.9.10', '::1', 'localhost']) assert.equal(isLoopback(address), true);
  for (const address of ['0.0.0.0', '::', '10.0.0.1', '127.evil.example', '128.0.0.1']) {
    assert.equal(isLoopback(address), false, address);
  }
});

test('a Host is own when no foreign DNS name can stand for it', () => {
  const accepts = (name: string): boolean => name === 'hub.example';
  for (const host of ['localhost', '127.0.0.1:8080', '[::1]:8080', '8.8.8.8', 'HUB.example:1']) {
    assert.equal(isOwnHost(host, accepts), true, host);
  }
  const foreign = [
    undefined,
    '',
    'evil.example',
    'a@localhost',
    'localhost/',
    'localhost?x',
    'localhost#',
    'evil\\localhost',
  ];
  for (const host of foreign) assert.equal(isOwnHost(host, accepts), false, host);
});

test('an Origin is own when it is this very host and port over plain HTTP', () => {
  assert.equal(isOwnOrigin(undefined, 'localhost:8080'), true);
  assert.equal(isOwnOrigin('http://LOCALHOST:8080', 'localhost:8080'), true);
  for (const origin of [
    '',
    'null',
    'http://localhost',
    'https://localhost:8080',
    'http://localhost:8080.evil.example',
  ]) {
    assert.equal(isOwnOrigin(origin, 'localhost:8080'), false, origin);
  }
});

test('a token is read with and without Bearer before it', () => {
  assert.equal(tokenOf(undefined), undefined);
  assert.equal(tokenOf('  '), undefined);
  assert.equal(tokenOf('SharedAccessSignature sr=a'), 'SharedAccessSignature sr=a');
  assert.equal(tokenOf('Bearer SharedAccessSignature sr=a'), 'SharedAccessSignature sr=a');
});
