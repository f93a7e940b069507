/**
 * What attacks leave in memory: 1,000 strangers who send 64 KiB each and stay, and one device that sends as fast as it can
 * (MOORING_HOSTILE_MIB, default 64; the figures in SECURITY.md say with how much). Each attack runs two times: resident memory stays within
 * its bound, what is alive comes back, and the second one leaves no more resident than the first.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { attach, begin, HEADER, open } from '../drivers/amqp-bytes.ts';
import { apiOf } from '../drivers/api.ts';
import { startHub, type TestHub } from '../drivers/hub.ts';
import { MqttDriver } from '../drivers/mqtt.ts';
import { until } from '../drivers/until.ts';
import { connectFields, rssOf } from './good-client.ts';

const MiB = 1024 * 1024;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const STRANGERS = 1000;
const STRANGER_BYTES = 64 * 1024;
const DEVICE_BYTES = Number(process.env.MOORING_HOSTILE_MIB ?? 64) * MiB;
const ABOVE_IDLE_MIB_MAX = 400;
/** Growth of a round by which the caches count as full. */
const CACHES_FULL = 1.02;
/** So many rounds without growth, one after the other: a single one may have met no batch of a new size. */
const FULL_ROUNDS = 3;
const WARM_ROUNDS_MAX = 12;
const AGAIN_MAX = 1.1;

interface Probed {
  readonly hub: TestHub;
  /** Bytes alive, heap and external, once that has come to rest. */
  alive(): Promise<number>;
  /** The highest resident memory while `doing` runs, MiB. */
  peak(doing: () => Promise<void>): Promise<number>;
}

