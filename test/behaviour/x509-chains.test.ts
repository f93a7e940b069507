/** Devices that prove themselves by certificates, decided in core: chains, dates, thumbprints, what a removal does. */

import 'reflect-metadata';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as x509 from '@peculiar/x509';
import { VirtualClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/random.ts';
import { HubError } from '../../src/core/errors.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import type { AuthorityStore } from '../../src/core/identity/ports.ts';
import type { AuthenticationCheck, DevicePrincipal, IdentityKey, Principal } from '../../src/core/identity/types.ts';
import type { MonitoringReport } from '../../src/core/monitoring/types.ts';
import { createMemoryAuthorityStore } from '../../src/stores/memory/authorities.ts';
import {
  type CertificateWish,
  makeAuthorityCertificate,
  makeCertificate,
  peerCertificate,
  type TestCertificate,
} from '../drivers/certificates.ts';
import { owner } from '../drivers/owner.ts';
import { openPlainHub } from '../drivers/plain-hub.ts';

const DAY_MS = 86_400_000;

interface House {
  readonly hub: WholeHub;
  /** What monitoring was told. */
  readonly told: readonly MonitoringReport[];
  readonly clock: VirtualClock;
  readonly store: AuthorityStore;
  readonly root: TestCertificate;
  authority(name: string, wish?: CertificateWish): Promise<TestCertificate>;
  leaf(commonName: string, issuer: TestCertificate, wish?: CertificateWish): Promise<TestCertificate>;
  trust(name: string, authority: TestCertificate): Promise<void>;
  enter(key: IdentityKey | string, ...chain: readonly TestCertificate[]): Promise<DevicePrincipal>;
}

/** A hub with the verified authority `root`, the device `d1` with the module `m1`, and another store's view if given. */
async function house(store = createMemoryAuthorityStore(), clock = new VirtualClock()): Promise<House> {
  const random = seededRandom(11);
  const told: MonitoringReport[] = [];
  const { hub } = await openPlainHub({
    ...{ name: 'myhub', hosts: ['localhost'], authorities: store, clock, random, log: silentLog },
    recorder: { record: (report) => void told.push(report) },
  });
  for (const key of [{ deviceId: 'd1' }, { deviceId: 'd1', moduleId: 'm1' }, { deviceId: 'd2' }]) {
    await hub.registry.put(owner, { ...key, authentication: { type: 'certificateAuthority' } });
  }
  const leaf: House['leaf'] = (commonName, issuer, wish) =>
    makeCertificate(commonName, { issuer, now: clock.now(), ...wish });
  const trust: House['trust'] = async (name, authority) => {
    const { verificationCode } = await hub.authorities.add(owner, name, authority.pem);
    await hub.authorities.prove(owner, name, (await leaf(verificationCode ?? '', authority)).pem);
  };
  const authority: House['authority'] = (name, wish) => makeAuthorityCertificate(name, { now: clock.now(), ...wish });
  const root = await authority('Root', { validTo: clock.now() + 3650 * DAY_MS });
  if ((await store.list()).length === 0) await trust('root', root);
  return {
    hub,
    told,
    clock,
    store,
    root,
    authority,
    leaf,
    trust,
    enter: (key, certificate, ...intermediates) =>
      hub.authentication.device(typeof key === 'string' ? { deviceId: key } : key, {
        kind: 'certificate',
        certificate: peerCertificate(certificate, intermediates),
      }),
  };
}

async function refused(entry: Promise<unknown>, check: AuthenticationCheck): Promise<void> {
  await assert.rejects(entry, (error) => {
    assert.ok(error instanceof HubError);
    assert.deepEqual([error.code, error.reason], ['IotHubUnauthorized', check]);
    return true;
  });
}

test('a leaf of a verified authority is let in until the first certificate of its chain ends', async () => {
  const { enter, leaf, root, clock } = await house();
  const validTo = clock.now() + 5 * DAY_MS;
  const principal = await enter('d1', await leaf('d1', root, { validTo }));
  assert.equal(principal.authType, 'x509');
  assert.equal(principal.authScope, 'device');
  assert.equal(principal.authority, root.sha256);
  assert.equal(principal.expiresAt, validTo + limits.clockSkewMs);
});

test('a module is known by device and module in the common name', async () => {
  const { enter, leaf, root } = await house();
  const module = { deviceId: 'd1', moduleId: 'm1' };
  const principal = await enter(module, await leaf('d1/m1', root));
  assert.deepEqual([principal.key, principal.authScope], [module, 'module']);
  await refused(enter(module, await leaf('d1', root)), 'wrong-certificate');
  await refused(enter('d1', await leaf('d1/m1', root)), 'wrong-certificate');
});

test('the common name must be the identity, in its very letters', async () => {
  const { enter, leaf, root } = await house();
  for (const commonName of ['d2', 'D1', 'd1 ', 'd1/']) {
    await refused(enter('d1', await leaf(commonName, root)), 'wrong-certificate');
  }
});

test('intermediates lead to the authority, in whatever order they came', async () => {
  const { enter, leaf, authority, root, clock } = await house();
  const upper = await authority('Upper', { issuer: root, validTo: clock.now() + 9 * DAY_MS });
  const lower = await authority('Lower', { issuer: upper });
  const stranger = await authority('Stranger');
  const device = await leaf('d1', lower);
  await refused(enter('d1', device), 'unknown-authority');
  await refused(enter('d1', device, lower), 'unknown-authority');
  const principal = await enter('d1', device, stranger, upper, lower);
  assert.equal(principal.expiresAt, clock.now() + 9 * DAY_MS + limits.clockSkewMs);
});

test('a resumed session carries the leaf alone: intermediates that were met before stand in', async () => {
  const first = await house();
  const lower = await first.authority('Lower', { issuer: first.root });
  const device = await first.leaf('d1', lower);
  await first.enter('d1', device, lower);
  assert.equal((await first.enter('d1', device)).authority, first.root.sha256);
  await first.enter('d2', await first.leaf('d2', lower));
  // Another thread or a restart has the store only.
  const second = await house(first.store, first.clock);
  await second.enter('d1', device);
  await first.hub.authorities.delete(owner, 'root');
  assert.deepEqual(await first.store.intermediates(), []);
});

test('dates are looked at with the clock of the hub, for every certificate of the chain', async () => {
  const { enter, leaf, authority, root, clock } = await house();
  const now = clock.now();
  const skew = limits.clockSkewMs;
  const over = await leaf('d1', root, { validTo: now - skew });
  const early = await leaf('d1', root, { validFrom: now + skew + 1000 });
  await refused(enter('d1', over), 'expired-certificate');
  await refused(enter('d1', early), 'premature-certificate');
  await enter('d1', await leaf('d1', root, { validTo: now - skew + 1000 }));
  const overIntermediate = await authority('Over', { issuer: root, validTo: now - skew });
  await refused(enter('d1', await leaf('d1', overIntermediate), overIntermediate), 'expired-certificate');
  clock.advance(2 * skew);
  await enter('d1', early);
  clock.setWall(now + 4000 * DAY_MS);
  const late = await leaf('d1', root);
  await refused(enter('d1', late), 'expired-certificate');
});

test('an authority that nobody has registered, and one of the same name, let nobody in', async () => {
  const { enter, leaf, authority, clock } = await house();
  await refused(enter('d1', await leaf('d1', await authority('Other'))), 'unknown-authority');
  await refused(enter('d1', await leaf('d1', await authority('Root'))), 'unknown-authority');
  await refused(enter('d1', await makeCertificate('d1', { now: clock.now() })), 'unknown-authority');
});

test('an authority lets nobody in before its owner has proved to hold its key', async () => {
  const { hub, enter, leaf, authority, root } = await house();
  const second = await authority('Second');
  const { verificationCode, verified } = await hub.authorities.add(owner, 'second', second.pem);
  assert.equal(verified, false);
  assert.match(verificationCode ?? '', /^[0-9A-F]{48}$/);
  const device = await leaf('d1', second);
  await refused(enter('d1', device), 'unverified-authority');
  const wrong = [await leaf('something else', second), await leaf(verificationCode ?? '', root)];
  for (const proof of wrong) {
    await assert.rejects(hub.authorities.prove(owner, 'second', proof.pem), { code: 'ArgumentInvalid' });
  }
  await refused(enter('d1', device), 'unverified-authority');
  const proved = await hub.authorities.prove(owner, 'second', (await leaf(verificationCode ?? '', second)).pem);
  assert.deepEqual([proved.verified, proved.verificationCode], [true, null]);
  await enter('d1', device);
});

test('a removed authority lets nobody in, and its connected devices are cut off at once', async () => {
  const { hub, told, enter, leaf, authority, trust, root } = await house();
  const second = await authority('Second');
  await trust('second', second);
  const dropped: string[] = [];
  const connect = async (deviceId: string, issuer: TestCertificate) => {
    const principal = await enter(deviceId, await leaf(deviceId, issuer));
    await hub.admission.claim(principal, {
      ...principal,
      protocol: 'mqtt',
      credential: principal.authType,
      peer: '127.0.0.1',
      drop: (reason) => void dropped.push(`${deviceId} ${reason}`),
    });
    return principal;
  };
  const principal = await connect('d1', root);
  await connect('d2', second);
  await hub.authorities.delete(owner, 'root');
  assert.deepEqual(dropped, ['d1 authority-removed']);
  assert.deepEqual(
    told.flatMap((report) => (report.type === 'disconnected' ? [[report.deviceId, report.reason]] : [])),
    [['d1', 'authority-removed']],
  );
  await refused(enter('d1', await leaf('d1', root)), 'unknown-authority');
  // A device that was let in just before, and claims only now, meets the removal too.
  const drop = (reason: string): void => void dropped.push(`late ${reason}`);
  await hub.admission.claim(principal, { ...principal, protocol: 'mqtt', credential: 'x509', peer: '127.0.0.1', drop });
  assert.deepEqual(dropped.slice(1), ['late authority-removed']);
  await trust('again', root);
  await enter('d1', await leaf('d1', root));
});

test('only an authority may sign: basic constraints, path length and key usage count', async () => {
  const { enter, leaf, authority, root, trust } = await house();
  const plain = await leaf('d2', root);
  await refused(enter('d1', await leaf('d1', plain), plain), 'wrong-certificate');
  const short = await authority('Short', { issuer: root, authority: { pathLength: 0 } });
  const below = await authority('Below', { issuer: short });
  await enter('d1', await leaf('d1', short), short);
  await refused(enter('d1', await leaf('d1', below), below, short), 'wrong-certificate');
  const shortRoot = await authority('Short root', { authority: { pathLength: 0 } });
  await trust('short', shortRoot);
  const under = await authority('Under', { issuer: shortRoot });
  await enter('d1', await leaf('d1', shortRoot));
  await refused(enter('d1', await leaf('d1', under), under), 'wrong-certificate');
  const usage = new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true);
  const mute = await makeCertificate('Mute', {
    issuer: root,
    now: Date.UTC(2026, 0, 1),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true), usage],
  });
  await refused(enter('d1', await leaf('d1', mute), mute), 'unknown-authority');
});

