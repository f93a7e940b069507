import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decoded,
  house,
  inAnHour,
  node,
  primary,
  python,
  refusedFor,
  sdks,
  token,
} from '../../../test/drivers/proofs.ts';
import { credentialsOf } from './credentials.ts';
import type { Identity } from './types.ts';

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
