/** Proofs that are no tokens, and what a refusal costs. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import { decoded, house, inAnHour, refusedFor, token } from '../../../test/drivers/proofs.ts';
import type { PeerCertificate } from './types.ts';

test('SASL PLAIN takes a policy by its name and one of its keys as they stand', async () => {
  const { authentication, policy } = await house();
  const principal = await authentication.policyKey('service', policy('service').secondaryKey);
  assert.equal(principal.policyName, 'service');
  assert.equal(principal.expiresAt, Number.POSITIVE_INFINITY);
  await refusedFor('wrong-key', authentication.policyKey('service', policy('device').primaryKey));
  await refusedFor('wrong-key', authentication.policyKey('service', ''));
  await refusedFor('unknown-policy', authentication.policyKey('nobody', policy('service').primaryKey));
});

test('a self-signed certificate is known by either thumbprint while it is valid', async () => {
  const { authentication, add, clock } = await house();
  const sha1 = 'AB'.repeat(20);
  const sha256 = 'CD'.repeat(32);
  await add({
    deviceId: 'd1',
    authentication: { x509Thumbprint: { primaryThumbprint: sha1, secondaryThumbprint: sha256 } },
  });
  await add({ deviceId: 'ca', authentication: { type: 'certificateAuthority' } });
  await add({ deviceId: 'sas' });
  const certificate: PeerCertificate = {
    commonName: 'd1',
    sha1: sha1.toLowerCase(),
    sha256: '00'.repeat(32),
    validFrom: clock.now() - 1000,
    validTo: clock.now() + 1000,
    chain: [],
  };
  const show = (deviceId: string, shown: Partial<PeerCertificate>): Promise<unknown> =>
    authentication.device({ deviceId }, { kind: 'certificate', certificate: { ...certificate, ...shown } });
  assert.deepEqual(((await show('d1', {})) as { authType: string }).authType, 'x509');
  await show('d1', { sha1: '00'.repeat(20), sha256: sha256.toLowerCase() });
  await refusedFor('wrong-certificate', show('d1', { sha1: '00'.repeat(20) }));
  await refusedFor('expired-certificate', show('d1', { validTo: clock.now() - 400_000 }));
  await refusedFor('premature-certificate', show('d1', { validFrom: clock.now() + 400_000 }));
  await // No chain at all.
  await refusedFor('wrong-certificate', show('ca', {}));
  await refusedFor('wrong-credential-kind', show('sas', {}));
  await refusedFor('unknown-identity', show('nobody', {}));
  const text = token('localhost/devices/d1', inAnHour(clock), Buffer.alloc(32, 1));
  await refusedFor('wrong-credential-kind', authentication.device({ deviceId: 'd1' }, { kind: 'token', token: text }));
});

test('every refusal of a token costs the same number of HMACs', async (context) => {
  const { authentication, add, clock, policy } = await house();
  await add({ deviceId: 'good' });
  await add({ deviceId: 'cert', authentication: { type: 'certificateAuthority' } });
  const off = (await add({ deviceId: 'off2', status: 'disabled' })).authentication.symmetricKey!;
  const stranger = Buffer.alloc(32, 1);
  let hmacs = 0;
  const real = crypto.createHmac;
  context.mock.method(crypto, 'createHmac', (...args: Parameters<typeof crypto.createHmac>) => {
    hmacs++;
    return real(...args);
  });
  syncBuiltinESMExports();
  context.after(() => {
    context.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const cost = async (attempt: () => Promise<unknown>): Promise<number> => {
    hmacs = 0;
    await assert.rejects(attempt, { code: 'IotHubUnauthorized' });
    return hmacs;
  };
  const shown = (deviceId: string, key: Buffer, seconds: number, skn?: string): Promise<number> => {
    const text = token(`localhost%2Fdevices%2F${encodeURIComponent(deviceId)}`, seconds, key, skn);
    return cost(() => authentication.device({ deviceId }, { kind: 'token', token: text }));
  };
  const soon = inAnHour(clock);
  const byDevice = [
    await shown('good', stranger, soon),
    await shown('none', stranger, soon),
    await shown('cert', stranger, soon),
    await shown('off2', decoded(off.primaryKey), soon),
    await shown('off2', stranger, soon),
    await shown('good', stranger, 1000),
    await shown('good', stranger, soon, 'device'),
    await shown('good', stranger, soon, 'nobody'),
    await shown('good', decoded(policy('service').primaryKey), soon, 'service'),
    await shown('none', decoded(policy('device').primaryKey), soon, 'device'),
  ];
  assert.ok(byDevice[0] > 2);
  assert.deepEqual(new Set(byDevice), new Set([byDevice[0]]));
});
