/** One who behaves beside an attack: a device with QoS 1 messages and a back end with HTTPS requests, one after the other. */

import { apiOf } from '../drivers/api.ts';
import type { TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { connectFields } from './good-client.ts';

const PAUSE_MS = 5;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds of each round. */
export interface Rounds {
  readonly mqtt: readonly number[];
  readonly https: readonly number[];
}

export interface Witness {
  /** What was measured since it was asked last; when each of the two has been served once more at least. */
  rounds(): Promise<Rounds>;
  stop(): Promise<Rounds>;
}

/** A witness of the device `deviceId`, which exists. */
export async function startWitness(hub: TestHub, deviceId = 'good-1'): Promise<Witness> {
  const place = { port: hub.endpoints.ports.mqtts ?? 0, ca: hub.ca };
  const { client } = await MqttDriver.connect(place, connectFields(hub, deviceId));
  const api = apiOf(hub);
  const topic = `devices/${deviceId}/messages/events/`;
  let stopping = false;
  let times = { mqtt: [] as number[], https: [] as number[] };
  const going = async (of: keyof Rounds, one: (count: number) => Promise<unknown>): Promise<void> => {
    for (let count = 0; !stopping; count++) {
      const begun = performance.now();
      await one(count);
      times[of].push(performance.now() - begun);
      await pause(PAUSE_MS);
    }
  };
  const running = Promise.all([
    going('mqtt', async (count) => {
      client.publish({ topic, qos: 1, messageId: 1 + (count % 65_535), payload: Buffer.from(String(count)) });
      await client.next('puback');
    }),
    going('https', () => api.devices.get(deviceId)),
  ]);
  running.catch(() => {});
  const taken = (): Rounds => {
    const taken = times;
    times = { mqtt: [], https: [] };
    return taken;
  };
  return {
    async rounds() {
      // One that is under way has begun before it was asked, so that the longest is never left out.
      const served = (async () => {
        while (!stopping && (times.mqtt.length === 0 || times.https.length === 0)) await pause(PAUSE_MS);
      })();
      await Promise.race([served, running]);
      return taken();
    },
    async stop() {
      stopping = true;
      await running;
      client.destroy();
      await api.close();
      return taken();
    },
  };
}

export const longest = (times: readonly number[]): number => Math.max(...times);

export function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
