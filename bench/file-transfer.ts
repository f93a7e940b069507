/**
 * Files of devices, in one run: upload and download beside nginx, memory under many uploads, and telemetry beside an upload at
 * full speed. Rounds alternate.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { runLoad } from './load/load.ts';
import { startTransfers, type TransferRequest, type TransferResult, type Transfers } from './load/transfers.ts';
import { fdatasyncMedianMs, machine, machineBusySeconds, residentMiB } from './process-facts.ts';
import { printTable, type Spread, show, spread, writeResult } from './report.ts';
import type { FileServer, FileServerKind } from './servers/file-server.ts';
import { startHub } from './servers/hub.ts';
import { filesOf, wholeUpload } from './servers/hub-files.ts';

const MIB = 2 ** 20;
const BLOCK = 4 * MIB;
const LANES = 8;
const PUBLISHERS = 50;
const SAMPLE_MS = 20;

export const fileParts = ['transfer', 'memory', 'telemetry'] as const;
export type FilePart = (typeof fileParts)[number];

export interface FileTransferOptions {
  /** The hub first. */
  readonly systems: readonly FileServerKind[];
  readonly parts: readonly FilePart[];
  readonly checkout: string;
  readonly fileMiB: number;
  /** For `memory`: uploads at a time, and the size of each. */
  readonly uploads: number;
  readonly uploadMiB: number;
  /** For `telemetry`: messages that are due per second. */
  readonly ratePerSecond: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly threads: number;
  readonly rounds: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

interface TransferRound {
  readonly uploadMBPerSecond: number;
  readonly uploadCpuSeconds: number;
  readonly downloadMBPerSecond: number;
  readonly downloadCpuSeconds: number;
  readonly clientCores: number;
  readonly otherCores: number;
}

interface MemoryRound {
  readonly idleMiB: number;
  readonly mostMiB: number;
  readonly MBPerSecond: number;
}

interface TelemetryRound {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  readonly uploadMBPerSecond: number;
  readonly otherCores: number;
}

type Scenario = 'alone' | 'beside an upload';

export async function fileTransfer(options: FileTransferOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const fdatasyncMs = fdatasyncMedianMs(options.directory);
  const transfer = options.parts.includes('transfer') ? await transferRounds(options) : undefined;
  const memory = options.parts.includes('memory') ? await memoryRounds(options) : undefined;
  const telemetry = options.parts.includes('telemetry') ? await telemetryRounds(options) : undefined;
  process.stdout.write(`\nfdatasync of 512 appended bytes on this disk: p50 ${fdatasyncMs.toFixed(2)} ms\n`);
  const { systems, checkout: _, directory: __, jsonFile, ...settings } = options;
  const named = systems.map(({ name, keeps }) => ({ name, keeps }));
  const result = { machine: machine(), fdatasyncMs, settings, systems: named, transfer, memory, telemetry };
  process.stdout.write(`${writeResult('file-transfer', result, jsonFile)}\n`);
}

