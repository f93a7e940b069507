/** CoAP over TCP and TLS at the adapter: RFC 8323's signals, and who may speak. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import coap from '../../src/adapters/coap/index.ts';
import { limits } from '../../src/base/limits.ts';
import { FakeHub, type RunningAdapter, runAdapter } from '../../src/gateway/testing/index.ts';
import { codes, codeText, optionOf, options, textOption, uintOf, uintOption } from '../../src/wire/coap/messages.ts';
import { makeCertificate } from '../drivers/certificates.ts';
import { CoapStream } from '../drivers/coap-stream.ts';
import { until } from '../drivers/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-coap-'));
const hub = new FakeHub();
let adapter: RunningAdapter;
before(async () => {
  const own = await makeCertificate('localhost');
  writeFileSync(path.join(folder, 'c.pem'), own.pem);
  writeFileSync(path.join(folder, 'k.pem'), own.keyPem, { mode: 0o600 });
  const files = { certificateFile: path.join(folder, 'c.pem'), keyFile: path.join(folder, 'k.pem') };
  adapter = await runAdapter(coap, { tcp: { port: 0 }, tls: { port: 0, ...files } }, hub);
});
after(async () => {
  await adapter.stop();
  rmSync(folder, { recursive: true, force: true });
});

const tcp = (t: { after(end: () => void): void }, isGreeted = true): CoapStream => {
  const stream = new CoapStream(net.connect(adapter.ports[0], '127.0.0.1'), isGreeted);
  t.after(() => stream.end());
  return stream;
};

test('the first request speaks for the connection, and its device is gone with it', async (t) => {
  const key = hub.addDevice('s1');
  const stream = tcp(t);
  const greeting = await stream.until((message) => message.code === codes.csm);
  assert.equal(uintOf(greeting, 2), limits.coapStreamMessageBytesMax);
  assert.equal(codeText((await stream.request(codes.post, 'telemetry', [], 'no')).code), '4.01');
  const proofs = ['device=s1', `key=${key}`];
  assert.equal(codeText((await stream.request(codes.post, 'telemetry', proofs, 'one')).code), '2.04');
  assert.equal(codeText((await stream.request(codes.post, 'telemetry', [], 'two')).code), '2.04');
  assert.deepEqual(hub.textsOf('s1'), ['one', 'two']);
});

test('many requests at once are answered in the order of one device', async (t) => {
  const key = hub.addDevice('s2');
  const stream = tcp(t);
  const proofs = ['device=s2', `key=${key}`];
  const sent = Array.from({ length: 60 }, (_, at) => stream.request(codes.post, 'telemetry', proofs, `n${at}`));
  for (const answer of await Promise.all(sent)) assert.equal(codeText(answer.code), '2.04');
  assert.deepEqual(
    hub.textsOf('s2'),
    Array.from({ length: 60 }, (_, at) => `n${at}`),
  );
});

test('a ping is answered, a release ends the connection, and what is no greeting is refused', async (t) => {
  const stream = tcp(t);
  stream.send({ code: codes.ping, token: Buffer.of(7) });
  assert.deepEqual((await stream.until((message) => message.code === codes.pong)).token, Buffer.of(7));
  stream.send({ code: codes.release });
  await until('it is closed', () => stream.isClosed);
  const rude = tcp(t, false);
  rude.send({ code: codes.get });
  await rude.until((message) => message.code === codes.abort);
  await until('it is closed', () => rude.isClosed);
  const odd = tcp(t, false);
  odd.send({ code: codes.csm, options: [uintOption(9, 1)] });
  assert.equal(uintOf(await odd.until((message) => message.code === codes.abort), 2), 9);
  const large = tcp(t);
  large.write(Buffer.from('f0ffffffff01', 'hex'));
  await large.until((message) => message.code === codes.abort);
  await until('it is closed', () => large.isClosed);
});

test('a command comes on a stream, and is settled by its device', async (t) => {
  const key = hub.addDevice('s3');
  const stream = tcp(t);
  const token = Buffer.from('0badcafe', 'hex');
  const asked = [uintOption(options.observe, 0), textOption(options.uriPath, 'commands')];
  const proofs = [textOption(options.uriQuery, 'device=s3'), textOption(options.uriQuery, `key=${key}`)];
  stream.send({ token, options: [...asked, ...proofs] });
  await stream.until((message) => message.token.equals(token));
  const settled = hub.sendCommand('s3', 'blink');
  const told = await stream.until((message) => message.payload.toString() === 'blink');
  const tag = optionOf(told, options.etag)!.toString('hex');
  assert.equal(codeText((await stream.request(codes.delete, `commands/${tag}`)).code), '2.02');
  assert.equal(await settled, 'complete');
});

test('over TLS a certificate and a pre-shared key speak for their device', async (t) => {
  hub.addDevice('cert-device');
  const own = await makeCertificate('cert-device');
  const secure = tls.connect({
    port: adapter.ports[1],
    host: '127.0.0.1',
    rejectUnauthorized: false,
    cert: own.pem,
    key: own.keyPem,
  });
  const byCertificate = new CoapStream(secure);
  t.after(() => byCertificate.end());
  assert.equal(codeText((await byCertificate.request(codes.post, 'telemetry', [], 'c')).code), '2.04');
  hub.addDevice('psk-device');
  const psk = Buffer.from(hub.sharedKey('psk-device')!);
  const shared = tls.connect({
    ...{ port: adapter.ports[1], host: '127.0.0.1', maxVersion: 'TLSv1.2', ciphers: 'PSK-AES128-GCM-SHA256' },
    pskCallback: () => ({ identity: 'psk-device', psk }),
    checkServerIdentity: () => undefined,
  });
  const byKey = new CoapStream(shared);
  t.after(() => byKey.end());
  assert.equal(codeText((await byKey.request(codes.post, 'telemetry', [], 'p')).code), '2.04');
  assert.deepEqual([hub.textsOf('cert-device'), hub.textsOf('psk-device')], [['c'], ['p']]);
});
