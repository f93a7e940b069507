import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseServers, serversOf } from './database-servers.ts';

test('a URL of several hosts is one for each of them', () => {
  assert.deepEqual(serversOf('postgres://mooring:a%40b,c@one:5432,two,[::1]:5433/mooring?sslmode=require'), [
    'postgres://mooring:a%40b,c@one:5432/mooring?sslmode=require',
    'postgres://mooring:a%40b,c@two/mooring?sslmode=require',
    'postgres://mooring:a%40b,c@[::1]:5433/mooring?sslmode=require',
  ]);
  assert.deepEqual(serversOf('postgresql://one/mooring'), ['postgresql://one/mooring']);
});

test('where no server takes writes, it is said of each why', async () => {
  // Nobody listens at port 1.
  const servers = new DatabaseServers('postgres://mooring:secret@127.0.0.1:1,localhost:1/mooring');
  await assert.rejects(servers.writable(), (error: Error) => {
    assert.match(error.message, /127\.0\.0\.1:1: .*; localhost:1: |localhost:1: .*; 127\.0\.0\.1:1: /);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
});