test('a leaf that may not prove a client is refused; one that may, or says nothing, is not', async () => {
  const { enter, leaf, root } = await house();
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const with_ = (...extensions: readonly x509.Extension[]) => leaf('d1', root, { extensions });
  await refused(enter('d1', await with_(new x509.ExtendedKeyUsageExtension([serverAuth]))), 'wrong-certificate');
  await refused(
    enter('d1', await with_(new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyEncipherment, true))),
    'wrong-certificate',
  );
  await enter('d1', await with_(new x509.ExtendedKeyUsageExtension([serverAuth, clientAuth])));
  await enter('d1', await with_(new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)));
  // What is critical and unknown must not be read over (RFC 5280 section 4.2).
  const unknown = new x509.Extension('1.3.6.1.4.1.99999.1', true, new Uint8Array([5, 0]));
  await refused(enter('d1', await with_(unknown)), 'wrong-certificate');
});

test('an authority that is confined to names is not relied on, whether it says that this is critical or not', async () => {
  const { enter, leaf, root } = await house();
  for (const critical of [true, false]) {
    // permitted: dNSName "example"
    const names = new Uint8Array(Buffer.from('300da00b300982076578616d706c65', 'hex'));
    const basic = new x509.BasicConstraintsExtension(true, undefined, true);
    const confined = await makeCertificate('Confined', {
      issuer: root,
      now: Date.UTC(2026, 0, 1),
      extensions: [basic, new x509.Extension('2.5.29.30', critical, names)],
    });
    await refused(enter('d1', await leaf('d1', confined), confined), 'wrong-certificate');
  }
});

