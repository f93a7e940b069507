/** The ways in which a device of a played fleet reaches the hub. */
import rhea from 'rhea';
import { WebSocket } from 'ws';
import { AmqpDriver } from './amqp.ts';
import type { TestCertificate } from './certificates.ts';
import type { TestHub } from './hub.ts';
import { tokenOf } from './monitoring.ts';
import { MqttDriver } from './mqtt.ts';

/** As monitoring events name it: protocol and credential; `tls` where the protocol has a plain port too. */
export const ways = [
  { protocol: 'mqtt', credential: 'sas', tls: false },
  { protocol: 'mqtt', credential: 'sas', tls: true },
  { protocol: 'mqtt', credential: 'x509', tls: true },
  { protocol: 'mqtt-ws', credential: 'sas', tls: true },
  { protocol: 'amqp', credential: 'sas', tls: true },
  { protocol: 'amqp', credential: 'x509', tls: true },
  { protocol: 'amqp-ws', credential: 'sas', tls: true },
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

/** Resolves when the device holds its place. */
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
  if (returnCode !== 0) throw new Error(`${id}: CONNACK ${returnCode}`);
  return client;
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
  if (shown === undefined) await driver.putToken(await tokenOf(id, key, hostName), `${hostName}/devices/${id}`);
  const link = driver.send(`/devices/${id}/messages/events`);
  // A link that is refused is opened and ended.
  await link.opened();
  return {
    async untilClosed() {
      await Promise.race([link.ending(), driver.ended]);
      driver.connection.close();
    },
    disconnect: () => driver.close(),
    destroy() {
      if (webSocket === undefined) void driver.cut();
      else webSocket.terminate();
    },
  };
}
