/** The hub's own doors, as a device uses them: with a SAS token of its key. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import rhea, { type Connection } from 'rhea';
import { createWebSocketStream, WebSocket } from 'ws';
import { signSas } from '../../src/api/sas.ts';
import { limits } from '../../src/base/limits.ts';
import type { TestHub } from '../../test/drivers/hub.ts';
import { withDevice } from '../../test/drivers/monitoring.ts';
import { MqttClient } from './mqtt-client.ts';
import { body, constrained, type Opened, openTls, type Subject } from './subject.ts';

const ID = 'meter-1';
/** What the hub announces (AMQP 1.0, 2.4.5). */
const AMQP_SILENCE_SECONDS = limits.amqpIdleTimeoutMs / 2000;
const KEEP_ALIVE_SECONDS = Math.floor(limits.mqttKeepAliveMsMax / 1500);

export async function doors(hub: TestHub): Promise<readonly Subject[]> {
  const { key } = await withDevice(hub, ID);
  const { hostName, ports: opened } = hub.endpoints;
  const ports = { mqtts: opened.mqtts ?? 0, amqps: opened.amqps ?? 0, https: opened.https ?? 0 };
  const token = await signSas({ resource: `${hostName}/devices/${ID}`, key, expiresAt: Date.now() + 3_600_000 });
  const { ca } = hub;
  const common = { protection: 'TLS 1.3', transport: 'tcp' } as const;

  const overMqtt = async (client: MqttClient, session: () => Buffer | undefined): Promise<Opened> => {
    await client.connect(ID, `${hostName}/${ID}/?api-version=2021-04-12`, token, KEEP_ALIVE_SECONDS);
    return {
      send: (bytes) => client.publish(`devices/${ID}/messages/events/`, body(bytes)),
      keepAlive: () => client.ping(),
      session,
      close: () => client.close(),
    };
  };

  return [
    {
      ...{ ...common, name: 'MQTT', port: ports.mqtts, silenceSecondsMax: KEEP_ALIVE_SECONDS },
      async open(port, session) {
        const client = await openTls(port, ca, session);
        return overMqtt(new MqttClient(client.socket), client.session);
      },
    },
    {
      ...{ ...common, name: 'MQTT over WebSockets', port: ports.https, silenceSecondsMax: KEEP_ALIVE_SECONDS },
      async open(port, session) {
        const options = { ca, ...constrained, perMessageDeflate: false, ...(session && { session }) };
        const socket = new WebSocket(`wss://localhost:${port}/$iothub/websocket`, ['mqtt'], options);
        const [[answer]] = (await Promise.all([once(socket, 'upgrade'), once(socket, 'open')])) as [
          [IncomingMessage],
          unknown,
        ];
        const client = new MqttClient(createWebSocketStream(socket, { allowHalfOpen: false }));
        // The tickets have come before the upgrade.
        return overMqtt(client, () => (answer.socket as TLSSocket).getSession());
      },
    },
    {
      ...{ ...common, name: 'AMQP', port: ports.amqps, silenceSecondsMax: AMQP_SILENCE_SECONDS },
      open: (port, session) => openAmqp(port, ca, session, token, hostName),
    },
    {
      ...{ ...common, name: 'HTTPS', port: ports.https, silenceSecondsMax: undefined },
      async open(port, session) {
        const client = await openTls(port, ca, session);
        return {
          send: async (bytes) => post(client.socket, hostName, token, body(bytes)),
          keepAlive: undefined,
          session: client.session,
          async close() {
            client.socket.end();
            await once(client.socket, 'close');
          },
        };
      },
    },
  ];
}

/** The least that a client may say. */
async function post(socket: Socket, host: string, token: string, text: string): Promise<void> {
  const head = [
    `POST /devices/${ID}/messages/events?api-version=2021-04-12 HTTP/1.1`,
    ...[`Host: ${host}`, `Authorization: ${token}`, `Content-Length: ${text.length}`],
  ];
  const answered = new Promise<string>((resolve) => socket.once('data', (bytes: Buffer) => resolve(bytes.toString())));
  socket.write(`${head.join('\r\n')}\r\n\r\n${text}`);
  const answer = await answered;
  if (!/^HTTP\/1.1 204/.test(answer)) throw new Error(answer.slice(0, 200));
}

async function openAmqp(
  port: number,
  ca: string,
  session: Buffer | undefined,
  token: string,
  hostname: string,
): Promise<Opened> {
  const container = rhea.create_container();
  container.on('error', () => {});
  let kept: Buffer | undefined;
  const options = { ca, ...constrained, ...(session && { session }), username: 'anonymous' };
  const connection = container.connect({
    port,
    host: '127.0.0.1',
    hostname,
    transport: 'tls',
    reconnect: false,
    ...options,
  } as never);
  const socket = (connection as unknown as { socket: Socket }).socket;
  socket.on('session', (next: Buffer) => {
    kept = next;
  });
  await once(connection, 'connection_open');
  await putToken(connection, token, `${hostname}/devices/${ID}`);
  const sender = connection.open_sender({ target: { address: `/devices/${ID}/messages/events` } });
  await once(sender, 'sendable');
  return {
    async send(bytes) {
      const accepted = once(sender, 'accepted');
      sender.send({ body: rhea.message.data_section(Buffer.from(body(bytes))) });
      await accepted;
    },
    // An empty frame (AMQP 1.0, 2.4.5): both sides send them.
    async keepAlive() {
      socket.write(Buffer.from([0, 0, 0, 8, 2, 0, 0, 0]));
      await new Promise((resolve) => setTimeout(resolve, 60));
    },
    session: () => kept,
    async close() {
      const closed = once(socket, 'close');
      connection.close();
      await closed;
    },
  };
}

async function putToken(connection: Connection, token: string, name: string): Promise<void> {
  const receiver = connection.open_receiver({ source: { address: '$cbs' }, target: { address: 'cbs-reply' } });
  const sender = connection.open_sender({ target: { address: '$cbs' } });
  await Promise.all([once(receiver, 'receiver_open'), once(sender, 'sendable')]);
  const answer = once(receiver, 'message');
  sender.send({
    ...{ message_id: 'token', reply_to: 'cbs-reply', body: token },
    application_properties: { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name },
  });
  const [{ message }] = (await answer) as [{ message: { application_properties: Record<string, unknown> } }];
  if (message.application_properties['status-code'] !== 200) throw new Error(`no token: ${JSON.stringify(message)}`);
}