test('a renewed leaf, of the same key or a new one, is let in without a word to the hub', async () => {
  const { enter, leaf, root } = await house();
  const old = await leaf('d1', root);
  await enter('d1', old);
  await enter('d1', await leaf('d1', root, { keys: old.keys }));
  await enter('d1', await leaf('d1', root));
});

test('a self-signed certificate is known by either thumbprint, SHA-1 or SHA-256, and ends with its date', async () => {
  const { hub, enter, clock } = await house();
  const validTo = clock.now() + 3 * DAY_MS;
  const [first, second, other] = await Promise.all(
    ['one', 'two', 'three'].map((name) => makeCertificate(name, { now: clock.now(), validTo })),
  );
  await hub.registry.put(owner, {
    deviceId: 'd3',
    authentication: {
      type: 'selfSigned',
      x509Thumbprint: { primaryThumbprint: first.sha1.toUpperCase(), secondaryThumbprint: second.sha256 },
    },
  });
  assert.equal((await enter('d3', first)).expiresAt, validTo + limits.clockSkewMs);
  const principal = await enter('d3', second);
  assert.equal(principal.authority, undefined);
  await refused(enter('d3', other), 'wrong-certificate');
  clock.setWall(validTo + limits.clockSkewMs);
  await refused(enter('d3', second), 'expired-certificate');
});

