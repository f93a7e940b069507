import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type BackEnd, openBackEnd } from './load/back-end.ts';
import { CommandDevice } from './load/command-device.ts';
import { Histogram } from './load/histogram.ts';
import { cpuSeconds, fdatasyncMedianMs, machine, residentMiB } from './process-facts.ts';
import { figure, printTable, writeResult } from './report.ts';
import { backEndPlace, type RunningHub, startHub } from './servers/hub.ts';

export interface CommandRoundtripOptions {
  /** Numbers of devices to measure with, one after another. */
  readonly devices: readonly number[];
  readonly payloadBytes: number;
  /** Commands of one device that are sent and not yet taken. */
  readonly inFlight: number;
  readonly seconds: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

interface Figures {
  readonly devices: number;
  readonly commands: number;
  readonly commandsPerSecond: number;
  readonly perServerCpuSecond: number;
  /** Sent to stored, and sent to taken by the device, milliseconds. */
  readonly storedP50Ms: number;
  readonly storedP99Ms: number;
  readonly takenP50Ms: number;
  readonly takenP99Ms: number;
  /** Last command taken to last receipt read, seconds: a batch that is not full waits for others. */
  readonly receiptsSeconds: number;
  readonly residentMiB: number;
}

/** A device may hold 50 commands; the bench's windows stay below. */
const IN_FLIGHT_MAX = 40;
const RECEIPTS_WAIT_MS = 60_000;

/** Commands with full receipts from one back end (AMQP) to devices (MQTT), which complete each at once. */
export async function commandRoundtrip(options: CommandRoundtripOptions): Promise<void> {
  if (options.inFlight > IN_FLIGHT_MAX) throw new Error(`--in-flight: at most ${IN_FLIGHT_MAX}`);
  mkdirSync(options.directory, { recursive: true });
  const fdatasyncMs = fdatasyncMedianMs(options.directory);
  const results: Figures[] = [];
  for (const devices of options.devices) results.push(await measure(devices, options));
  process.stdout.write(
    `\ncommands of ${options.payloadBytes} bytes, full receipts, AMQP to MQTT QoS 1, plain TCP, ` +
      `${options.inFlight} in flight per device, ${options.seconds} s each\n`,
  );
  printTable([
    [
      'devices',
      'commands/s',
      'per CPU s',
      'stored p50 ms',
      'p99',
      'taken p50 ms',
      'p99',
      'receipts after s',
      'RSS MiB',
    ],
    ...results.map((row) =>
      [
        row.devices,
        row.commandsPerSecond,
        row.perServerCpuSecond,
        row.storedP50Ms,
        row.storedP99Ms,
        row.takenP50Ms,
        row.takenP99Ms,
        row.receiptsSeconds,
        row.residentMiB,
      ].map(figure),
    ),
  ]);
  process.stdout.write(`fdatasync of 512 appended bytes on this disk: p50 ${fdatasyncMs.toFixed(2)} ms\n`);
  const { jsonFile, directory: _, ...settings } = options;
  process.stdout.write(
    `${writeResult('command-roundtrip', { machine: machine(), fdatasyncMs, settings, results }, jsonFile)}\n`,
  );
}

async function measure(count: number, options: CommandRoundtripOptions): Promise<Figures> {
  const directory = mkdtempSync(path.join(options.directory, 'mooring-'));
  try {
    const hub = await startHub({ connections: count, tls: false, directory, bag: '' });
    try {
      return await drive(hub, count, options);
    } finally {
      await hub.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function drive(hub: RunningHub, count: number, options: CommandRoundtripOptions): Promise<Figures> {
  const taken = new Map<string, () => void>();
  const devices = await Promise.all(
    hub.logins.map((login) =>
      CommandDevice.open(hub.port, login, (messageId) => {
        taken.get(messageId)?.();
        taken.delete(messageId);
      }),
    ),
  );
  const backEnd = await openBackEnd(backEndPlace(hub));
  const stored = new Histogram();
  const delivered = new Histogram();
  const body = Buffer.alloc(options.payloadBytes, 0x61);
  const cpu = cpuSeconds(hub.pid);
  const begun = performance.now();
  const end = begun + options.seconds * 1000;
  let sent = 0;
  const lane = async (deviceId: string): Promise<void> => {
    while (performance.now() < end) {
      const messageId = `m${++sent}`;
      const at = performance.now();
      const arrival = new Promise<void>((resolve) => taken.set(messageId, resolve));
      await backEnd.send(deviceId, messageId, body);
      stored.record(performance.now() - at);
      await arrival;
      delivered.record(performance.now() - at);
    }
  };
  await Promise.all(devices.flatMap(({ id }) => Array.from({ length: options.inFlight }, () => lane(id))));
  const seconds = (performance.now() - begun) / 1000;
  const cores = (cpuSeconds(hub.pid) - cpu) / seconds;
  const receiptsSeconds = await receiptsOf(backEnd, sent);
  const figures = {
    devices: count,
    commands: sent,
    commandsPerSecond: sent / seconds,
    perServerCpuSecond: sent / seconds / cores,
    storedP50Ms: stored.percentile(0.5),
    storedP99Ms: stored.percentile(0.99),
    takenP50Ms: delivered.percentile(0.5),
    takenP99Ms: delivered.percentile(0.99),
    receiptsSeconds,
    residentMiB: residentMiB(hub.pid),
  };
  backEnd.close();
  for (const device of devices) device.close();
  return figures;
}

/** Seconds until a receipt of each command has been read. @throws Error if one is missing, twice, or not a success. */
async function receiptsOf(backEnd: BackEnd, sent: number): Promise<number> {
  const begun = performance.now();
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${backEnd.receipts.length} receipts of ${sent} commands after ${RECEIPTS_WAIT_MS} ms`)),
      RECEIPTS_WAIT_MS,
    );
    const look = (): void => {
      if (backEnd.receipts.length < sent) return;
      clearTimeout(timer);
      resolve();
    };
    backEnd.onReceipts(look);
    look();
  });
  const ids = new Set(backEnd.receipts.map(({ messageId }) => messageId));
  const bad = backEnd.receipts.filter(({ status }) => status !== 'Success').length;
  if (ids.size !== sent || backEnd.receipts.length !== sent || bad > 0) {
    throw new Error(`${sent} commands, ${backEnd.receipts.length} receipts, ${ids.size} ids, ${bad} not a success`);
  }
  return (performance.now() - begun) / 1000;
}