async function inFolder<Result>(
  options: FileTransferOptions,
  run: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(path.join(options.directory, 'files-'));
  try {
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function transferRounds(options: FileTransferOptions) {
  const { systems } = options;
  const rounds: Record<string, TransferRound[]> = Object.fromEntries(systems.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
      rounds[system.name].push(await inFolder(options, (folder) => transferRound(system, folder, options)));
    }
  }
  const ratios: Record<string, Spread> = {};
  const own = rounds[systems[0].name];
  for (const { name } of systems.slice(1)) {
    const ratio = (of: (round: TransferRound) => number): Spread =>
      spread(own.map((round, at) => of(round) / of(rounds[name][at])));
    ratios[`upload MB/s against ${name}`] = ratio((round) => round.uploadMBPerSecond);
    ratios[`upload CPU against ${name}`] = ratio((round) => round.uploadCpuSeconds);
    ratios[`download MB/s against ${name}`] = ratio((round) => round.downloadMBPerSecond);
    ratios[`download CPU against ${name}`] = ratio((round) => round.downloadCpuSeconds);
  }
  process.stdout.write(
    `\n${options.fileMiB} MiB over TLS; up in ${BLOCK / MIB} MiB blocks, ${LANES} at a time, synced; down in one request; ` +
      `${options.rounds} rounds, median (min..max)\n`,
  );
  print<TransferRound>(rounds, [
    ['upload MB/s', (round) => round.uploadMBPerSecond],
    ['CPU s', (round) => round.uploadCpuSeconds],
    ['download MB/s', (round) => round.downloadMBPerSecond],
    ['CPU s', (round) => round.downloadCpuSeconds],
    ['client cores', (round) => round.clientCores],
    ['other cores', (round) => round.otherCores],
  ]);
  for (const [name, ratio] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(ratio)} times\n`);
  return { rounds, ratios };
}

interface Timed {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly clientCpuSeconds: number;
  readonly busySeconds: number;
}

/** Sends the requests, then does `behind`, all of it measured. */
async function timed(
  server: Omit<FileServer, 'stop'>,
  transfers: Transfers,
  requests: readonly TransferRequest[],
  behind: () => Promise<void>,
): Promise<Timed & { readonly result: TransferResult }> {
  await transfers.open;
  const cpu = server.cpuSeconds();
  const busy = machineBusySeconds();
  const begun = performance.now();
  const result = await transfers.run(requests);
  await behind();
  return {
    result,
    seconds: (performance.now() - begun) / 1000,
    cpuSeconds: server.cpuSeconds() - cpu,
    clientCpuSeconds: result.cpuSeconds,
    busySeconds: machineBusySeconds() - busy,
  };
}

async function transferRound(
  system: FileServerKind,
  folder: string,
  { fileMiB }: FileTransferOptions,
): Promise<TransferRound> {
  const server = await system.start(folder);
  const transfers = startTransfers({ port: server.port, ca: server.ca, connections: LANES });
  try {
    const bytes = fileMiB * MIB;
    // What is compiled, and made once, is so before.
    const warm = await server.upload('warm', 2 * LANES, BLOCK);
    await timed(server, transfers, warm.blocks, warm.synced);
    await warm.remove();
    const upload = await server.upload('up', Math.ceil(fileMiB / (BLOCK / MIB)), BLOCK);
    const up = await timed(server, transfers, upload.blocks, upload.synced);
    await upload.remove();
    const request = await server.download('down', bytes);
    const down = await timed(server, transfers, [request], async () => {});
    if (down.result.receivedBytes !== bytes) throw new Error(`${down.result.receivedBytes} of ${bytes} bytes came`);
    const seconds = up.seconds + down.seconds;
    const all = (of: (part: Timed) => number): number => (of(up) + of(down)) / seconds;
    return {
      uploadMBPerSecond: bytes / 1e6 / up.seconds,
      uploadCpuSeconds: up.cpuSeconds,
      downloadMBPerSecond: bytes / 1e6 / down.seconds,
      downloadCpuSeconds: down.cpuSeconds,
      clientCores: all((part) => part.clientCpuSeconds),
      otherCores: Math.max(
        0,
        all((part) => part.busySeconds - part.cpuSeconds - part.clientCpuSeconds),
      ),
    };
  } finally {
    transfers.close();
    await server.stop();
  }
}

async function memoryRounds(options: FileTransferOptions) {
  const rounds: MemoryRound[] = [];
  for (let round = 0; round < options.rounds; round++) {
    rounds.push(await inFolder(options, (folder) => memoryRound(folder, options)));
  }
  process.stdout.write(`\n${options.uploads} uploads of ${options.uploadMiB} MiB at once, ${options.rounds} rounds\n`);
  print<MemoryRound>({ mooring: rounds }, [
    ['idle MiB', (round) => round.idleMiB],
    ['most MiB', (round) => round.mostMiB],
    ['above idle', (round) => round.mostMiB - round.idleMiB],
    ['MB/s', (round) => round.MBPerSecond],
  ]);
  return { rounds };
}

async function memoryRound(directory: string, options: FileTransferOptions): Promise<MemoryRound> {
  const { uploads, uploadMiB, checkout } = options;
  // As many as one device may have open.
  const perDevice = 10;
  const devices = Math.ceil(uploads / perDevice);
  const hub = await startHub({ connections: devices, tls: true, directory, bag: '', checkout });
  try {
    const bytes = uploadMiB * MIB;
    const requests = await Promise.all(
      Array.from({ length: uploads }, (_, nth) => wholeUpload(hub, nth % devices, `f${nth}`, bytes)),
    );
    const transfers = startTransfers({ port: filesOf(hub).port, ca: hub.caText, connections: uploads });
    await transfers.open;
    const idleMiB = residentMiB(hub.pid);
    let mostMiB = idleMiB;
    const sampling = setInterval(() => {
      mostMiB = Math.max(mostMiB, residentMiB(hub.pid));
    }, SAMPLE_MS);
    try {
      const { seconds } = await transfers.run(requests);
      return { idleMiB, mostMiB, MBPerSecond: (uploads * bytes) / 1e6 / seconds };
    } finally {
      clearInterval(sampling);
      transfers.close();
    }
  } finally {
    await hub.stop();
  }
}

async function telemetryRounds(options: FileTransferOptions) {
  const rounds: Record<Scenario, TelemetryRound[]> = { alone: [], 'beside an upload': [] };
  const scenarios: readonly Scenario[] = ['alone', 'beside an upload'];
  for (let round = 0; round < options.rounds; round++) {
    for (const scenario of round % 2 === 0 ? scenarios : scenarios.toReversed()) {
      rounds[scenario].push(await inFolder(options, (folder) => telemetryRound(scenario, folder, options)));
    }
  }
  const beside = rounds['beside an upload'];
  const ratio = (of: (round: TelemetryRound) => number): Spread =>
    spread(beside.map((round, at) => of(round) / of(rounds.alone[at])));
  const ratios = { 'p99 beside an upload against alone': ratio((round) => round.p99Ms) };
  process.stdout.write(
    `\n${options.ratePerSecond} messages/s due of ${PUBLISHERS} devices at QoS 1, ${options.rounds} x ${options.seconds} s\n`,
  );
  print<TelemetryRound>(rounds, [
    ['p50 ms', (round) => round.p50Ms],
    ['p99 ms', (round) => round.p99Ms],
    ['longest ms', (round) => round.longestMs],
    ['upload MB/s', (round) => round.uploadMBPerSecond],
    ['other cores', (round) => round.otherCores],
  ]);
  for (const [name, spreads] of Object.entries(ratios)) process.stdout.write(`${name}: ${show(spreads)} times\n`);
  return { rounds, ratios };
}

async function telemetryRound(
  scenario: Scenario,
  directory: string,
  options: FileTransferOptions,
): Promise<TelemetryRound> {
  const { ratePerSecond, seconds, warmupSeconds, threads, checkout } = options;
  const hub = await startHub({ connections: PUBLISHERS, tls: false, directory, bag: '', checkout });
  try {
    const uploading = { bytes: 0, cpuSeconds: 0, isOver: scenario === 'alone' };
    const uploads = keepUploading(filesOf(hub), options, uploading);
    uploads.catch(() => {});
    const busy = { begin: 0, end: 0 };
    const at = { begin: 0, end: 0 };
    const sent = { begin: 0, end: 0 };
    const cpu = { begin: 0, end: 0 };
    const files = filesOf(hub);
    const load = await runLoad({
      target: { host: hub.host, port: hub.port, inFlight: 1000, payloadBytes: 256 },
      logins: hub.logins,
      ...{ threads, warmupSeconds, seconds, ratePerSecond },
      mark(end) {
        at[end] = performance.now() / 1000;
        busy[end] = machineBusySeconds();
        cpu[end] = files.cpuSeconds();
        sent[end] = uploading.bytes;
      },
    });
    uploading.isOver = true;
    await uploads;
    const took = at.end - at.begin;
    if (load.unacknowledged > 0) throw new Error(`${load.unacknowledged} messages were never acknowledged`);
    const known = (cpu.end - cpu.begin) / took + load.generatorCores;
    return {
      p50Ms: load.latency.percentile(0.5),
      p99Ms: load.latency.percentile(0.99),
      longestMs: load.latency.percentile(1),
      uploadMBPerSecond: (sent.end - sent.begin) / 1e6 / took,
      otherCores: Math.max(0, (busy.end - busy.begin) / took - known),
    };
  } finally {
    await hub.stop();
  }
}

/** File after file, as fast as the hub takes them. */
async function keepUploading(
  server: Omit<FileServer, 'stop'>,
  { fileMiB }: FileTransferOptions,
  state: { bytes: number; readonly isOver: boolean },
): Promise<void> {
  const blocks = Math.ceil(fileMiB / 4 / (BLOCK / MIB));
  if (state.isOver) return;
  const transfers = startTransfers({ port: server.port, ca: server.ca, connections: LANES });
  try {
    for (let nth = 0; !state.isOver; nth++) {
      const upload = await server.upload(`f${nth}`, blocks, BLOCK);
      await transfers.run(upload.blocks);
      await upload.synced();
      state.bytes += blocks * BLOCK;
      await upload.remove();
    }
  } finally {
    transfers.close();
  }
}

function print<Round>(
  rounds: Readonly<Record<string, readonly Round[]>>,
  columns: readonly (readonly [name: string, of: (round: Round) => number])[],
): void {
  printTable([
    ['', ...columns.map(([name]) => name)],
    ...Object.entries(rounds).map(([name, of]) => [name, ...columns.map(([, value]) => show(spread(of.map(value))))]),
  ]);
}
