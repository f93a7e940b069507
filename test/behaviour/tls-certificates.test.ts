/** The certificates that the doors show: which kind to whom, and what is told of the operator's chain. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { VirtualClock } from '../../src/base/clock.ts';
import { type LogFields, silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { listen } from '../../src/protocols/shared/listener.ts';
import { missingInChain } from '../../src/server/tls/certificate-chain.ts';
import { openOwnTls } from '../../src/server/tls/own-tls.ts';
import { openPrivateTls } from '../../src/server/tls/tls-source.ts';
import { makeAuthorityCertificate, makeCertificate } from '../drivers/certificates.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-certificates-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const names = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
] as const;
const parts = () => ({ clock: new VirtualClock(Date.now()), random: systemRandom, log: silentLog });
const fresh = (): string => mkdtempSync(path.join(folder, 'case-'));

/** What a client with `options` is shown, or the code of its failure. */
async function shown(port: number, ca: string, options: tls.ConnectionOptions): Promise<string> {
  const socket = tls.connect({ host: '127.0.0.1', port, ca, servername: 'localhost', ...options });
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('secureConnect', () => {
      resolve(socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType ?? 'none');
      socket.destroy();
    });
  });
}

/** TLS stacks that know only a part of what the runtime knows, and which kind of certificate each is to be shown. */
const stacks: readonly (readonly [what: string, kind: 'ec' | 'rsa', options: tls.ConnectionOptions])[] = [
  ['all', 'ec', {}],
  ['all of TLS 1.2', 'ec', { maxVersion: 'TLSv1.2' }],
  ['RSA suites of TLS 1.2', 'rsa', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }],
  ['RSA with CBC', 'rsa', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA' }],
  [
    'RSA signatures of TLS 1.3',
    'rsa',
    { minVersion: 'TLSv1.3', sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp521r1_sha512' },
  ],
  ['P-384 of TLS 1.2', 'rsa', { maxVersion: 'TLSv1.2', ecdhCurve: 'P-384' }],
  ['P-384 of TLS 1.3', 'ec', { minVersion: 'TLSv1.3', ecdhCurve: 'P-384' }],
  ['RSA first', 'ec', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256' }],
  ['RSA signatures first', 'ec', { minVersion: 'TLSv1.3', sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256' }],
  ['no name', 'ec', { servername: '', checkServerIdentity: () => undefined }],
];

test('a client of any kind is served: ECDSA where both sides can, RSA where it knows nothing else', async () => {
  const at = fresh();
  const source = await openPrivateTls(at, 'mooring', names, parts());
  const [cert, key] = [path.join(at, 'server.pem'), path.join(at, 'server-key.pem')];
  const second = { certFile: path.join(at, 'server-rsa.pem'), keyFile: path.join(at, 'server-rsa-key.pem') };
  const own = openOwnTls({ ...second, second: { certFile: cert, keyFile: key } }, { log: silentLog });
  const ca = readFileSync(path.join(at, 'ca.pem'), 'utf8');
  for (const [whose, served] of [
    ['the private authority', source],
    ['the operator', own],
  ] as const) {
    const accept = (socket: net.Socket): void => void socket.on('data', () => {});
    const listener = await listen({
      name: 'test',
      port: 0,
      addresses: ['127.0.0.1'],
      tls: served,
      log: silentLog,
      accept,
    });
    for (const [what, kind, options] of stacks) {
      assert.equal(await shown(listener.port, ca, options), kind, `${what}, by ${whose}`);
    }
    const staticRsa = { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' } as const;
    assert.match(
      await shown(listener.port, ca, staticRsa),
      /HANDSHAKE_FAILURE/,
      'RSA does not carry the secret itself',
    );
    await listener.close();
  }
  source.close();
  own.close();
  const same = { certFile: cert, keyFile: key, second: { certFile: cert, keyFile: key } };
  assert.throws(() => openOwnTls(same, { log: silentLog }), /same kind of key/);
});

test("a leaf without its intermediate is told, and what completes the operator's chain is believed", async () => {
  const at = fresh();
  const root = await makeAuthorityCertificate('root');
  const middle = await makeAuthorityCertificate('middle', { issuer: root });
  const leaf = await makeCertificate('hub.example', { issuer: middle });
  const [certFile, keyFile, caFile] = ['leaf.pem', 'key.pem', 'root.pem'].map((name) => path.join(at, name));
  writeFileSync(keyFile, leaf.keyPem);
  writeFileSync(caFile, root.pem);
  writeFileSync(certFile, leaf.pem);
  const warnings: LogFields[] = [];
  const log = { ...silentLog, warn: (fields: LogFields) => void warnings.push(fields) };
  const source = openOwnTls({ certFile, keyFile, caFile }, { log });
  after(() => source.close());
  assert.match(source.chainProblem() ?? '', /ends at CN=hub.example, .* issuer, CN=middle, is not in the file/);
  assert.equal(warnings.length, 1);
  writeFileSync(certFile, leaf.pem + middle.pem);
  await source.reload();
  assert.equal(source.chainProblem(), undefined, 'the root is named');
  const unnamed = openOwnTls({ certFile, keyFile }, { log });
  unnamed.close();
  assert.match(unnamed.chainProblem() ?? '', /issuer, CN=root, .* name it by tlsCaFile/);
  writeFileSync(certFile, root.pem + leaf.pem);
  await source.reload();
  assert.match(source.problem() ?? '', /do not belong together/, 'the leaf stands first');
  assert.equal(missingInChain(leaf.pem + root.pem + middle.pem, undefined), undefined, 'above the leaf in any order');
});
