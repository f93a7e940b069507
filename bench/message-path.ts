/**
 * How many files of the hub's source a message passes: the runtime's own count of which functions have run, on every
 * thread, of a hub with one listener thread. What runs without a message is left out, and of several messages only what
 * ran for each of them counts. Each file is a place that a reader has to know to follow the message.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inspector } from './inspector.ts';
import { openBackEnd } from './load/back-end.ts';
import { CommandDevice } from './load/command-device.ts';
import { connectPacket, publishPacket } from './load/mqtt-packets.ts';
import type { PublisherLogin } from './load/publisher.ts';
import { printTable } from './report.ts';
import { backEndPlace, type RunningHub, startHub } from './servers/hub.ts';
import { freePort } from './servers/server.ts';

const root = path.dirname(import.meta.dirname);

/** Files below `src`, sorted, of one checkout. */
export interface MessagePaths {
  /** A device's first telemetry message over MQTT at QoS 1, from its PUBLISH to its PUBACK. */
  readonly first: readonly string[];
  /** One like those before it, of the same device. */
  readonly repeated: readonly string[];
  /** A command from AMQP to a subscribed MQTT device that has had some, until its receipt can be read. */
  readonly command: readonly string[];
}

/** Messages of each kind. */
const TIMES = 5;
/** Long enough for what wakes up every second. */
const QUIET_MS = 2_500;
/** Behind a message that was answered: what it set going has come to rest. */
const REST_MS = 400;

/** @param checkout the folder with `src/main.ts` */
export async function messagePaths(checkout: string = root): Promise<MessagePaths> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'mooring-path-'));
  const inspectorPort = await freePort();
  const options = { connections: TIMES + 1, tls: false, bag: '', flags: ['--threads', '1'] };
  try {
    const hub = await startHub({ ...options, directory, checkout, inspectorPort });
    try {
      using inspector = await Inspector.open(inspectorPort);
      const coverage = await Coverage.begin(inspector, checkout);
      return { ...(await telemetry(hub, coverage)), command: await commands(hub, coverage) };
    } finally {
      await hub.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Prints the counts of each checkout, and the files of this one. */
export async function messagePath(
  compared: readonly { readonly name: string; readonly folder: string }[],
): Promise<void> {
  const own = await messagePaths();
  const rows: string[][] = [['what', ...compared.map(({ name }) => name), 'mooring']];
  const others: MessagePaths[] = [];
  for (const { folder } of compared) others.push(await messagePaths(folder));
  for (const kind of ['first', 'repeated', 'command'] as const) {
    rows.push([kind, ...[...others, own].map((paths) => String(paths[kind].length))]);
  }
  printTable(rows);
  for (const kind of ['first', 'repeated', 'command'] as const) {
    process.stdout.write(`\n${kind}\n${own[kind].map((file) => `  ${file}\n`).join('')}`);
  }
}

async function telemetry(hub: RunningHub, coverage: Coverage): Promise<Omit<MessagePaths, 'command'>> {
  const quiet = await coverage.during(() => sleep(QUIET_MS));
  const first: (readonly string[])[] = [];
  const repeated: (readonly string[])[] = [];
  for (const login of hub.logins.slice(0, TIMES)) {
    const socket = await connected(hub, login);
    const send = async (): Promise<void> => {
      const answered = once(socket, 'data');
      socket.write(publishPacket(login.topic, Buffer.alloc(256, 0x61), 1, 1));
      await answered;
      await sleep(REST_MS);
    };
    // What connecting has set going comes to rest.
    await sleep(3 * REST_MS);
    first.push(await coverage.during(send));
    await send();
    await send();
    repeated.push(await coverage.during(send));
    socket.destroy();
  }
  return { first: filesOf(first, quiet), repeated: filesOf(repeated, quiet) };
}

async function commands(hub: RunningHub, coverage: Coverage): Promise<readonly string[]> {
  const taken = new Map<string, () => void>();
  const device = await CommandDevice.open(hub.port, hub.logins[TIMES], (messageId) => taken.get(messageId)?.());
  const backEnd = await openBackEnd(backEndPlace(hub));
  let sent = 0;
  const send = async (): Promise<void> => {
    const messageId = `m${++sent}`;
    const arrival = new Promise<void>((resolve) => taken.set(messageId, resolve));
    await backEnd.send(device.id, messageId, Buffer.from('command'));
    await arrival;
    await sleep(REST_MS);
  };
  const runs: (readonly string[])[] = [];
  await send();
  await send();
  await sleep(3 * REST_MS);
  const quiet = await coverage.during(() => sleep(QUIET_MS));
  for (let time = 0; time < TIMES; time++) runs.push(await coverage.during(send));
  backEnd.close();
  device.close();
  return filesOf(runs, quiet);
}

/** The files of the functions that ran in each run and not while nothing was sent. */
function filesOf(runs: readonly (readonly string[])[], quiet: readonly string[]): readonly string[] {
  const idle = new Set(quiet);
  const always = runs[0].filter((name) => !idle.has(name) && runs.every((run) => run.includes(name)));
  return [...new Set(always.map((name) => name.slice(0, name.indexOf('#'))))].sort();
}

/** Resolves when the hub has let the device in. */
async function connected(hub: RunningHub, login: PublisherLogin): Promise<net.Socket> {
  const socket = net.connect({ port: hub.port, host: hub.host, noDelay: true });
  socket.write(connectPacket({ ...login, cleanSession: true, keepAliveSeconds: 0 }));
  const [connack] = (await once(socket, 'data')) as [Buffer];
  if (connack[3] !== 0) throw new Error(`CONNACK ${connack.toString('hex')}`);
  return socket;
}

interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly {
    readonly functionName: string;
    readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
  }[];
}

/** Which functions have run, by the inspector of the runtime. */
class Coverage {
  readonly #inspector: Inspector;
  readonly #sources: string;

  private constructor(inspector: Inspector, checkout: string) {
    this.#inspector = inspector;
    this.#sources = `${path.join(checkout, 'src')}${path.sep}`;
  }

  static async begin(inspector: Inspector, checkout: string): Promise<Coverage> {
    const coverage = new Coverage(inspector, checkout);
    await coverage.#everywhere('Profiler.enable');
    await coverage.#everywhere('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    return coverage;
  }

  /** The functions that run while `work` does: `{file below src}#{where in it}`. Not that of a module's own text. */
  async during(work: () => Promise<unknown>): Promise<readonly string[]> {
    await this.#taken();
    await work();
    return this.#taken();
  }

  async #taken(): Promise<readonly string[]> {
    const found = new Set<string>();
    for (const { result } of await this.#everywhere('Profiler.takePreciseCoverage')) {
      for (const { url, functions } of result as readonly ScriptCoverage[]) {
        const file = url.replace(/^file:\/\//, '');
        if (!file.startsWith(this.#sources)) continue;
        for (const { functionName, ranges } of functions) {
          const [{ startOffset, count }] = ranges;
          if (count > 0) found.add(`${file.slice(this.#sources.length)}#${startOffset} ${functionName}`);
        }
      }
    }
    return [...found];
  }

  async #everywhere(method: string, params: object = {}) {
    return [await this.#inspector.call(method, params), ...(await this.#inspector.callWorkers(method, params))];
  }
}
