import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterDevice, connectDevice, subscribeAll } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import type { MqttDriver } from '../drivers/mqtt.ts';

/** Connects a device that counts its methods, and answers them or keeps still. */
export async function answering(
  node: TestHub,
  id: string,
  asked: Map<string, number>,
  answers: boolean,
): Promise<MqttDriver> {
  const device: ClusterDevice = await connectDevice(node, id);
  assert.equal(device.returnCode, 0);
  await subscribeAll(device.client, id);
  let isOpen = true;
  void device.client.closed.then(() => {
    isOpen = false;
  });
  const read = async (): Promise<void> => {
    for (;;) {
      // A method may come late, which `next` alone does not wait for.
      while (isOpen && device.client.unread.length === 0) await sleep(20);
      const { topic } = await device.client.next('publish');
      // It hears of its desired properties, too.
      if (!topic.startsWith('$iothub/methods/POST/')) continue;
      asked.set(id, (asked.get(id) ?? 0) + 1);
      const rid = topic.slice(topic.indexOf('?') + 1);
      if (answers) device.client.publish({ topic: `$iothub/methods/res/200/?${rid}`, payload: '1' });
    }
  };
  read().catch(() => {});
  return device.client;
}
