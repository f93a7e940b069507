/**
 * Storm: all devices come back at once after a restart of the hub, each with a full TLS handshake, while devices that are
 * connected already go on sending. Time until all are served, the hub's memory, fairness (how long the slowest waited), and
 * how long acknowledgements take for the others meanwhile. Devices run in a process of their own. Linux only.
 *
 *     node bench/storm.ts [--devices 2000] [--rounds 3] [--setting "--name value"] [--json FILE]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import { Histogram } from './load/histogram.ts';
import { connectPacket, publishPacket, ShortPacketReader } from './load/mqtt-packets.ts';
import type { PublisherLogin } from './load/publisher.ts';
import { cpuSeconds, machine, residentMiB, residentPeakMiB } from './process-facts.ts';
import { figure, printTable, writeResult } from './report.ts';
import { startHub } from './servers/hub.ts';

/** What the process of the devices is told. */
interface Order {
  readonly port: number;
  readonly ca: string;
  readonly logins: readonly PublisherLogin[];
}

/** What it tells when all devices are served. */
interface Served {
  readonly seconds: number;
  /** Milliseconds from the beginning of the storm until a device had its CONNACK. */
  readonly waits: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Connections that failed and were tried again. */
  readonly retries: number;
}

interface Round extends Served {
  readonly quietP99Ms: number;
  readonly stormP50Ms: number;
  readonly stormP99Ms: number;
  readonly stormMaxMs: number;
  readonly residentBeforeMiB: number;
  readonly residentAfterMiB: number;
  readonly residentPeakMiB: number;
  readonly hubCpuSeconds: number;
}

const GOOD_CLIENTS = 10;
const GOOD_PERIOD_MS = 20;
const QUIET_MS = 2000;
/** A stock SDK waits before it tries again; the bench does so shortly, to keep the pressure up. */
const RETRY_MS = 250;

async function storm(): Promise<void> {
  const { values } = parseArgs({
    options: {
      devices: { type: 'string', default: '2000' },
      rounds: { type: 'string', default: '3' },
      setting: { type: 'string', default: '' },
      json: { type: 'string' },
    },
  });
  const count = Number(values.devices);
  const rounds: Round[] = [];
  for (let round = 0; round < Number(values.rounds); round++) rounds.push(await oneRound(count, values.setting));
  const columns = [
    'seconds',
    'stormP50Ms',
    'stormP99Ms',
    'stormMaxMs',
    'quietP99Ms',
    'residentAfterMiB',
    'residentPeakMiB',
    'hubCpuSeconds',
    'retries',
  ] as const;
  printTable([
    [...columns, 'wait p50', 'wait p99', 'wait max'],
    ...rounds.map((round) => [
      ...columns.map((column) => figure(round[column])),
      ...[round.waits.p50, round.waits.p99, round.waits.max].map(figure),
    ]),
  ]);
  process.stdout.write(
    `${writeResult('storm', { devices: count, setting: values.setting, machine: machine(), rounds }, values.json)}\n`,
  );
}

async function oneRound(count: number, setting: string): Promise<Round> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'mooring-storm-'));
  const flags = setting === '' ? [] : setting.split(' ');
  const hub = await startHub({ connections: count + GOOD_CLIENTS, tls: true, directory, bag: '', flags });
  const loader = fork(import.meta.filename, ['devices']);
  try {
    const clients = hub.logins.slice(0, GOOD_CLIENTS).map((login) => new GoodClient(login));
    for (const client of clients) await client.connect(hub.port, hub.caText);
    const measure = (): Histogram => {
      const latency = new Histogram();
      for (const client of clients) client.latency = latency;
      return latency;
    };
    measure();
    await sleep(500);
    const quiet = measure();
    await sleep(QUIET_MS);
    const residentBeforeMiB = residentMiB(hub.pid);
    const cpu = cpuSeconds(hub.pid);
    const during = measure();
    loader.send({ port: hub.port, ca: hub.caText, logins: hub.logins.slice(GOOD_CLIENTS) } satisfies Order);
    const [served] = (await once(loader, 'message')) as [Served];
    const result: Round = {
      ...served,
      quietP99Ms: quiet.percentile(0.99),
      stormP50Ms: during.percentile(0.5),
      stormP99Ms: during.percentile(0.99),
      stormMaxMs: during.percentile(1),
      residentBeforeMiB,
      residentAfterMiB: residentMiB(hub.pid),
      residentPeakMiB: residentPeakMiB(hub.pid),
      hubCpuSeconds: cpuSeconds(hub.pid) - cpu,
    };
    for (const client of clients) client.close();
    return result;
  } finally {
    loader.kill('SIGKILL');
    await hub.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A device that is connected before the storm and sends at a fixed rate; late sends count from when they were due. */
class GoodClient {
  latency = new Histogram();
  readonly #login: PublisherLogin;
  #socket: tls.TLSSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #sentAt: number[] = [];

  constructor(login: PublisherLogin) {
    this.#login = login;
  }

  async connect(port: number, ca: string): Promise<void> {
    const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca });
    this.#socket = socket;
    socket.setNoDelay(true);
    const reader = new ShortPacketReader();
    await once(socket, 'secureConnect');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.on('data', (chunk: Buffer) =>
        reader.take(chunk, chunk.length, {
          connack: (code) => (code === 0 ? resolve() : reject(new Error(`CONNACK ${code}`))),
          puback: () => this.latency.record(performance.now() - (this.#sentAt.shift() ?? 0)),
        }),
      );
      socket.write(connectPacket({ ...this.#login, cleanSession: false, keepAliveSeconds: 300 }));
    });
    let id = 0;
    const payload = Buffer.alloc(128, 1);
    this.#timer = setInterval(() => {
      id = (id % 0xffff) + 1;
      this.#sentAt.push(performance.now());
      socket.write(publishPacket(this.#login.topic, payload, 1, id));
    }, GOOD_PERIOD_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#socket?.destroy();
  }
}

/** The process of the devices: all of them connect at once, and try again until they are in. */
function devices(): void {
  process.once('message', async ({ port, ca, logins }: Order) => {
    const secureContext = tls.createSecureContext({ ca });
    const begun = performance.now();
    let retries = 0;
    const connectOnce = (login: PublisherLogin): Promise<void> =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', secureContext });
        const reader = new ShortPacketReader();
        socket.once('secureConnect', () =>
          socket.write(connectPacket({ ...login, cleanSession: false, keepAliveSeconds: 1200 })),
        );
        socket.on('data', (chunk: Buffer) =>
          reader.take(chunk, chunk.length, {
            connack: (code) => (code === 0 ? resolve() : reject(new Error(`CONNACK ${code}`))),
            puback: () => {},
          }),
        );
        socket.on('error', reject);
        socket.on('close', () => reject(new Error('closed')));
      });
    const waits = await Promise.all(
      logins.map(async (login) => {
        for (;;) {
          try {
            await connectOnce(login);
            return performance.now() - begun;
          } catch {
            retries++;
            await sleep(RETRY_MS);
          }
        }
      }),
    );
    waits.sort((a, b) => a - b);
    const at = (share: number): number => waits[Math.min(waits.length - 1, Math.floor(share * waits.length))];
    const seconds = (performance.now() - begun) / 1000;
    process.send?.({ seconds, retries, waits: { p50: at(0.5), p99: at(0.99), max: at(1) } } satisfies Served);
  });
}

if (process.argv[2] === 'devices') devices();
else await storm();
