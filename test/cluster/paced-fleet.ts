/**
 * Many light devices of one process over plain MQTT: each sends a numbered message, waits for its acknowledgement, and comes back by itself
 * when its connection ends or falls silent. No number is sent twice, so what is stored of a device must ascend.
 */
import net from 'node:net';
import { connectPacket, publishPacket, ShortPacketReader } from '../../bench/load/mqtt-packets.ts';
import { signSas } from '../../src/api/sas.ts';
import { apiOf } from '../drivers/api.ts';
import { DEVICE_KEY } from '../drivers/cluster.ts';
import type { TestHub } from '../drivers/hub.ts';
import { until } from '../drivers/until.ts';

/** Devices that are made, or connect for the first time, together. */
const BULK = 100;
const TICK_MS = 20;
/** An answer that is missing for so long ends the connection. */
const SILENCE_MS = 4000;
const CONNECT_MS = 13_000;
/** Before a device tries again: devices that come all at once would be a test of that. */
const [AGAIN_MS_MIN, AGAIN_MS_MAX] = [100, 600];

interface LightDevice {
  readonly deviceId: string;
  readonly password: string;
  socket: net.Socket | undefined;
  isServed: boolean;
  next: number;
  /** The message that waits for its acknowledgement. */
  waiting: number | undefined;
  /** Sent, and nobody knows what has become of them. */
  readonly unknown: number[];
  /** `performance.now()` of its last CONNACK, of its last acknowledgement, and of what it last began. */
  servedAt: number;
  acknowledgedAt: number;
  begunAt: number;
}

export interface FleetCheck {
  readonly acknowledged: number;
  readonly lost: readonly string[];
  readonly reordered: number;
}

export class PacedFleet {
  readonly devices: readonly LightDevice[];
  acknowledged = 0;
  readonly #port: (deviceId: string) => number;
  readonly #periodMs: number;
  #isOn = true;
  #isSending = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #found = new Map<string, { last: number; readonly numbers: Set<number>; reordered: number }>();

  /**
   * Makes the devices at a node.
   * @param periodMs between a device's messages
   * @param port where a device connects, asked each time
   */
  static async make(
    node: Pick<TestHub, 'endpoints' | 'ca'>,
    count: number,
    periodMs: number,
    port: (deviceId: string) => number,
  ): Promise<PacedFleet> {
    const ids = Array.from({ length: count }, (_, at) => `f${at}`);
    const api = apiOf(node);
    for (let at = 0; at < count; at += BULK) {
      const symmetricKey = { primaryKey: DEVICE_KEY, secondaryKey: DEVICE_KEY };
      const items = ids
        .slice(at, at + BULK)
        .map((id) => ({ id, importMode: 'create' as const, authentication: { symmetricKey } }));
      const { isSuccessful, errors } = await api.devices.bulk(items);
      if (!isSuccessful) throw new Error(`devices: ${JSON.stringify(errors.slice(0, 3))}`);
    }
    api.close();
    const expiresAt = Date.now() + 24 * 3_600_000;
    const passwords = ids.map((id) => signSas({ resource: `localhost/devices/${id}`, key: DEVICE_KEY, expiresAt }));
    return new PacedFleet(ids, await Promise.all(passwords), periodMs, port);
  }

  private constructor(
    ids: readonly string[],
    passwords: readonly string[],
    periodMs: number,
    port: (deviceId: string) => number,
  ) {
    this.#periodMs = periodMs;
    this.#port = port;
    this.devices = ids.map((deviceId, at) => ({
      ...{ deviceId, password: passwords[at], socket: undefined, isServed: false, next: 0, waiting: undefined },
      ...{ unknown: [], servedAt: 0, acknowledgedAt: 0, begunAt: 0 },
    }));
  }

