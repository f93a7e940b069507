import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import { readCertificate } from '../../core/identity/certificate.ts';
import type { AuthorityChange, AuthorityStore } from '../../core/identity/ports.ts';
import { Trust } from '../../core/identity/trust.ts';
import type { Authority } from '../../core/identity/types.ts';
import { createMemoryAuthorityStore } from '../../stores/memory/authorities.ts';
import { overhearing } from '../threads/change-feed.ts';
import { makeAuthority } from '../tls/certificates.ts';

test('an authority that is removed is not trusted again when another node’s older word of it comes late, or twice', async () => {
  const { store, hear } = overhearing<AuthorityChange, AuthorityStore>(createMemoryAuthorityStore());
  const trust = new Trust(store);
  const { cert } = await makeAuthority('factory', systemClock.now(), systemRandom);
  const certificate = cert.replaceAll(/-----[^-]+-----|\s/g, '');
  const thumbprint = readCertificate(Buffer.from(certificate, 'base64'))?.thumbprint ?? '';
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
