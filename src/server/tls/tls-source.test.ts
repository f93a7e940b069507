import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { VirtualClock } from '../../base/clock.ts';
import { silentLog } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { listen } from '../../protocols/shared/listener.ts';
import type { SubjectName } from './certificates.ts';
import { openOwnTls } from './own-tls.ts';
import { TlsError } from './tls-pairs.ts';
import { openPrivateTls } from './tls-source.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const names: readonly SubjectName[] = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
  { type: 'ip', value: '::1' },
  { type: 'dns', value: 'hub.example' },
];
const start = Date.now();
const parts = (clock = new VirtualClock(start)) => ({ clock, random: systemRandom, log: silentLog });
const fresh = (): string => mkdtempSync(path.join(folder, 'case-'));

test('the authority signs a certificate for every name, and only this user can read the keys', async () => {
  const at = fresh();
  const source = await openPrivateTls(at, 'mooring', names, parts());
  after(() => source.close());
  const authority = new X509Certificate(readFileSync(path.join(at, 'ca.pem')));
  const server = new X509Certificate(source.current().cert[0]);
  assert.ok(authority.ca);
  assert.ok(server.checkIssued(authority) && server.verify(authority.publicKey));
  assert.equal(server.checkHost('localhost'), 'localhost');
  assert.equal(server.checkHost('hub.example'), 'hub.example');
  assert.equal(server.checkHost('other.example'), undefined);
  assert.equal(server.checkIP('127.0.0.1'), '127.0.0.1');
  assert.ok(server.checkIP('::1'));
  for (const file of ['ca-key.pem', 'server-key.pem']) {
    assert.equal(statSync(path.join(at, file)).mode & 0o777, 0o600);
  }
});

test('a restart keeps the certificate; other names or a near end renew it under the same authority', async () => {
  const at = fresh();
  const first = await openPrivateTls(at, 'mooring', names, parts());
  first.close();
  const same = await openPrivateTls(at, 'mooring', names, parts());
  same.close();
  assert.deepEqual(same.current().cert, first.current().cert);

  const more = await openPrivateTls(at, 'mooring', [...names, { type: 'dns', value: 'new.example' }], parts());
  more.close();
  assert.notDeepEqual(more.current().cert, first.current().cert);
  assert.equal(new X509Certificate(more.current().cert[0]).checkHost('new.example'), 'new.example');

  const clock = new VirtualClock(start);
  const running = await openPrivateTls(at, 'mooring', names, parts(clock));
  after(() => running.close());
  const changed = new Promise<void>((resolve) => running.watch(resolve));
  const before = running.current().cert;
  clock.advance(380 * 86_400_000);
  await changed;
  assert.notDeepEqual(running.current().cert, before);
  const authority = new X509Certificate(readFileSync(path.join(at, 'ca.pem')));
  assert.ok(new X509Certificate(running.current().cert[0]).checkIssued(authority));
});

test('a certificate whose key was lost in a crash is replaced; an authority never is', async () => {
  const at = fresh();
  (await openPrivateTls(at, 'mooring', names, parts())).close();
  const authority = readFileSync(path.join(at, 'ca.pem'), 'utf8');
  rmSync(path.join(at, 'server-key.pem'));
  (await openPrivateTls(at, 'mooring', names, parts())).close();
  assert.equal(readFileSync(path.join(at, 'ca.pem'), 'utf8'), authority);

  // The authority's key may be kept elsewhere until a certificate must be signed.
  rmSync(path.join(at, 'ca-key.pem'));
  (await openPrivateTls(at, 'mooring', names, parts())).close();
  await assert.rejects(openPrivateTls(at, 'mooring', names.slice(1), parts()), TlsError);
});

test("the operator's files are read again without dropping connections; an unusable change is not taken", async () => {
  const [one, two] = [fresh(), fresh()];
  const made = await openPrivateTls(one, 'one', names, parts());
  const other = await openPrivateTls(two, 'two', names, parts());
  made.close();
  other.close();
  const [cert, key] = [path.join(one, 'server.pem'), path.join(one, 'server-key.pem')];
  const source = openOwnTls({ certFile: cert, keyFile: key }, { log: silentLog });
  const sockets: tls.TLSSocket[] = [];
  const listener = await listen({
    name: 'test',
    port: 0,
    addresses: ['127.0.0.1'],
    tls: source,
    log: silentLog,
    accept: (socket) => void socket.on('data', (chunk) => socket.write(chunk)),
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    source.close();
    await listener.close();
  });
  const connect = async (): Promise<tls.TLSSocket> => {
    const socket = tls.connect({ host: '127.0.0.1', port: listener.port, rejectUnauthorized: false });
    sockets.push(socket);
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    return socket;
  };
  const shows = (socket: tls.TLSSocket): string => socket.getPeerX509Certificate()?.fingerprint256 ?? '';
  const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;

  const old = await connect();
  assert.equal(shows(old), fingerprint(made.current().cert[0]));
  writeFileSync(cert, other.current().cert[0]);
  await source.reload();
  assert.equal(source.current().cert[0], made.current().cert[0], 'a certificate without its key is not taken');
  writeFileSync(key, other.current().key[0]);
  await source.reload();
  assert.equal(shows(await connect()), fingerprint(other.current().cert[0]));
  const echoed = new Promise<Buffer>((resolve) => old.once('data', resolve));
  old.write('still here');
  assert.equal((await echoed).toString(), 'still here');
});

test('an older folder, with one certificate, gets the RSA one at the next start, and keeps the other', async () => {
  const at = fresh();
  const first = await openPrivateTls(at, 'mooring', names, parts());
  first.close();
  for (const name of ['server-rsa.pem', 'server-rsa-key.pem']) rmSync(path.join(at, name));
  const next = await openPrivateTls(at, 'mooring', names, parts());
  next.close();
  const kinds = next.current().cert.map((cert) => new X509Certificate(cert).publicKey.asymmetricKeyType);
  assert.deepEqual(kinds, ['ec', 'rsa']);
  assert.equal(next.current().cert[0], first.current().cert[0]);
  assert.notEqual(next.current().cert[1], first.current().cert[1]);
  assert.equal(statSync(path.join(at, 'server-rsa-key.pem')).mode & 0o777, 0o600);
});
