/** The ways in which a device of a played fleet reaches the hub. */
import { once } from 'node:events';
import https from 'node:https';
import rhea from 'rhea';
import { WebSocket } from 'ws';
import { AmqpDriver, within } from './amqp.ts';
import type { TestCertificate } from './certificates.ts';
import type { TestHub } from './hub.ts';
import { tokenOf } from './monitoring.ts';
import { MqttDriver } from './mqtt.ts';

/**
 * As monitoring events name it: protocol and credential; `tls` where the protocol has a plain port too. Certificates are
 * for the ports of MQTT and AMQP; HTTP has requests and no connection.
 */
export const ways = [
  { protocol: 'mqtt', credential: 'sas', tls: false },
  { protocol: 'mqtt', credential: 'sas', tls: true },
  { protocol: 'mqtt', credential: 'x509', tls: true },
  { protocol: 'mqtt-ws', credential: 'sas', tls: true },
  { protocol: 'amqp', credential: 'sas', tls: true },
  { protocol: 'amqp', credential: 'x509', tls: true },
  { protocol: 'amqp-ws', credential: 'sas', tls: true },
  { protocol: 'http', credential: 'sas', tls: true },
] as const;
export type Way = (typeof ways)[number];

export interface FleetDevice {
  readonly id: string;
  readonly key: string;
  readonly way: Way;
  /** Of a device that proves itself by one. */
  readonly shown: TestCertificate | undefined;
}

export interface FleetConnection {
  /** Resolves when the hub has ended what the device had here. */
  untilClosed(): Promise<void>;
  /** Ends it with a good-bye. */
  disconnect(): Promise<void>;
  /** Breaks it off without one. */
  destroy(): void;
}

/** The hub did not let the device in. */
export class NotLetIn extends Error {}

/**
 * Resolves when the device holds its place.
 * @throws NotLetIn when the hub refuses it, and another Error when the connection breaks.
 */
export function connectFleetDevice(hub: TestHub, device: FleetDevice): Promise<FleetConnection> {
  return device.way.protocol.startsWith('mqtt') ? overMqtt(hub, device) : overAmqp(hub, device);
}

async function overMqtt(hub: TestHub, { id, key, way, shown }: FleetDevice): Promise<FleetConnection> {
  const { hostName, ports } = hub.endpoints;
  const place = {
    port: (way.protocol === 'mqtt-ws' ? ports.https : way.tls ? ports.mqtts : ports.mqtt) ?? 0,
    ...(way.tls && { ca: hub.ca }),
    ...(shown && { cert: shown.pem, key: shown.keyPem }),
  };
  const fields = {
    clientId: id,
    username: `${hostName}/${id}/?api-version=2021-04-12`,
    ...(shown === undefined && { password: Buffer.from(await tokenOf(id, key, hostName)) }),
  };
  const opened = way.protocol === 'mqtt-ws' ? MqttDriver.openWebSocket(place) : MqttDriver.open(place);
  const { client, returnCode } = await MqttDriver.connect(place, fields, opened);
  if (returnCode === 0) return client;
  client.destroy();
  throw new NotLetIn(`${id}: CONNACK ${returnCode}`);
}

async function overAmqp(hub: TestHub, { id, key, way, shown }: FleetDevice): Promise<FleetConnection> {
  const { hostName, ports } = hub.endpoints;
  const secure = { ca: hub.ca, cert: shown?.pem, key: shown?.keyPem };
  let webSocket: WebSocket | undefined;
  /** The library makes its own, and keeps it to itself. */
  class Kept extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      webSocket = this;
    }
  }
  const url = `wss://localhost:${ports.https}/$iothub/websocket`;
  const options =
    way.protocol === 'amqp-ws'
      ? { connection_details: rhea.websocket_connect(Kept as never)(url, ['AMQPWSB10'], secure) }
      : { transport: 'tls', host: 'localhost', ...secure };
  const driver = await AmqpDriver.connect(ports.amqps ?? 0, options as never);
  const destroy = (): void => {
    if (webSocket === undefined) void driver.cut();
    else webSocket.terminate();
  };
  try {
    if (shown === undefined) await putToken(driver, id, await tokenOf(id, key, hostName), hostName);
    const link = driver.send(`/devices/${id}/messages/events`);
    const refused = link.detached.then(({ condition }) => {
      throw new NotLetIn(`${id}: ${condition}`);
    });
    refused.catch(() => {});
    // A link that is refused is opened, as the protocol wants it, and ended.
    await within('credit', Promise.race([once(link.link, 'sendable'), refused]));
    return {
      async untilClosed() {
        await Promise.race([link.ending(), driver.ended]);
        driver.connection.close();
      },
      disconnect: () => driver.close(),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

async function putToken(driver: AmqpDriver, id: string, token: string, hostName: string): Promise<void> {
  const { application_properties: answer } = await driver.putToken(token, `${hostName}/devices/${id}`);
  const status: unknown = answer?.['status-code'];
  if (status !== 200) throw new NotLetIn(`${id}: put-token ${status}`);
}

/** Sends one message by HTTP. @throws NotLetIn when the hub refuses the sender. */
export async function sendByHttp(hub: TestHub, { id, key }: Pick<FleetDevice, 'id' | 'key'>): Promise<void> {
  const { hostName, ports } = hub.endpoints;
  const authorization = await tokenOf(id, key, hostName);
  const path = `/devices/${id}/messages/events?api-version=2021-04-12`;
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const options = { host: 'localhost', port: ports.https ?? 0, ca: hub.ca, path, method: 'POST', agent: false };
    const request = https.request({ ...options, headers: { authorization } }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode));
    });
    request.once('error', reject).end('{}');
  });
  if (status === 401) throw new NotLetIn(`${id}: 401`);
  if (status !== 204) throw new Error(`${id}: HTTP ${status}`);
}
