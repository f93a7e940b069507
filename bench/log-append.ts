/**
 * Durable records per second through the event log's writer, beside a bare loop that copies the same bytes into one buffer,
 * writes and syncs it. Both are closed loops: so many records are in flight, and the next ones come when they are durable.
 *
 *     node bench/log-append.ts [--seconds 3] [--rounds 3] [--size 256] [--partitions 4] [--directory DIR] [--json FILE]
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { limits } from '../src/base/limits.ts';
import type { DurabilityWaiter } from '../src/core/events/ports.ts';
import { openEmbeddedEventLog } from '../src/stores/embedded/event-log/event-log.ts';
import { printTable, type Spread, show, spread, writeResult } from './report.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    size: { type: 'string', default: '256' },
    partitions: { type: 'string', default: '4' },
    directory: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
  },
});
const durationMs = 1000 * Number(values.seconds);
const recordBytes = Number(values.size);
const partitionCount = Number(values.partitions);
/** Records of one sender that wait together, as 20 unacknowledged messages of a device do. */
const WINDOW = 20;
const record = Buffer.alloc(recordBytes, 'r');

interface Measured {
  readonly recordsPerSecond: number;
  readonly recordsPerCpuSecond: number;
  readonly commitsPerSecond: number;
}

/** Runs `load` for the set time. It counts records and commits from the moment it is called. */
async function measure(
  load: (isOver: () => boolean) => Promise<{ records: number; commits: number }>,
): Promise<Measured> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const { records, commits } = await load(() => performance.now() - start >= durationMs);
  const seconds = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  return {
    recordsPerSecond: records / seconds,
    recordsPerCpuSecond: records / ((used.user + used.system) / 1e6),
    commitsPerSecond: commits / seconds,
  };
}

async function embeddedLog(folder: string, inFlight: number): Promise<Measured> {
  const log = await openEmbeddedEventLog({
    folder,
    name: 'bench',
    partitionCount,
    retentionMs: 3_600_000,
    retentionBytes: 512 * 1024 * 1024,
  });
  const { writer } = log;
  const measured = await measure((isOver) => {
    let [records, open] = [0, 0];
    const batchesBefore = log.stats().batchesTotal;
    return new Promise((resolve, reject) => {
      const sender = (partition: number): DurabilityWaiter => {
        const waiter = {
          batchDurable() {
            records += WINDOW;
            if (!isOver()) return send();
            open--;
            if (open === 0) resolve({ records, commits: log.stats().batchesTotal - batchesBefore });
          },
          batchFailed: (_batch: number, error: Error) => reject(error),
        };
        const send = (): void => {
          for (let count = 0; count < WINDOW; count++) {
            const at = writer.reserve(partition, recordBytes);
            record.copy(writer.bytes(partition), at);
            writer.await(waiter);
          }
        };
        open++;
        send();
        return waiter;
      };
      for (let count = 0; count < inFlight / WINDOW; count++) sender(count % partitionCount);
    });
  });
  await log.close();
  return measured;
}

async function bareLoop(folder: string, inFlight: number): Promise<Measured> {
  fs.mkdirSync(folder, { recursive: true });
  const fd = fs.openSync(path.join(folder, 'bare'), 'w');
  const write = promisify(fs.write);
  const sync = promisify(fs.fdatasync);
  const batch = Buffer.alloc(inFlight * (4 + recordBytes));
  const measured = await measure(async (isOver) => {
    let [records, commits, at] = [0, 0, 0];
    while (!isOver()) {
      for (let count = 0, place = 0; count < inFlight; count++) {
        place = batch.writeUInt32LE(recordBytes, place);
        place += record.copy(batch, place);
      }
      await write(fd, batch, 0, batch.length, at);
      await sync(fd);
      at += batch.length;
      // As much file as a segment; begun again, because overwriting is cheaper than growing.
      if (at > limits.segmentBytesDefault) {
        fs.ftruncateSync(fd, 0);
        at = 0;
      }
      records += inFlight;
      commits++;
    }
    return { records, commits };
  });
  fs.closeSync(fd);
  return measured;
}

const systems = { 'event log': embeddedLog, 'bare loop': bareLoop };
const rows = [['in flight', 'system', 'records/s', 'records/CPU s', 'commits/s']];
const results: object[] = [];
const top = fs.mkdtempSync(path.join(values.directory, 'mooring-log-append-'));
try {
  for (const inFlight of [20, 1000, 10_000]) {
    const runs: Record<string, Measured[]> = { 'event log': [], 'bare loop': [] };
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [name, run] of Object.entries(systems)) {
        const folder = path.join(top, `${name}-${inFlight}-${round}`.replace(' ', '-'));
        runs[name].push(await run(folder, inFlight));
        fs.rmSync(folder, { recursive: true });
      }
    }
    for (const [system, measured] of Object.entries(runs)) {
      const of = (key: keyof Measured): Spread => spread(measured.map((each) => each[key]));
      const figures = [of('recordsPerSecond'), of('recordsPerCpuSecond'), of('commitsPerSecond')];
      rows.push([String(inFlight), system, ...figures.map(show)]);
      const [recordsPerSecond, recordsPerCpuSecond, commitsPerSecond] = figures;
      results.push({ inFlight, system, recordsPerSecond, recordsPerCpuSecond, commitsPerSecond });
    }
  }
} finally {
  fs.rmSync(top, { recursive: true });
}
printTable(rows);
if (values.json !== undefined) {
  writeResult('log-append', { recordBytes, partitionCount, seconds: Number(values.seconds), results }, values.json);
}
