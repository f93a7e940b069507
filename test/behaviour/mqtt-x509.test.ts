/** Devices that show a certificate over MQTT, by TLS and by WebSocket (device reference 1.6). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { makeAuthorityCertificate, makeCertificate, type TestCertificate } from '../drivers/certificates.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { connectPacket } from '../drivers/mqtt.ts';

let hub: TestHub;
let api: ApiClient;

before(async () => {
  hub = await startHub();
  api = apiOf(hub);
});

after(async () => {
  api.close();
  await hub[Symbol.asyncDispose]();
});

const urls = {
  TLS: () => `mqtts://localhost:${hub.endpoints.ports.mqtts}`,
  WebSocket: () => `wss://localhost:${hub.endpoints.ports.https}/$iothub/websocket`,
};

/** Registers a device by the thumbprints of its certificates. */
async function register(deviceId: string, primary: string | null, secondary: string | null = null): Promise<void> {
  await api.devices.create(deviceId, {
    authentication: {
      type: 'selfSigned',
      x509Thumbprint: { primaryThumbprint: primary, secondaryThumbprint: secondary },
    },
  });
}

const username = (deviceId: string): string => `localhost/${deviceId}/?api-version=2021-04-12`;

/** The npm client, which shows `shown`. Rejects with the return code of the CONNACK. */
async function connect(
  deviceId: string,
  shown: TestCertificate | undefined,
  more: IClientOptions & { readonly url?: string } = {},
): Promise<MqttClient> {
  const { url = urls.TLS(), ...options } = more;
  const fields: IClientOptions = {
    ca: hub.ca,
    cert: shown?.pem,
    key: shown?.keyPem,
    clientId: deviceId,
    username: username(deviceId),
    reconnectPeriod: 0,
    ...options,
  };
  return mqtt.connectAsync(url, fields, false);
}

const refused = { code: 5 };

for (const [name, url] of Object.entries(urls)) {
  test(`over ${name}, either thumbprint lets in, and nothing else does`, async () => {
    const deviceId = `by-${name}`;
    const [primary, secondary, other] = await Promise.all([
      makeCertificate(deviceId),
      makeCertificate(deviceId),
      makeCertificate(deviceId),
    ]);
    await register(deviceId, primary.sha256.toUpperCase(), secondary.sha1);
    for (const shown of [primary, secondary]) {
      const client = await connect(deviceId, shown, { url: url() });
      await client.publishAsync(`devices/${deviceId}/messages/events/`, 'x', { qos: 1 });
      await client.endAsync();
    }
    await assert.rejects(connect(deviceId, other, { url: url() }), refused);
    await assert.rejects(connect(deviceId, undefined, { url: url() }), refused);
  });
}

test('a certificate over its time, or before it, does not let in', async () => {
  const now = Date.now();
  const over = await makeCertificate('times', { validFrom: now - 7_200_000, validTo: now - 3_600_000 });
  const early = await makeCertificate('times', { validFrom: now + 3_600_000, validTo: now + 7_200_000 });
  await register('times', over.sha256, early.sha256);
  await assert.rejects(connect('times', over), refused);
  await assert.rejects(connect('times', early), refused);
});

test('a certificate does not stand in for a key, nor a token for a thumbprint', async () => {
  const certificate = await makeCertificate('mixed');
  await api.devices.create('by-key');
  await assert.rejects(connect('by-key', certificate), refused);
  await register('mixed', certificate.sha256);
  const key = Buffer.alloc(32, 7).toString('base64');
  const token = await signSas({ resource: 'localhost/devices/mixed', key, expiresAt: Date.now() + 3_600_000 });
  // With a token as password the certificate does not count.
  await assert.rejects(connect('mixed', certificate, { password: token }), refused);
});

test('beside a certificate, a password that is no token says nothing', async () => {
  const certificate = await makeCertificate('chatty');
  await register('chatty', certificate.sha256);
  for (const password of ['', 'x', 'HostName=localhost;DeviceId=chatty;x509=true']) {
    await (await connect('chatty', certificate, { password })).endAsync();
    await assert.rejects(connect('chatty', undefined, { password }), refused);
    await assert.rejects(connect('chatty', await makeCertificate('chatty'), { password }), refused);
  }
  await assert.rejects(connect('chatty', certificate, { password: 'SharedAccessSignature x' }), refused);
});

test('another device’s certificate does not let in', async () => {
  const mine = await makeCertificate('mine');
  await register('mine', mine.sha256);
  await register('yours', (await makeCertificate('yours')).sha256);
  await assert.rejects(connect('yours', mine), refused);
});

test('a removed thumbprint lets nobody in any more', async () => {
  const [before, behind] = [await makeCertificate('rolled'), await makeCertificate('rolled')];
  await register('rolled', before.sha256);
  await (await connect('rolled', before)).endAsync();
  await api.devices.update('rolled', {
    authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: behind.sha256 } },
  });
  await assert.rejects(connect('rolled', before), refused);
  await (await connect('rolled', behind)).endAsync();
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a ${version} session that is resumed still shows its certificate`, async () => {
    const deviceId = `resumed-${version}`;
    // A leaf of an authority that nobody has registered: its thumbprint alone counts, with or without the chain.
    const authority = await makeAuthorityCertificate('some authority');
    const certificate = await makeCertificate(deviceId, { issuer: authority });
    await register(deviceId, certificate.sha256);
    const options = {
      port: hub.endpoints.ports.mqtts ?? 0,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: hub.ca,
      cert: certificate.pem + authority.pem,
      key: certificate.keyPem,
      minVersion: version,
      maxVersion: version,
    };
    /** Connects, with the session of before if there is one; resolves with a session to resume. */
    const visit = async (session?: Buffer): Promise<Buffer | undefined> => {
      const socket = tls.connect({ ...options, session });
      const kept = session === undefined ? once(socket, 'session') : [];
      await once(socket, 'secureConnect');
      assert.equal(socket.isSessionReused(), session !== undefined);
      socket.write(mqttPacket.generate(connectPacket({ clientId: deviceId, username: username(deviceId) })));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.deepEqual([...answer], [0x20, 2, 0, 0]);
      const [ticket] = (await kept) as [Buffer?];
      socket.destroy();
      return ticket;
    };
    await visit(await visit());
  });
}
