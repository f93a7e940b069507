import assert from 'node:assert/strict';
import crypto, { createHmac } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryAuthorityStore } from '../../stores/memory/authorities.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryPolicyStore } from '../../stores/memory/policies.ts';
import { HubError } from '../errors.ts';
import { type Authentication, createAuthentication } from './authentication.ts';
import { credentialsOf } from './credentials.ts';
import { hostNames } from './host-names.ts';
import { IdentityCache } from './identity-cache.ts';
import { ensurePolicies } from './policies.ts';
import type { IdentityStore } from './ports.ts';
import type { IdentityDraft } from './registry-room.ts';
import { buildIdentity } from './rules.ts';
import { Trust } from './trust.ts';
import type { AuthenticationCheck, Identity, IdentityKey, PeerCertificate, Policy } from './types.ts';

const names = hostNames('myhub', ['myhub.example', 'localhost', '127.0.0.1']);

interface House {
  readonly authentication: Authentication;
  readonly store: IdentityStore;
  readonly clock: VirtualClock;
  readonly policy: (name: string) => Policy;
  readonly add: (draft: IdentityDraft) => Promise<Identity>;
}

async function house(): Promise<House> {
  const random = seededRandom(1);
  const clock = new VirtualClock();
  const store = createMemoryIdentityStore();
  const policies = await ensurePolicies(createMemoryPolicyStore(), {}, random);
  const identities = new IdentityCache(store);
  return {
    authentication: createAuthentication({
      identities,
      trust: new Trust(createMemoryAuthorityStore()),
      policies,
      hostNames: names,
      clock,
    }),
    store,
    clock,
    policy: (name) => policies.find((policy) => policy.name === name)!,
    async add(draft) {
      const identity = buildIdentity(draft, random, 0);
      const [outcome] = await store.write([{ kind: 'create', identity, countMax: 10 }]);
      assert.equal(outcome.kind, 'done');
      return identity;
    },
  };
}

const sign = (key: Buffer | string, text: string): string => createHmac('sha256', key).update(text).digest('base64');
const decoded = (key: string): Buffer => Buffer.from(key, 'base64');
const primary = (identity: Identity): string => identity.authentication.symmetricKey!.primaryKey;
const lowerEscapes = (text: string): string => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
const python = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
/** Node leaves nothing unencoded either, but writes the escapes of `!'()*` in lower case. */
const node = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);

/** How each SDK writes `sr` and orders its fields (the table of device reference 1.5). */
const sdks: Readonly<
  Record<string, { sr: (host: string, key: IdentityKey) => string; order: string; encode: (sig: string) => string }>
> = {
  Node: { sr: (host, key) => node(plain(host, key, (id) => id)), order: 'sr sig skn se', encode: node },
  Python: { sr: (host, key) => python(plain(host, key, (id) => id)), order: 'sr sig se skn', encode: python },
  C: { sr: (host, key) => plain(host, key, (id) => id), order: 'sr sig se skn', encode: lowerEscapesOf(python) },
  Java: { sr: (host, key) => plain(host, key, python), order: 'sig se sr', encode: python },
  'C#': { sr: (host, key) => python(plain(host, key, python)), order: 'sr sig se skn', encode: python },
  CLI: {
    sr: (host, key) => lowerEscapes(python(plain(host, key, (id) => id))),
    order: 'sr sig se skn',
    encode: lowerEscapesOf(python),
  },
};

function lowerEscapesOf(encode: (text: string) => string): (text: string) => string {
  return (text) => lowerEscapes(encode(text));
}

function plain(host: string, { deviceId, moduleId }: IdentityKey, id: (id: string) => string): string {
  return `${host}/devices/${id(deviceId)}${moduleId === undefined ? '' : `/modules/${id(moduleId)}`}`;
}

function token(sr: string, seconds: number, key: Buffer | string, skn?: string, sdk = sdks.Python): string {
  const fields: Record<string, string | undefined> = {
    sr,
    sig: sdk.encode(sign(key, `${sr}\n${seconds}`)),
    se: String(seconds),
    skn,
  };
  const pairs = sdk.order.split(' ').filter((name) => fields[name] !== undefined);
  if (skn !== undefined && !pairs.includes('skn')) pairs.push('skn');
  return `SharedAccessSignature ${pairs.map((name) => `${name}=${fields[name]}`).join('&')}`;
}

const inAnHour = (clock: VirtualClock): number => Math.floor(clock.now() / 1000) + 3600;

