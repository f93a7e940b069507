/** Devices that prove themselves to the adapter by a certificate, which a real hub judges: in the hub's machine, and beside the devices. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import coap from '../../src/adapters/coap/index.ts';
import { codes, codeText } from '../../src/wire/coap/messages.ts';
import { type AdapterHub, startAdapterHub } from '../drivers/adapter-hub.ts';
import { makeCertificate, type TestCertificate } from '../drivers/certificates.ts';
import { CoapStream } from '../drivers/coap-stream.ts';
import { hubOptions, runGateway } from '../drivers/remote-rig.ts';
import { until } from '../drivers/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-coap-'));
const rights = { certificatesOf: ['cert-*'] };
let settings: object;
let open: AdapterHub;

before(async () => {
  const own = await makeCertificate('localhost');
  const files = { certificateFile: path.join(folder, 'c.pem'), keyFile: path.join(folder, 'k.pem') };
  writeFileSync(files.certificateFile, own.pem);
  writeFileSync(files.keyFile, own.keyPem, { mode: 0o600 });
  settings = { tls: { port: 0, ...files } };
  open = await startAdapterHub([{ adapter: 'coap', settings, ...rights }]);
});
after(async () => {
  await open[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** What the adapter answers to a message under this certificate. */
async function answerTo(port: number, { pem, keyPem }: TestCertificate, text: string): Promise<string> {
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, cert: pem, key: keyPem });
  const stream = new CoapStream(socket);
  try {
    return codeText((await stream.request(codes.post, 'telemetry', [], text)).code);
  } finally {
    stream.end();
  }
}

async function judged(port: number, place: string): Promise<void> {
  const device = `cert-${place}`;
  const own = await makeCertificate(device);
  const authentication = { type: 'selfSigned' as const, x509Thumbprint: { primaryThumbprint: own.sha256 } };
  await open.api.devices.create(device, { authentication });
  assert.equal(await answerTo(port, own, 'own'), '2.04');
  assert.equal(await answerTo(port, await makeCertificate(device), 'of the same name'), '4.01');
  assert.equal(await answerTo(port, await makeCertificate(`cert-nobody-${place}`), 'of nobody'), '4.01');
  // A device whose certificates the adapter is not believed to have seen.
  const other = await makeCertificate(`other-${place}`);
  const ofOther = { type: 'selfSigned' as const, x509Thumbprint: { primaryThumbprint: other.sha256 } };
  await open.api.devices.create(`other-${place}`, { authentication: ofOther });
  assert.equal(await answerTo(port, other, 'not spoken for'), '4.01');
  await open.api.devices.update(device, { status: 'disabled' });
  await until('it is refused', async () => (await answerTo(port, own, 'disabled').catch(() => '')) === '4.03');
  await until('the message is there', async () => (await open.texts(device)).length > 0);
  assert.equal((await open.texts(device))[0], 'own');
  assert.deepEqual(await open.texts(`other-${place}`), []);
}

test("in the hub's machine the hub judges the certificate that a device has shown", async () => {
  await judged(await open.port('coap'), 'hub');
});

test('beside the devices the hub judges it as well', async (t) => {
  const to = { ...hubOptions(open.hub), ...rights, folder: path.join(folder, 'gateway') };
  const gateway = await runGateway(to, coap, settings);
  t.after(() => gateway.stop());
  await until('the gateway has reached the hub', () => gateway.remote.host.hubReachable);
  await judged(gateway.ports[0], 'beside');
});
