import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressShare } from './address.ts';

test('an IPv4 address counts for itself, whichever socket it came by; one of IPv6 for its /64', () => {
  const cases = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['', ''],
  ];
  for (const [address, share] of cases) assert.equal(addressShare(address), share, address);
});
