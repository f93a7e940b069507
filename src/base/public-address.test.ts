import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPublicAddress } from './public-address.ts';

test('public addresses, and those that are none in whatever way they are written', () => {
  for (const address of ['20.60.1.1', '8.8.8.8', '172.15.0.1', '172.32.0.1', '2a01:111::1', '::ffff:20.60.1.1']) {
    assert.ok(isPublicAddress(address), address);
  }
  const closed = [
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.255.1.1', '169.254.169.254', '172.16.0.1', '172.31.9.9'],
    ...['192.168.1.1', '198.18.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', 'fe80::1', 'fe80::1%eth0', 'fc00::1'],
    ...['fd12::1', 'ff02::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '64:ff9b::7f00:1', '2002:7f00:1::', 'localhost', ''],
  ];
  for (const address of closed) assert.ok(!isPublicAddress(address), address);
});
