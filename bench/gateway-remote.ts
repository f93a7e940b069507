/**
 * What a gateway beside the devices costs: lines of text over TCP into `mooring gateway run line`, batches over AMQP with TLS into the hub, both
 * durable, beside devices that publish to the hub by plain MQTT. Messages the hub has taken, by the CPU time of gateway and hub together.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApiClient } from '../src/api/client.ts';
import { runLoad } from './load/load.ts';
import { cpuSeconds, machine, residentMiB } from './process-facts.ts';
import { printTable, type RoundOptions, show, spread, writeResult } from './report.ts';
import { type RunningHub, startHub } from './servers/hub.ts';
import { startProgram, stopProgram } from './servers/server.ts';
import type { Shape } from './telemetry-in.ts';

const root = path.dirname(import.meta.dirname);

interface Round {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  readonly hubCores: number;
  readonly gatewayCores: number;
  readonly gatewayMiB: number;
}

export interface GatewayRemoteOptions extends RoundOptions {
  readonly shape: Shape;
  readonly threads: number;
}

const MQTT = 'MQTT to the hub';
const LINE = 'line by a gateway';

export async function gatewayRemote(options: GatewayRemoteOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const rounds: Record<string, Round[]> = { [MQTT]: [], [LINE]: [] };
  const kinds = [
    [MQTT, throughMqtt],
    [LINE, throughGateway],
  ] as const;
  for (let round = 0; round < options.rounds; round++) {
    for (const [name, measure] of round % 2 === 0 ? kinds : kinds.toReversed()) {
      const directory = mkdtempSync(path.join(options.directory, 'gateway-'));
      const hub = await startHub({ connections: options.shape.connections, tls: false, directory, bag: '' });
      try {
        rounds[name].push(await measure(hub, directory, options));
      } finally {
        await hub.stop();
        rmSync(directory, { recursive: true, force: true });
      }
    }
  }
  const ratios = rounds[LINE].map(({ perCpuSecond }, at) => perCpuSecond / rounds[MQTT][at].perCpuSecond);
  const column = (name: string, of: (round: Round) => number): string => show(spread(rounds[name].map(of)));
  const { connections, inFlight, payloadBytes } = options.shape;
  process.stdout.write(`${connections} connections x ${inFlight} in flight x ${payloadBytes} bytes\n`);
  printTable([
    ['', 'messages/s', 'per CPU s of all', 'hub cores', 'gateway cores', 'gateway RSS MiB'],
    ...[MQTT, LINE].map((name) => [
      name,
      column(name, (round) => round.perSecond),
      column(name, (round) => round.perCpuSecond),
      column(name, (round) => round.hubCores),
      column(name, (round) => round.gatewayCores),
      column(name, (round) => round.gatewayMiB),
    ]),
  ]);
  process.stdout.write(`${LINE} / ${MQTT}, per CPU second: ${show(spread(ratios))} (wanted: 0.2)\n`);
  const { directory: _, jsonFile, ...settings } = options;
  const result = { machine: machine(), settings, rounds, ratios };
  process.stdout.write(`${writeResult('gateway-remote', result, jsonFile)}\n`);
}

async function throughMqtt(hub: RunningHub, _: string, options: GatewayRemoteOptions): Promise<Round> {
  const { inFlight, payloadBytes } = options.shape;
  const [cpu, at] = [
    { begin: 0, end: 0 },
    { begin: 0, end: 0 },
  ];
  const load = await runLoad({
    target: { host: hub.host, port: hub.port, inFlight, payloadBytes },
    logins: hub.logins,
    threads: options.threads,
    warmupSeconds: options.warmupSeconds,
    seconds: options.seconds,
    mark(end) {
      cpu[end] = cpuSeconds(hub.pid);
      at[end] = performance.now() / 1000;
    },
  });
  const cores = (cpu.end - cpu.begin) / (at.end - at.begin);
  const perSecond = load.acknowledgedPerSecond;
  return { perSecond, perCpuSecond: perSecond / cores, hubCores: cores, gatewayCores: 0, gatewayMiB: 0 };
}

async function throughGateway(hub: RunningHub, directory: string, options: GatewayRemoteOptions): Promise<Round> {
  const { child, ready } = await startProgram(
    process.execPath,
    [
      ...[path.join(root, 'src/main.ts'), 'gateway', 'run', 'line', '--data-dir', path.join(directory, 'data')],
      ...['--folder', path.join(directory, 'gateway'), '--status-port', '0', '--set', 'port=0', '--set', 'format=text'],
    ],
    /listens on 127\.0\.0\.1:(\d+)[\s\S]*http:\/\/127\.0\.0\.1:(\d+)[\s\S]*^ready$/m,
    30_000,
  );
  const [, port, statusPort] = ready;
  const gateway = child.pid as number;
  try {
    const status = async (): Promise<Record<string, number>> =>
      (await (await fetch(`http://127.0.0.1:${statusPort}/health`)).json()) as Record<string, number>;
    while (!(await status()).hubReachable) await sleep(50);
    const api = createApiClient({
      connectionString: hub.endpoints.connectionStrings.iothubowner,
      port: hub.endpoints.ports.https as number,
      ca: hub.caText,
    });
    const line = 'x'.repeat(options.shape.payloadBytes);
    const lanes: LineLane[] = [];
    for (const { clientId } of hub.logins) {
      const { authentication } = await api.devices.get(clientId);
      const key = authentication?.symmetricKey?.primaryKey ?? '';
      lanes.push(await LineLane.open(Number(port), `login ${clientId} ${key}`, line, options.shape.inFlight));
    }
    api.close();
    await sleep(options.warmupSeconds * 1000);
    const look = async () => ({
      taken: (await status()).forwarded,
      hub: cpuSeconds(hub.pid),
      gateway: cpuSeconds(gateway),
      at: performance.now() / 1000,
    });
    const before = await look();
    await sleep(options.seconds * 1000);
    const after = await look();
    const gatewayMiB = residentMiB(gateway);
    const { batches, forwarded, sentBytes } = await status();
    const perBatch = (forwarded / batches).toFixed(0);
    process.stdout.write(
      `${perBatch} messages a batch, ${(sentBytes / forwarded).toFixed(0)} bytes of AMQP a message\n`,
    );
    for (const lane of lanes) lane.close();
    const seconds = after.at - before.at;
    const perSecond = (after.taken - before.taken) / seconds;
    const [hubCores, gatewayCores] = [(after.hub - before.hub) / seconds, (after.gateway - before.gateway) / seconds];
    return { perSecond, perCpuSecond: perSecond / (hubCores + gatewayCores), hubCores, gatewayCores, gatewayMiB };
  } finally {
    await stopProgram(child);
  }
}

/** A device of the adapter `line` that keeps so many lines under way. */
class LineLane {
  readonly #socket: net.Socket;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  static async open(port: number, login: string, line: string, inFlight: number): Promise<LineLane> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    socket.write(`${login}\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    if (answer.toString() !== 'ok\n') throw new Error(`the login was answered ${answer}`);
    const message = `${line}\n`;
    socket.on('data', (chunk: Buffer) => {
      let answers = 0;
      for (const byte of chunk) if (byte === 0x0a) answers++;
      if (chunk.includes('no ')) throw new Error(`a line was answered ${chunk}`);
      socket.write(message.repeat(answers));
    });
    socket.write(message.repeat(inFlight));
    return new LineLane(socket);
  }

  close(): void {
    this.#socket.destroy();
  }
}
