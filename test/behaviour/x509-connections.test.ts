/** Certificates over real TLS connections: registered by CLI and REST, shown by devices, resumed, revoked. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type tls from 'node:tls';
import { ApiError } from '../../src/api/calls.ts';
import { openMqttDoor } from '../../src/protocols/mqtt/server.ts';
import { makeAuthorityCertificate, makeCertificate, type TestCertificate } from '../drivers/certificates.ts';
import { type HttpHub, openHttpHub } from '../drivers/http.ts';
import { runMooring } from '../drivers/hub.ts';
import { MqttDriver, type MqttPlace } from '../drivers/mqtt.ts';

interface Scene extends AsyncDisposable {
  readonly http: HttpHub;
  readonly place: MqttPlace;
  readonly folder: string;
  connect(
    deviceId: string,
    certificate: TestCertificate,
    intermediates?: readonly TestCertificate[],
    more?: Partial<MqttPlace>,
  ): ReturnType<typeof MqttDriver.connect>;
}

async function scene(): Promise<Scene> {
  const http = await openHttpHub();
  const door = await openMqttDoor(http.hub, {
    name: 'mqttsPort',
    port: 0,
    addresses: ['127.0.0.1'],
    tls: http.tls,
  });
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-x509-'));
  const place = { port: door.port, ca: http.tls.ca };
  const clients: MqttDriver[] = [];
  return {
    http,
    place,
    folder,
    async connect(deviceId, certificate, intermediates = [], more = {}) {
      const cert = [certificate, ...intermediates].map(({ pem }) => pem).join('');
      const connected = await MqttDriver.connect(
        { ...place, cert, key: certificate.keyPem, ...more },
        { clientId: deviceId, username: `localhost/${deviceId}/?api-version=2021-04-12` },
      );
      clients.push(connected.client);
      return connected;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      await door.stopAccepting();
      await door.drain();
      await http[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

async function trust({ http }: Scene, name: string, authority: TestCertificate): Promise<void> {
  const api = http.client();
  const { verificationCode } = await api.certificateAuthorities.add(name, authority.pem);
  const proof = await makeCertificate(verificationCode ?? '', { issuer: authority });
  await api.certificateAuthorities.prove(name, proof.pem);
}

const authentication = { type: 'certificateAuthority' } as const;

test('over MQTT a device of a registered authority is let in, a stranger and a thief are not', async () => {
  await using all = await scene();
  const root = await makeAuthorityCertificate('Root');
  await trust(all, 'root', root);
  await all.http.client().devices.create('d1', { authentication });
  const device = await makeCertificate('d1', { issuer: root });
  assert.equal((await all.connect('d1', device)).returnCode, 0);
  assert.equal((await all.connect('d1', await makeCertificate('d2', { issuer: root }))).returnCode, 5);
  const other = await makeAuthorityCertificate('Root');
  assert.equal((await all.connect('d1', await makeCertificate('d1', { issuer: other }))).returnCode, 5);
  // The certificate of d1 with a key that is not its own does not come through the handshake.
  await assert.rejects(all.connect('d1', { ...device, keyPem: (await makeCertificate('x')).keyPem }));
});

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${maxVersion}: a resumed session, which carries no intermediates, is let in; not after the removal`, async () => {
    await using all = await scene();
    const root = await makeAuthorityCertificate('Root');
    const lower = await makeAuthorityCertificate('Lower', { issuer: root });
    await trust(all, 'root', root);
    await all.http.client().devices.create('d1', { authentication });
    const device = await makeCertificate('d1', { issuer: lower });
    const first = await MqttDriver.open({
      ...all.place,
      cert: device.pem + lower.pem,
      key: device.keyPem,
      maxVersion,
    });
    const socket = first.socket as tls.TLSSocket;
    const session = maxVersion === 'TLSv1.2' ? socket.getSession() : ((await once(socket, 'session')) as [Buffer])[0];
    first.destroy();
    assert.ok(session !== undefined);
    // The first connection never said who it is: its intermediate is not known by then, the resumed one brings none.
    const early = await all.connect('d1', device, [], { session, maxVersion });
    assert.equal((early.client.socket as tls.TLSSocket).isSessionReused(), true);
    assert.equal(early.returnCode, 5);
    assert.equal((await all.connect('d1', device, [lower], { maxVersion })).returnCode, 0);
    const resumed = await all.connect('d1', device, [], { session, maxVersion });
    assert.equal((resumed.client.socket as tls.TLSSocket).isSessionReused(), true);
    assert.equal(resumed.returnCode, 0);
    await all.http.client().certificateAuthorities.delete('root');
    await resumed.client.closed;
    assert.equal((await all.connect('d1', device, [], { session, maxVersion })).returnCode, 5);
  });
}

test('a self-signed certificate is let in by its secondary thumbprint', async () => {
  await using all = await scene();
  const [old, renewed] = [await makeCertificate('whatever'), await makeCertificate('whatever')];
  await all.http.client().devices.create('d1', {
    authentication: {
      type: 'selfSigned',
      x509Thumbprint: { primaryThumbprint: old.sha256, secondaryThumbprint: renewed.sha1 },
    },
  });
  assert.equal((await all.connect('d1', renewed)).returnCode, 0);
  assert.equal((await all.connect('d1', await makeCertificate('whatever'))).returnCode, 5);
});

test('REST: an authority is registered, proved and removed, with the refusals that belong to it', async () => {
  await using all = await scene();
  const api = all.http.client().certificateAuthorities;
  const root = await makeAuthorityCertificate('Root');
  const added = await api.add('root', root.pem);
  assert.deepEqual([added.verified, added.subject, added.thumbprint], [false, 'CN=Root', root.sha256]);
  assert.equal(added.certificate.trim(), root.pem.trim());
  assert.deepEqual(await api.list(), [added]);
  const code = (wanted: string) => (error: unknown) => error instanceof ApiError && error.code === wanted;
  await assert.rejects(api.add('root', root.pem), code('CertificateAuthorityAlreadyExists'));
  await assert.rejects(api.prove('root', root.pem), code('ArgumentInvalid'));
  await assert.rejects(api.get('other'), code('CertificateAuthorityNotFound'));
  await assert.rejects(api.delete('root', { ifMatch: 'AAAA' }), code('PreconditionFailed'));
  const reader = all.http.client('registryRead').certificateAuthorities;
  assert.equal((await reader.get('root')).name, 'root');
  await assert.rejects(reader.delete('root'), code('IotHubUnauthorizedAccess'));
  await api.delete('root');
  assert.deepEqual(await api.list(), []);
});

test('CLI: x509 ca add, prove, list, delete', async () => {
  await using all = await scene();
  const file = (name: string, text: string): string => {
    const full = path.join(all.folder, name);
    writeFileSync(full, text);
    return full;
  };
  const login = [
    '--login-file',
    file('login', all.http.connectionString().replace('localhost', `localhost:${all.http.door.port}`)),
  ];
  const run = (...args: readonly string[]) =>
    runMooring(['x509', 'ca', ...args, ...login, '--ca-file', file('hub-ca.pem', all.http.tls.ca), '--json']);
  const root = await makeAuthorityCertificate('Factory CA');
  const added = await run('add', 'factory', file('root.pem', root.pem));
  assert.equal(added.code, 0, added.stderr);
  const { verificationCode } = JSON.parse(added.stdout) as { verificationCode: string };
  const proof = await makeCertificate(verificationCode, { issuer: root });
  const wrong = await run('prove', 'factory', file('wrong.pem', root.pem));
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /common name/);
  const proved = await run('prove', 'factory', file('proof.pem', proof.pem));
  assert.equal(proved.code, 0, proved.stderr);
  const listed = JSON.parse((await run('list')).stdout) as { name: string; verified: boolean }[];
  assert.deepEqual(
    listed.map(({ name, verified }) => [name, verified]),
    [['factory', true]],
  );
  assert.equal((await run('delete', 'factory')).code, 0);
  assert.deepEqual(JSON.parse((await run('list')).stdout), []);
  assert.match((await run('add', 'factory', 'nowhere.pem')).stderr, /cannot be read/);
});
