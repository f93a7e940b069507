/** A device that sends JSON, one message after the other. */
import assert from 'node:assert/strict';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from './api.ts';
import type { TestHub } from './hub.ts';
import { MqttDriver } from './mqtt.ts';

export interface Sender {
  readonly client: MqttDriver;
  /** @param bag further properties, as the topic has them @returns when the hub has acknowledged it */
  send(body: string, bag?: string): Promise<void>;
}

/** Connects a device, which is made if there is none of this name. */
export async function senderOf(hub: TestHub, deviceId: string): Promise<Sender> {
  const api = apiOf(hub);
  const found = await api.devices.get(deviceId).catch(() => api.devices.create(deviceId));
  api.close();
  const key = found.authentication.symmetricKey.primaryKey ?? '';
  const token = await signSas({ resource: `localhost/devices/${deviceId}`, key, expiresAt: Date.now() + 3_600_000 });
  const username = `localhost/${deviceId}/?api-version=2021-04-12`;
  const fields = { clientId: deviceId, username, password: Buffer.from(token) };
  const { client, returnCode } = await MqttDriver.connect({ port: hub.endpoints.ports.mqtt ?? 0 }, fields);
  assert.equal(returnCode, 0);
  let messageId = 0;
  return {
    client,
    async send(body, bag = '') {
      messageId += 1;
      const type = '%24.ct=application%2Fjson&%24.ce=utf-8';
      const topic = `devices/${deviceId}/messages/events/${type}${bag === '' ? '' : `&${bag}`}`;
      client.publish({ topic, payload: body, qos: 1, messageId });
      await client.next('puback');
    },
  };
}