test('each identity takes its own kind of credential only', async () => {
  const { hub, enter, leaf, root } = await house();
  await hub.registry.put(owner, { deviceId: 'keyed' });
  await refused(enter('keyed', await leaf('keyed', root)), 'wrong-credential-kind');
  await refused(enter('nobody', await leaf('nobody', root)), 'unknown-identity');
  await hub.registry.put(owner, { deviceId: 'd1', status: 'disabled' }, '*');
  await refused(enter('d1', await leaf('d1', root)), 'disabled-identity');
  await refused(enter({ deviceId: 'd1', moduleId: 'm1' }, await leaf('d1/m1', root)), 'disabled-identity');
});

test('what is no certificate is refused and harms nobody', async () => {
  const { hub, leaf, root } = await house();
  const good = await leaf('d1', root);
  const claims = peerCertificate(good);
  for (const chain of [[], [Buffer.from('no certificate')], [good.der.subarray(0, 100)], [Buffer.alloc(20_000, 48)]]) {
    const certificate = { ...claims, chain };
    await refused(
      hub.authentication.device({ deviceId: 'd1' }, { kind: 'certificate', certificate }),
      'wrong-certificate',
    );
  }
});

test('a crafted crowd of intermediates costs a bounded number of signatures', async () => {
  const { enter, leaf, authority } = await house();
  // Two authorities of one name and key sign each other: every step has two ways on.
  const one = await authority('Maze');
  const two = await authority('Maze', { keys: one.keys, issuer: one });
  const three = await authority('Maze', { keys: one.keys, issuer: two });
  const before = performance.now();
  await refused(enter('d1', await leaf('d1', one), one, two, three, two, one), 'unknown-authority');
  assert.ok(performance.now() - before < 1000);
});

test('authorities are registered by name, at most 25, and only where the certificate is one of an authority', async () => {
  const { hub, authority, leaf, root } = await house();
  const { authorities } = hub;
  const made = await authority('Shown');
  const view = await authorities.add(owner, 'shown', made.pem);
  assert.deepEqual([view.subject, view.thumbprint], ['CN=Shown', made.sha256]);
  assert.deepEqual(await authorities.get(owner, 'shown'), view);
  await assert.rejects(authorities.add(owner, 'other', made.pem), { code: 'CertificateAuthorityAlreadyExists' });
  await assert.rejects(authorities.add(owner, 'shown', (await authority('Two')).pem), {
    code: 'CertificateAuthorityAlreadyExists',
  });
  await assert.rejects(authorities.add(owner, 'leaf', (await leaf('d1', root)).pem), { code: 'ArgumentInvalid' });
  await assert.rejects(authorities.add(owner, 'text', 'no certificate'), { code: 'ArgumentInvalid' });
  await assert.rejects(authorities.add(owner, 'a/b', made.pem), { code: 'ArgumentInvalid' });
  await assert.rejects(authorities.get(owner, 'missing'), { code: 'CertificateAuthorityNotFound' });
  await assert.rejects(authorities.delete(owner, 'missing'), { code: 'CertificateAuthorityNotFound' });
  await assert.rejects(authorities.delete(owner, 'shown', 'another'), { code: 'PreconditionFailed' });
  for (let count = 2; count < limits.authoritiesMax; count++) {
    await authorities.add(owner, `a${count}`, (await authority(`A${count}`)).pem);
  }
  await assert.rejects(authorities.add(owner, 'more', (await authority('More')).pem), { code: 'IotHubQuotaExceeded' });
  const reader: Principal = { ...owner, permissions: new Set(['RegistryRead']) };
  assert.equal((await authorities.list(reader)).length, limits.authoritiesMax);
  await assert.rejects(authorities.delete(reader, 'shown'), { code: 'IotHubUnauthorizedAccess' });
  await assert.rejects(authorities.list({ ...owner, permissions: new Set(['DeviceConnect']) }), {
    code: 'IotHubUnauthorizedAccess',
  });
});