async function refusedFor(reason: AuthenticationCheck, attempt: Promise<unknown>): Promise<void> {
  await assert.rejects(attempt, (error: unknown) => {
    assert.ok(error instanceof HubError);
    assert.equal(error.code, 'IotHubUnauthorized');
    assert.equal(error.message, new HubError('IotHubUnauthorized').message);
    assert.equal(error.reason, reason);
    return true;
  });
}

const oddIds = ['d1', 'a b'.replace(' ', '+'), "x-:.+%_#*?!(),=@;$'", 'a%2fb', '100%', 'a%23b'];

test('tokens of every SDK are accepted for every id that is allowed, with the primary and the secondary key', async () => {
  const { authentication, add, clock } = await house();
  for (const deviceId of oddIds) {
    const device = await add({ deviceId });
    const module = await add({ deviceId, moduleId: 'm#1' });
    for (const identity of [device, module]) {
      const { moduleId } = identity;
      const key = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
      for (const [name, sdk] of Object.entries(sdks)) {
        for (const host of ['myhub.example', 'MyHub.Example', 'localhost:8883']) {
          for (const secret of Object.values(identity.authentication.symmetricKey!)) {
            const text = token(sdk.sr(host, key), inAnHour(clock), decoded(secret), undefined, sdk);
            const credential = { kind: 'token', token: text } as const;
            const principal = await authentication.device(key, credential).catch((error) => {
              throw new Error(`${name} ${deviceId} ${host}: ${error.reason}`);
            });
            assert.deepEqual(principal, {
              kind: 'device',
              key,
              generationId: identity.generationId,
              expiresAt: inAnHour(clock) * 1000 + 300_000,
              authScope: moduleId === undefined ? 'device' : 'module',
              authType: 'sas',
              credentials: credentialsOf(identity.authentication),
            });
            assert.deepEqual(await authentication.token(text), principal, `${name} ${deviceId}`);
          }
        }
      }
    }
  }
});

test('a token opens only what its resource names', async () => {
  const { authentication, add, clock } = await house();
  const device = await add({ deviceId: 'd1' });
  const module = await add({ deviceId: 'd1', moduleId: 'm1' });
  await add({ deviceId: 'd2' });
  const by = (sr: string, identity: Identity): { kind: 'token'; token: string } => ({
    kind: 'token',
    token: token(sr, inAnHour(clock), decoded(primary(identity))),
  });
  const { device: enter } = authentication;
  const d1 = { deviceId: 'd1' };
  const m1 = { deviceId: 'd1', moduleId: 'm1' };
  await refusedFor('wrong-key', enter({ deviceId: 'd2' }, by('localhost/devices/d1', device)));
  await refusedFor('wrong-key', enter({ deviceId: 'd2' }, by('localhost/devices/d2', device)));
  await refusedFor('wrong-key', enter(m1, by('localhost/devices/d1', device)));
  await refusedFor('wrong-key', enter(d1, by('localhost/devices/d1/modules/m1', module)));
  await refusedFor('wrong-resource', enter(m1, by('localhost/devices/d1', module)));
  await refusedFor('wrong-resource', enter(d1, by('localhost/devices/d', device)));
  await refusedFor('wrong-resource', enter(d1, by('localhost/devices/d1/modules', device)));
  await refusedFor('wrong-host', enter(d1, by('elsewhere/devices/d1', device)));
  await refusedFor('wrong-host', enter(d1, by('localhost.evil/devices/d1', device)));
  await refusedFor('unknown-identity', enter({ deviceId: 'nobody' }, by('localhost/devices/nobody', device)));
  await refusedFor('unknown-identity', enter({ deviceId: '\u0000' }, by('localhost/devices/d1', device)));
  await refusedFor('malformed-token', enter(d1, { kind: 'token', token: 'SharedAccessSignature nonsense' }));
  await refusedFor('missing-credential', enter(d1, undefined));
  const { token: text } = by('localhost/devices/d1', device);
  const forged = text.replace(/sig=(.)/, (_, char) => `sig=${char === 'A' ? 'B' : 'A'}`);
  await refusedFor('wrong-key', enter(d1, { kind: 'token', token: forged }));
});

