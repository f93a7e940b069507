/**
 * One who behaves while others do not: a device that sends telemetry and waits for each acknowledgement, another one that
 * reconnects for each message, and a back end that reads everything back at the end.
 */
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseConnectionString } from '../../src/api/connection-string.ts';
import type { TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { readToEnd } from '../reliability/event-reader.ts';

const PAUSE_MS = 5;

/** What was measured between `begin` and `end`. Milliseconds. */
export interface Figures {
  readonly sent: number;
  readonly p50: number;
  readonly p99: number;
  /** Whole connections with one message each: TLS, CONNECT, PUBACK. */
  readonly connects: number;
  readonly connectP50: number;
  readonly connectMax: number;
  /** Connections that were refused or broken, and tried again. */
  readonly retries: number;
  readonly rssMiB: number;
}

export interface GoodClient {
  /** Figures of what happens while `doing` runs. */
  measured(doing: () => Promise<void>): Promise<Figures>;
  /** Stops, reads everything back. @returns messages that were acknowledged, and those of them that cannot be read. */
  finish(): Promise<{ readonly acknowledged: number; readonly lost: readonly string[] }>;
}

/** What one must know of a hub. */
export type Victim = Pick<TestHub, 'endpoints'>;

/** A token for a device by the policy `device`. */
export function deviceToken(hub: Victim, deviceId: string, lifeSeconds = 3600): string {
  const key = parseConnectionString(hub.endpoints.connectionStrings.device).get('sharedaccesskey') ?? '';
  const sr = encodeURIComponent(`localhost/devices/${deviceId}`);
  const se = Math.floor(Date.now() / 1000) + lifeSeconds;
  const sig = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64');
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(sig)}&se=${se}&skn=device`;
}

export const connectFields = (hub: Victim, deviceId: string, token = deviceToken(hub, deviceId)) => ({
  clientId: deviceId,
  username: `localhost/${deviceId}/?api-version=2021-04-12`,
  password: Buffer.from(token),
});

export async function startGoodClient(hub: TestHub): Promise<GoodClient> {
  const place = { port: hub.endpoints.ports.mqtts ?? 0, ca: hub.ca };
  const acknowledged = new Set<string>();
  let samples: number[] = [];
  let connects: number[] = [];
  let retries = 0;
  let stopping = false;
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

  const publish = async (client: MqttDriver, deviceId: string, count: number): Promise<void> => {
    const body = `${deviceId}-${count}`;
    client.publish({
      topic: `devices/${deviceId}/messages/events/`,
      qos: 1,
      messageId: 1 + (count % 65_535),
      payload: Buffer.from(body),
    });
    await client.next('puback');
    acknowledged.add(body);
  };
  const connected = async (deviceId: string): Promise<MqttDriver> => {
    for (;;) {
      try {
        const { client, returnCode } = await MqttDriver.connect(place, connectFields(hub, deviceId));
        if (returnCode === 0) return client;
        client.destroy();
      } catch {
        // Refused because there are too many: as an SDK does, it comes again.
      }
      retries++;
      await pause();
    }
  };
  const steady = async (): Promise<void> => {
    const client = await connected('good-1');
    for (let count = 0; !stopping; count++) {
      const begun = performance.now();
      await publish(client, 'good-1', count);
      samples.push(performance.now() - begun);
      await pause();
    }
    client.destroy();
  };
  const returning = async (): Promise<void> => {
    for (let count = 0; !stopping; count++) {
      const begun = performance.now();
      const client = await connected('good-2');
      await publish(client, 'good-2', count);
      connects.push(performance.now() - begun);
      client.destroy();
      await new Promise((resolve) => setTimeout(resolve, 10 * PAUSE_MS));
    }
  };
  const running = Promise.all([steady(), returning()]);
  // The caller of `finish` hears of it.
  running.catch(() => {});
  return {
    async measured(doing) {
      samples = [];
      connects = [];
      retries = 0;
      await Promise.race([doing(), running]);
      const at = (list: number[], share: number): number =>
        list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * share))] ?? Number.NaN;
      return {
        sent: samples.length,
        p50: at(samples, 0.5),
        p99: at(samples, 0.99),
        connects: connects.length,
        connectP50: at(connects, 0.5),
        connectMax: at(connects, 1),
        retries,
        rssMiB: rssOf(hub.pid),
      };
    },
    async finish() {
      stopping = true;
      await running;
      const lost = new Set(acknowledged);
      const reader = {
        port: hub.endpoints.ports.amqp ?? 0,
        connectionString: hub.endpoints.connectionStrings.eventHubsEmulator,
      };
      await readToEnd(reader, new Map(), ({ body }) => void lost.delete(body.toString()));
      return { acknowledged: acknowledged.size, lost: [...lost] };
    },
  };
}

/** MiB of memory that the process has; NaN where the system does not tell. */
export function rssOf(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readStatus(pid))?.[1];
  return kib === undefined ? Number.NaN : Math.round(Number(kib) / 1024);
}

function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
