import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import { offerText, readClientHello } from './client-hello.ts';

/** What the runtime's client sends first. */
async function helloOf(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tls.connect({ host: '127.0.0.1', port: (server.address() as net.AddressInfo).port, ...options });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** The same handshake in records of `size` bytes. */
function fragmented(hello: Buffer, size: number): Buffer {
  const handshake = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += size) {
    const part = handshake.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

test('what a client offers is read, whole or in short records', async () => {
  const hello = await helloOf({
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384',
    ecdhCurve: 'P-384',
    sigalgs: 'rsa_pkcs1_sha256:ecdsa_secp384r1_sha384',
    servername: 'hub.example',
  });
  for (const bytes of [hello, fragmented(hello, 7), fragmented(hello, 64)]) {
    const offer = readClientHello(bytes);
    assert.ok(offer !== undefined);
    assert.equal(
      offerText(offer),
      'versions TLS 1.2; suites 0xc02f 0xc02c; groups P-384; ' +
        'signatures rsa_pkcs1_sha256 ecdsa_secp384r1_sha384; server name hub.example',
    );
  }
});

test('of TLS 1.3 the versions of its extension count, and a long list is cut', async () => {
  const offer = readClientHello(await helloOf({}));
  assert.ok(offer !== undefined);
  assert.deepEqual(offer.versions.slice(0, 2), [0x0304, 0x0303]);
  assert.match(
    offerText(offer),
    /^versions TLS 1\.3 TLS 1\.2; suites (0x[0-9a-f]{4} ){8}and \d+ more; .*; server name none$/,
  );
});

test('any bytes are read or not, never with an error, and the text of them stays short', async () => {
  const hello = await helloOf({ servername: 'hub.example' });
  const cut = fc.nat(hello.length).map((length) => hello.subarray(0, length));
  const changed = fc
    .tuple(fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { maxLength: 8 }))
    .map(([changes]) => {
      const bytes = Buffer.from(hello);
      for (const [at, value] of changes) bytes[at] = value;
      return bytes;
    });
  const any = fc.uint8Array({ maxLength: limits.clientHelloBytesMax }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(cut, changed, any), (bytes) => {
      const offer = readClientHello(bytes);
      if (offer === undefined) return;
      const text = offerText(offer);
      assert.ok(text.length < 1024 && /^[\x20-\x7e]*$/.test(text), text);
    }),
    { numRuns: 2000 },
  );
});