test('of a token by the key of the identity itself, sr may be in lower case, or the host alone', async () => {
  const { authentication, add, clock, policy } = await house();
  const key = { deviceId: 'Press-7' };
  const device = await add(key);
  const by = (sr: string): string => token(sr, inAnHour(clock), decoded(primary(device)));
  const audience = 'localhost/devices/Press-7/messages/events';
  for (const sr of ['localhost/devices/press-7', 'localhost%2fdevices%2fpress-7', 'localhost', 'localhost/devices']) {
    const principal = await authentication.device(key, { kind: 'token', token: by(sr) });
    assert.deepEqual(principal.key, key, sr);
    assert.deepEqual(await authentication.token(by(sr), audience), principal, `${sr} for an audience`);
    assert.deepEqual(await authentication.token(by(sr), 'localhost/devices/Press-7'), principal, sr);
    const forOther = authentication.token(by(sr), 'localhost/devices/other');
    await refusedFor(sr.includes('press') ? 'wrong-resource' : 'unknown-identity', forOther);
  }
  await refusedFor('wrong-resource', authentication.token(by('localhost'), undefined));
  // What the one key has signed is for the one identity, whatever other ids read alike.
  const other = await add({ deviceId: 'press-7' });
  await refusedFor(
    'wrong-key',
    authentication.device({ deviceId: 'press-7' }, { kind: 'token', token: by('localhost') }),
  );
  assert.equal(
    ((await authentication.token(by('localhost/devices/press-7'), audience)) as { generationId?: string }).generationId,
    device.generationId,
  );
  assert.notEqual(other.generationId, device.generationId);
  const { primaryKey } = policy('device');
  const ofPolicy = token('localhost/devices/press-8', inAnHour(clock), decoded(primaryKey), 'device');
  await add({ deviceId: 'Press-8' });
  await refusedFor(
    'wrong-resource',
    authentication.device({ deviceId: 'Press-8' }, { kind: 'token', token: ofPolicy }),
  );
});

test('a token ends five minutes after its time, and the principal says so', async () => {
  const { authentication, add, clock } = await house();
  const device = await add({ deviceId: 'd1' });
  const seconds = Math.floor(clock.now() / 1000);
  const text = token('localhost%2Fdevices%2Fd1', seconds, decoded(primary(device)));
  const credential = { kind: 'token', token: text } as const;
  const principal = await authentication.device({ deviceId: 'd1' }, credential);
  assert.equal(principal.expiresAt, seconds * 1000 + 300_000);
  clock.advance(299_999);
  await authentication.device({ deviceId: 'd1' }, credential);
  clock.advance(1);
  await refusedFor('expired-token', authentication.device({ deviceId: 'd1' }, credential));
});

test('a disabled device is shut out with its modules, and back when it is enabled', async () => {
  const { authentication, add, clock, store } = await house();
  const device = await add({ deviceId: 'd1' });
  const module = await add({ deviceId: 'd1', moduleId: 'm1' });
  const attempts = (): Promise<unknown>[] => [
    authentication.device({ deviceId: 'd1' }, { kind: 'token', token: tokenOf('localhost/devices/d1', device) }),
    authentication.device(
      { deviceId: 'd1', moduleId: 'm1' },
      { kind: 'token', token: tokenOf('localhost/devices/d1/modules/m1', module) },
    ),
    authentication.token(tokenOf('localhost/devices/d1', device)),
  ];
  const tokenOf = (sr: string, identity: Identity): string => token(sr, inAnHour(clock), decoded(primary(identity)));
  await Promise.all(attempts());
  await store.write([{ kind: 'replace', identity: { ...device, status: 'disabled' }, ifMatch: '*' }]);
  for (const attempt of attempts()) await refusedFor('disabled-identity', attempt);
  await store.write([{ kind: 'replace', identity: device, ifMatch: '*' }]);
  await Promise.all(attempts());
  await store.write([{ kind: 'delete', key: { deviceId: 'd1' }, ifMatch: '*' }]);
  for (const attempt of attempts()) await refusedFor('unknown-identity', attempt);
});