async function probed(run: (probed: Probed) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-memory-'));
  const file = path.join(folder, 'alive');
  const probe = new URL('./memory-probe.ts', import.meta.url).href;
  const env = { NODE_OPTIONS: `--import=${probe}`, MEMORY_PROBE_FILE: file };
  try {
    await using hub = await startHub({ env });
    const alive = async (): Promise<number> => {
      rmSync(file, { force: true });
      hub.signal('SIGUSR2');
      await until(`there is ${file}`, () => existsSync(file), { withinMs: 120_000 });
      return Number(readFileSync(file, 'utf8'));
    };
    const peak = async (doing: () => Promise<void>): Promise<number> => {
      let most = rssOf(hub.pid);
      const timer = setInterval(() => {
        most = Math.max(most, rssOf(hub.pid));
      }, 20);
      await doing().finally(() => clearInterval(timer));
      return Math.max(most, rssOf(hub.pid));
    };
    await run({ hub, alive, peak });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs the attack two times, holds the bounds, prints the figures. */
async function twice(name: string, { hub, alive, peak }: Probed, attack: () => Promise<void>): Promise<void> {
  const [idle, before] = [rssOf(hub.pid), await alive()];
  const peaks: number[] = [];
  const rests: number[] = [];
  let after = 0;
  for (let round = 0; round < 2; round++) {
    peaks.push(await peak(attack));
    after = await alive();
    // Ends of connections are told one after the other; what stays is what counts.
    for (let waited = 0; after > before * AGAIN_MAX && waited < 15_000; waited += 500) {
      await pause(500);
      after = await alive();
    }
    rests.push(rssOf(hub.pid));
  }
  const mib = (bytes: number): string => (bytes / MiB).toFixed(1);
  console.log(
    `${name}: idle ${idle}, peaks ${peaks.join(' and ')}, at rest ${rests.join(' and ')} MiB; alive ${mib(before)}, then ${mib(after)} MiB`,
  );
  for (const most of peaks) assert.ok(most - idle <= ABOVE_IDLE_MIB_MAX, `${most} MiB, ${idle} MiB idle`);
  assert.ok(after <= before * AGAIN_MAX, `${mib(after)} MiB are alive, ${mib(before)} before`);
  const [first = 0, second = 0] = rests;
  assert.ok(second <= first * AGAIN_MAX, `${second} MiB after the second time, ${first} after the first`);
}

/** What a stranger has to say at each port: as much as it will keep, and then more. */
const words: readonly { readonly port: 'https' | 'mqtts' | 'amqps'; readonly bytes: Buffer }[] = [
  { port: 'https', bytes: Buffer.from(`GET / HTTP/1.1\r\nHost: localhost\r\nx: ${'y'.repeat(STRANGER_BYTES)}`) },
  {
    port: 'https',
    bytes: Buffer.from(
      `POST /devices/d/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n${'y'.repeat(STRANGER_BYTES)}`,
    ),
  },
  { port: 'mqtts', bytes: Buffer.concat([Buffer.from([0x10, 0xff, 0x7f]), Buffer.alloc(STRANGER_BYTES, 1)]) },
  {
    port: 'amqps',
    bytes: Buffer.concat([
      HEADER,
      open(),
      begin(0),
      ...Array.from({ length: 800 }, (_, nth) => attach(0, `link ${nth}`.padEnd(32), nth, nth % 2 === 0, '$cbs')),
    ]),
  },
];

async function strangers(hub: TestHub): Promise<void> {
  const sockets: tls.TLSSocket[] = [];
  const one = async (nth: number): Promise<void> => {
    const { port, bytes } = words[nth % words.length];
    const socket = tls.connect({
      ...{ port: hub.endpoints.ports[port] ?? 0, host: '127.0.0.1', ca: hub.ca, servername: 'localhost' },
      localAddress: `127.0.0.${20 + (nth % 100)}`,
    } as tls.ConnectionOptions);
    sockets.push(socket);
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {}).resume();
    await Promise.race([once(socket, 'secureConnect').catch(() => {}), ended]);
    const written = new Promise<void>(
      (resolve) => void socket.write(bytes.subarray(0, STRANGER_BYTES), () => resolve()),
    );
    await Promise.race([written, ended]);
  };
  for (let from = 0; from < STRANGERS; from += 50) {
    await Promise.all(Array.from({ length: Math.min(50, STRANGERS - from) }, (_, nth) => one(from + nth)));
  }
  await pause(500);
  for (const socket of sockets) socket.destroy();
}

/** Does not wait for what it is told, as long as the socket takes more. */
async function device(hub: TestHub, bytes: number): Promise<void> {
  const { client } = await MqttDriver.connect(
    { port: hub.endpoints.ports.mqtts ?? 0, ca: hub.ca },
    connectFields(hub, 'greedy'),
  );
  const payload = Buffer.alloc(128 * 1024, 7);
  const count = Math.ceil(bytes / payload.length);
  for (let nth = 1; nth <= count; nth++) {
    client.publish({ topic: 'devices/greedy/messages/events/', qos: 1, messageId: nth % 60_000 || 1, payload });
    if (client.socket.writableNeedDrain) await once(client.socket, 'drain');
  }
  for (let nth = 1; nth <= count; nth++) await client.next('puback');
  client.destroy();
}

test(`${STRANGERS} strangers send 64 KiB each`, { timeout: 300_000 }, () =>
  probed((it) => twice(`${STRANGERS} strangers, 64 KiB each`, it, () => strangers(it.hub))),
);

test('one device sends as fast as it can', { timeout: 600_000 }, () =>
  probed(async (it) => {
    const api = apiOf(it.hub);
    await api.devices.create('greedy', {});
    api.close();
    // Caches of events fill once, to their bounds: how many rounds that takes depends on how the batches fall.
    for (let round = 0, full = 0, still = 0; round < WARM_ROUNDS_MAX && still < FULL_ROUNDS; round++) {
      await device(it.hub, DEVICE_BYTES);
      const alive = await it.alive();
      still = alive <= full * CACHES_FULL ? still + 1 : 0;
      full = Math.max(full, alive);
    }
    await twice(`one device, ${DEVICE_BYTES / MiB} MiB`, it, () => device(it.hub, DEVICE_BYTES));
  }),
);
