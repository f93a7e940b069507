import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeAuthorityCertificate } from '../../../test/drivers/certificates.ts';
import { createMemoryAuthorityStore } from '../../stores/memory/authorities.ts';
import { readCertificate } from './certificate.ts';
import type { AuthorityChange, AuthorityStore } from './ports.ts';
import { Trust } from './trust.ts';
import type { Authority } from './types.ts';

test('an authority that is removed is not trusted again when another node’s older word of it comes late, or twice', async () => {
  const store = createMemoryAuthorityStore();
  let hear = (_: AuthorityChange): void => {};
  const watchOwnWrites: AuthorityStore['watchOwnWrites'] = (listener) => {
    hear = (change) => listener({ ...change, isElsewhere: true });
    return store.watchOwnWrites(listener);
  };
  const trust = new Trust({ ...store, watchOwnWrites });
  const { der } = await makeAuthorityCertificate('factory');
  const certificate = der.toString('base64');
  const thumbprint = readCertificate(der)?.thumbprint ?? '';
  const authority: Authority = {
    ...{ name: 'factory', etag: 'e', certificate, thumbprint, verified: true, verificationCode: null },
    ...{ createdTime: 1, updatedTime: 1 },
  };
  await store.create(authority, 9);
  await trust.ready();
  assert.equal(trust.isTrusted(thumbprint), true);
  await store.delete('factory', '*');
  hear({ kind: 'replaced', authority });
  await trust.ready();
  assert.equal(trust.isTrusted(thumbprint), false);
  // One that another node has added is found by whoever asks next.
  await store.create(authority, 9);
  hear({ kind: 'created', authority });
  await trust.ready();
  assert.equal(trust.isTrusted(thumbprint), true);
});