test('a policy with DeviceConnect speaks for devices within its scope, others do not', async () => {
  const { authentication, add, clock, policy } = await house();
  const device = await add({ deviceId: 'd1' });
  await add({ deviceId: 'd1', moduleId: 'm1' });
  const by = (name: string, sr: string): { kind: 'token'; token: string } => ({
    kind: 'token',
    token: token(sr, inAnHour(clock), decoded(policy(name).secondaryKey), name),
  });
  for (const sr of ['localhost', 'localhost%2Fdevices', 'LOCALHOST%2fdevices%2fd1', 'localhost/devices/d1/']) {
    const principal = await authentication.device({ deviceId: 'd1' }, by('device', sr));
    assert.equal(principal.authScope, 'hub');
    assert.equal(principal.generationId, device.generationId);
    await authentication.device({ deviceId: 'd1', moduleId: 'm1' }, by('iothubowner', sr));
  }
  const d1 = { deviceId: 'd1' };
  await refusedFor('missing-permission', authentication.device(d1, by('service', 'localhost')));
  await refusedFor('missing-permission', authentication.device(d1, by('registryReadWrite', 'localhost')));
  await refusedFor('wrong-resource', authentication.device(d1, by('device', 'localhost/devices/d')));
  await refusedFor('wrong-resource', authentication.device(d1, by('device', 'localhost/devices/d1/modules/m1')));
  await refusedFor('wrong-host', authentication.device(d1, by('device', 'elsewhere')));
  await refusedFor('unknown-identity', authentication.device({ deviceId: 'd3' }, by('device', 'localhost')));
  const stranger = token('localhost', inAnHour(clock), decoded(policy('device').primaryKey), 'nobody');
  await refusedFor('unknown-policy', authentication.device(d1, { kind: 'token', token: stranger }));
  const mixed = token('localhost', inAnHour(clock), decoded(policy('service').primaryKey), 'device');
  await refusedFor('wrong-key', authentication.device(d1, { kind: 'token', token: mixed }));
});

test('a policy token stands for its policy, for any form of audience within its scope', async () => {
  const { authentication, clock, policy } = await house();
  const service = policy('service');
  const text = token('localhost', inAnHour(clock), decoded(service.primaryKey), 'service', sdks.Node);
  for (const audience of [undefined, 'localhost', 'localhost:5671', 'https://localhost', 'amqps://LOCALHOST:5671/']) {
    const principal = await authentication.token(text, audience);
    assert.equal(principal.kind, 'policy');
    assert.ok(principal.kind === 'policy' && principal.permissions.has('ServiceConnect'));
    assert.deepEqual(principal.kind === 'policy' && principal.scope, []);
  }
  await refusedFor('wrong-resource', authentication.token(text, 'amqps://elsewhere/'));
  const scoped = token('localhost%2Fdevices%2Fd1', inAnHour(clock), decoded(service.primaryKey), 'service');
  await authentication.token(scoped, 'localhost/devices/d1/messages/devicebound');
  await refusedFor('wrong-resource', authentication.token(scoped, 'localhost'));
  await refusedFor('wrong-resource', authentication.token(scoped, 'localhost/devices/d12'));
  const principal = await authentication.token(scoped);
  assert.deepEqual(principal.kind === 'policy' && principal.scope, ['devices', 'd1']);
});

test('the event endpoint takes tokens signed with the text of the key or with its bytes; the hub only with its bytes', async () => {
  const { authentication, clock, policy } = await house();
  const service = policy('service');
  const audience = 'sb://localhost:5671/myhub/ConsumerGroups/$Default/Partitions/0';
  for (const key of [service.primaryKey, decoded(service.secondaryKey)]) {
    const text = token(node(audience), inAnHour(clock), key, 'service', sdks.Node);
    const principal = await authentication.token(text, audience);
    const path = ['myhub', 'ConsumerGroups', '$Default', 'Partitions', '0'];
    assert.deepEqual(principal.kind === 'policy' && principal.scope, path);
    await refusedFor('wrong-resource', authentication.token(text, 'sb://localhost/myhub/$management'));
  }
  const wide = token(python('sb://localhost/myhub'), inAnHour(clock), service.primaryKey, 'service');
  await authentication.token(wide, 'sb://localhost/MyHub/$management');
  await refusedFor('wrong-resource', authentication.token(wide, 'sb://localhost/myhub-monitoring'));
  const byText = token('localhost', inAnHour(clock), service.primaryKey, 'service');
  await refusedFor('wrong-key', authentication.token(byText, 'localhost'));
});

test('an identity shows its own token for an audience that is its own, or wider', async () => {
  const { authentication, add, clock } = await house();
  const module = await add({ deviceId: 'd1' }).then(() => add({ deviceId: 'd1', moduleId: 'm1' }));
  const text = token('localhost/devices/d1/modules/m1', inAnHour(clock), decoded(primary(module)));
  for (const audience of [
    'localhost/devices/d1/modules/m1',
    'localhost%2Fdevices%2Fd1%2Fmodules%2Fm1',
    'amqps://localhost:5671/devices/d1/modules/m1/messages/events',
    'localhost/devices/d1',
  ]) {
    const principal = await authentication.token(text, audience);
    assert.deepEqual(principal.kind === 'device' && principal.key, { deviceId: 'd1', moduleId: 'm1' });
  }
  await refusedFor('wrong-resource', authentication.token(text, 'localhost/devices/d2'));
  await refusedFor('wrong-resource', authentication.token(text, 'elsewhere/devices/d1'));
});

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