  /** Connects all, some at a time; resolves when all are served. */
  async connect(withinMs: number): Promise<void> {
    for (let at = 0; at < this.devices.length; at += BULK) {
      const some = this.devices.slice(at, at + BULK);
      for (const device of some) this.#open(device);
      await until('these are served', () => some.every(({ isServed }) => isServed), { withinMs });
    }
  }

  /** From now on each device sends. */
  send(): void {
    this.#isSending = true;
    let at = 0;
    let owed = 0;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      owed = Math.min(this.devices.length, owed + ((now - last) * this.devices.length) / this.#periodMs);
      last = now;
      for (; owed >= 1; owed--) {
        this.#next(this.devices[at]);
        at = (at + 1) % this.devices.length;
      }
    }, TICK_MS);
  }

  /** Sends nothing new. */
  stopSending(): void {
    this.#isSending = false;
    clearInterval(this.#timer);
  }

  /** Ends all connections. What waits for its acknowledgement is of unknown outcome from now on. */
  end(): void {
    this.stopSending();
    this.#isOn = false;
    for (const { socket } of this.devices) socket?.destroy();
  }

  /** Takes a stored number, in the order in which they lie in the partition. */
  take(deviceId: string, n: number): void {
    const found = this.#found.get(deviceId) ?? { last: -1, numbers: new Set<number>(), reordered: 0 };
    this.#found.set(deviceId, found);
    if (n <= found.last) found.reordered++;
    found.last = Math.max(found.last, n);
    found.numbers.add(n);
  }

  /** After `end`: what was acknowledged and is not found. */
  check(): FleetCheck {
    const lost: string[] = [];
    let reordered = 0;
    for (const { deviceId, next, unknown } of this.devices) {
      const found = this.#found.get(deviceId);
      reordered += found?.reordered ?? 0;
      const open = new Set(unknown);
      for (let n = 0; n < next; n++) {
        if (!open.has(n) && found?.numbers.has(n) !== true) lost.push(`${deviceId}/${n}`);
      }
    }
    return { acknowledged: this.acknowledged, lost, reordered };
  }

  #open(device: LightDevice): void {
    if (!this.#isOn) return;
    const socket = net.connect({ port: this.#port(device.deviceId), host: '127.0.0.1', noDelay: true });
    const reader = new ShortPacketReader();
    device.socket = socket;
    const timer = setTimeout(() => socket.destroy(), CONNECT_MS);
    socket
      .on('error', () => {})
      .on('connect', () => {
        const { deviceId, password } = device;
        const username = `localhost/${deviceId}/?api-version=2021-04-12`;
        const fields = { clientId: deviceId, username, password, cleanSession: false, keepAliveSeconds: 600 };
        socket.write(connectPacket(fields));
      })
      .on('data', (chunk) =>
        reader.take(chunk, chunk.length, {
          connack: (code) => {
            if (code !== 0) return void socket.destroy();
            clearTimeout(timer);
            device.isServed = true;
            device.servedAt = performance.now();
          },
          puback: () => {
            device.waiting = undefined;
            device.acknowledgedAt = performance.now();
            this.acknowledged++;
          },
        }),
      )
      .on('close', () => {
        clearTimeout(timer);
        device.isServed = false;
        if (device.waiting !== undefined) device.unknown.push(device.waiting);
        device.waiting = undefined;
        if (this.#isOn)
          setTimeout(() => this.#open(device), AGAIN_MS_MIN + Math.random() * (AGAIN_MS_MAX - AGAIN_MS_MIN));
      });
  }

  #next(device: LightDevice): void {
    if (!this.#isSending || !device.isServed) return;
    if (device.waiting !== undefined) {
      if (performance.now() - device.begunAt > SILENCE_MS) device.socket?.destroy();
      return;
    }
    const n = device.next++;
    device.waiting = n;
    device.begunAt = performance.now();
    const topic = `devices/${device.deviceId}/messages/events/n=${n}`;
    device.socket?.write(publishPacket(topic, Buffer.from(String(n)), 1, (n % 0xffff) + 1));
  }
}
