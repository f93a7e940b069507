/** A device beside the portal's tests: it sends, and answers commands and methods, over plain MQTT of this machine. */
import assert from 'node:assert/strict';
import type { ApiClient } from '../../src/api/client.ts';
import { signSas } from '../../src/api/sas.ts';
import type { TestHub } from './hub.ts';
import { connectPacket, MqttDriver, publishPacket } from './mqtt.ts';

export interface PortalDevice {
  readonly id: string;
  readonly driver: MqttDriver;
  /** Resolves when the hub has stored it. */
  send(body: string | Buffer, bag?: string): Promise<void>;
  /** Without waiting for the hub. */
  sendMany(bodies: readonly string[]): void;
  close(): void;
}

/** Makes a device and connects it. The hub must serve plain MQTT (`--mqtt-port 0`, as `startHub` does). */
export async function connectDevice(hub: TestHub, api: ApiClient, id: string): Promise<PortalDevice> {
  const { authentication } = await api.devices.create(id);
  const resource = `localhost/devices/${encodeURIComponent(id)}`;
  const key = authentication.symmetricKey.primaryKey ?? '';
  const password = Buffer.from(await signSas({ resource, key, expiresAt: Date.now() + 3_600_000 }));
  const username = `localhost/${id}/?api-version=2021-04-12`;
  const driver = await MqttDriver.open({ port: hub.endpoints.ports.mqtt as number });
  driver.send(connectPacket({ clientId: id, username, password }));
  assert.equal((await driver.next('connack')).returnCode, 0);
  const topic = (bag: string): string => `devices/${id}/messages/events/${bag}`;
  return {
    ...{ id, driver },
    async send(body, bag = '$.ct=application%2Fjson&$.ce=utf-8') {
      driver.send(publishPacket({ topic: topic(bag), payload: body, qos: 1, messageId: 7 }));
      assert.equal((await driver.next()).cmd, 'puback');
    },
    sendMany(bodies) {
      const packets = bodies.map((payload) =>
        publishPacket({ topic: topic('$.ct=application%2Fjson'), payload, qos: 0 }),
      );
      for (const packet of packets) driver.send(packet);
    },
    close: () => driver.destroy(),
  };
}
