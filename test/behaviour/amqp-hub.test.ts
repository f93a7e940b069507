/** The AMQP door of the real hub: TLS, certificates, WebSockets. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ConnectionOptions } from 'rhea';
import rhea from 'rhea';
import { WebSocket } from 'ws';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import { AmqpDriver, bodyText } from '../drivers/amqp.ts';
import { apiOf } from '../drivers/api.ts';
import { makeAuthorityCertificate, makeCertificate, type TestCertificate } from '../drivers/certificates.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';

// biome-ignore lint/suspicious/noExplicitAny: the library says nothing of its own constructors
const { message: messages, websocket_connect: websocketConnect } = rhea as any;

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

interface Way {
  readonly name: string;
  connect(shown?: TestCertificate, more?: Partial<ConnectionOptions>): Promise<AmqpDriver>;
}

/** A connection over a WebSocket; `offered` is the sub-protocol as the client spells it. */
function overWebSocket(path: string, offered = 'AMQPWSB10'): Way {
  return {
    name: `WebSocket ${path} ${offered}`,
    connect(shown, more) {
      const url = `wss://localhost:${hub.endpoints.ports.https}${path}`;
      const options = { ca: hub.ca, cert: shown?.pem, key: shown?.keyPem };
      const details = websocketConnect(WebSocket)(url, [offered], options);
      return AmqpDriver.connect(0, { connection_details: details, ...more } as never);
    },
  };
}

const overTls: Way = {
  name: 'TLS',
  connect: (shown, more) =>
    AmqpDriver.connect(hub.endpoints.ports.amqps ?? 0, {
      transport: 'tls',
      host: 'localhost',
      ca: hub.ca,
      cert: shown?.pem,
      key: shown?.keyPem,
      ...more,
    } as never),
};

const ways = [
  overTls,
  overWebSocket('/$iothub/websocket'),
  overWebSocket('/$iothub/websocket?iothub-no-client-cert=true', 'amqpwsb10'),
  overWebSocket('/$servicebus/websocket'),
  overWebSocket('/$servicebus/websocket', 'amqp'),
];

const data = (text: string) => ({ body: messages.data_section(Buffer.from(text)) });

for (const way of ways) {
  test(`over ${way.name}, a device sends, takes a command, and its back end hears of it`, async () => {
    const deviceId = `device-${ways.indexOf(way)}`;
    const { authentication } = await api.devices.create(deviceId);
    const resource = `localhost/devices/${deviceId}`;
    const key = authentication?.symmetricKey?.primaryKey ?? '';
    const token = await signSas({ resource, key, expiresAt: Date.now() + 600_000 });
    const device = await way.connect();
    assert.equal((await device.putToken(token, resource)).application_properties?.['status-code'], 200);
    const sent = await device.send(`/devices/${deviceId}/messages/events`).outcome(data('x'.repeat(200_000)));
    assert.equal(sent, 'accepted');
    const commands = device.receive(`/devices/${deviceId}/messages/devicebound`);
    commands.credit(10);
    const policy = new Map(
      hub.endpoints.connectionStrings.service.split(';').map((part) => part.split(/=(.*)/s) as [string, string]),
    );
    const backEnd = await way.connect();
    await backEnd.putToken(
      await signSas({
        resource: 'localhost',
        key: policy.get('SharedAccessKey') ?? '',
        policyName: 'service',
        expiresAt: Date.now() + 600_000,
      }),
      'localhost',
    );
    const to = { to: `/devices/${deviceId}/messages/devicebound`, message_id: 'm1' };
    assert.equal(await backEnd.send('/messages/devicebound').outcome({ ...to, ...data('do') }), 'accepted');
    assert.equal(bodyText(await commands.next()), 'do');
    await Promise.all([device.close(), backEnd.close()]);
  });
}

for (const way of [overTls, ways[1]]) {
  for (const [layer, options] of [
    ['no SASL', {}],
    ['SASL EXTERNAL', { sasl_mechanisms: external() } as Partial<ConnectionOptions>],
  ] as const) {
    test(`over ${way.name} with ${layer}, a certificate opens the addresses of its device and no others`, async () => {
      const deviceId = `x509-${ways.indexOf(way)}-${layer.length}`;
      const [shown, other] = await Promise.all([makeCertificate(deviceId), makeCertificate(deviceId)]);
      await api.devices.create(deviceId, {
        authentication: {
          type: 'selfSigned',
          x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: shown.sha256 },
        },
      });
      const address = `/devices/${deviceId}/messages/events`;
      const device = await way.connect(shown, options);
      assert.equal(await device.send(address).outcome(data('x')), 'accepted');
      const elsewhere = await device.send('/devices/device-0/messages/events').ending();
      assert.equal(elsewhere.condition, 'amqp:unauthorized-access');
      await device.close();
      // Failures of one address are slowed down: a few must do.
      if (layer !== 'no SASL') return;
      const stranger = await way.connect(other, options);
      assert.equal((await stranger.send(address).ending()).condition, 'amqp:unauthorized-access');
      await stranger.close();
    });
  }
}

test('a certificate of a registered authority opens its device until the authority is removed', async () => {
  const root = await makeAuthorityCertificate('AMQP root');
  const { verificationCode } = await api.certificateAuthorities.add('amqp', root.pem);
  await api.certificateAuthorities.prove('amqp', (await makeCertificate(verificationCode ?? '', { issuer: root })).pem);
  await api.devices.create('signed', { authentication: { type: 'certificateAuthority' } });
  const shown = await makeCertificate('signed', { issuer: root });
  const device = await overTls.connect(shown);
  const sender = device.send('/devices/signed/messages/events');
  assert.equal(await sender.outcome(data('x')), 'accepted');
  await api.certificateAuthorities.delete('amqp');
  assert.equal((await sender.ending()).condition, 'amqp:unauthorized-access');
  await device.close();
});

test('a peer that speaks something else over the WebSocket of AMQP is told so and ends', async () => {
  const socket = new WebSocket(`wss://localhost:${hub.endpoints.ports.https}/$iothub/websocket`, ['AMQPWSB10'], {
    ca: hub.ca,
  });
  const heard: Buffer[] = [];
  socket.on('message', (bytes: Buffer) => heard.push(bytes));
  socket.on('open', () => socket.send(Buffer.from('MQTT?!?!')));
  await new Promise((resolve) => socket.on('close', resolve));
  assert.equal(Buffer.concat(heard).toString('latin1'), 'AMQP\x00\x01\x00\x00');
  assert.equal(socket.protocol, 'AMQPWSB10');
});

function external(): unknown {
  return {
    EXTERNAL: () => ({ start: (answer: (error: undefined, response: string) => void) => answer(undefined, '') }),
  };
}
