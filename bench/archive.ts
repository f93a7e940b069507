/**
 * The archive: events of the archiver per CPU second (from the journal on the disk to the file in memory, in its thread), the size of
 * its Parquet beside the same rows written by pyarrow, and history read beside the journal read, per CPU second of the process, unpacked by the loop that reads and by
 * the thread of history, with the longest turn of the loop. Bodies are JSON of 256 bytes,
 * with three properties and a message id.
 *
 *     node bench/archive.ts [--events 300000] [--rounds 5] [--directory DIR] [--json FILE]
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { assert } from '../src/base/assert.ts';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { startArchiver } from '../src/core/archive/archiver.ts';
import { FileBlocks, listedFiles } from '../src/core/archive/blocks.ts';
import { historyLog } from '../src/core/archive/history.ts';
import type { EventLog } from '../src/core/events/ports.ts';
import type { EventRun } from '../src/core/events/types.ts';
import type { ArchiveEndpoint } from '../src/core/routes/endpoints/archive.ts';
import { readEndpoint } from '../src/core/routes/endpoints/kinds.ts';
import { routedLog } from '../src/core/routes/routed-log.ts';
import { noRoutes } from '../src/core/routes/types.ts';
import { createHistoryFiles } from '../src/records/archive/history-files.ts';
import { recordCodec, routingMark, writeRoutingMark } from '../src/records/record-codec.ts';
import { createFileBuilders } from '../src/server/archive/file-builders.ts';
import { createHistoryThread } from '../src/server/archive/history-thread.ts';
import { openEmbeddedEventLog } from '../src/stores/embedded/event-log/event-log.ts';
import { createMemoryRoutes } from '../src/stores/memory/routes.ts';
import { openTreeStore } from '../src/stores/objects/tree/tree-store.ts';
import { patchEventAnnotations, RECORD_HEADER_BYTES } from '../src/wire/amqp/record.ts';
import { writeTransferHead } from '../src/wire/amqp/transfer.ts';
import { printTable, type Spread, show, spread, writeResult } from './report.ts';

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '300000' },
    rounds: { type: 'string', default: '5' },
    directory: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
  },
});
const count = Number(values.events);
// Events that were read must be gone from what is kept when they are read again.
assert(count >= 300_000, 'there are more events than history keeps in memory');
const top = fs.mkdtempSync(path.join(values.directory, 'mooring-archive-'));
const READ_BYTES = 256 * 1024;

const log = await openEmbeddedEventLog({
  folder: path.join(top, 'log'),
  name: 'hub',
  partitionCount: 1,
  retentionMs: 1e12,
});

/** 256 bytes of JSON; the values vary as those of sensors do, the rest is padding. */
function body(nth: number): Buffer {
  const value = { t: 20 + ((nth * 7919) % 10_007) / 1000, h: ((nth * 104_729) % 1_000_003) / 10_000, n: nth };
  const text = JSON.stringify({ ...value, pad: '' });
  return Buffer.from(text.replace('"pad":""', `"pad":"${'x'.repeat(256 - text.length)}"`));
}

async function fill(): Promise<void> {
  const { writer } = log;
  for (let nth = 0; nth < count; ) {
    for (const end = Math.min(count, nth + 5000); nth < end; nth++) {
      const record = recordCodec.encode(
        {
          deviceId: `device-${nth % 50}`,
          generationId: '1',
          authMethod: '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
          source: 'Telemetry',
        },
        {
          system: {
            messageId: ((nth * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0').repeat(4),
            contentType: 'application/json',
            contentEncoding: 'utf-8',
          },
          properties: [
            ['site', `s${nth % 20}`],
            ['kind', 'telemetry'],
            ['level', nth % 7 === 0 ? 'alarm' : 'normal'],
          ],
          body: body(nth),
        },
        Date.now(),
      );
      writeRoutingMark(record, 0, 1);
      const at = writer.reserve(0, record.length);
      record.copy(writer.bytes(0), at);
    }
    await new Promise<void>((resolve, reject) => {
      writer.await({ batchDurable: () => resolve(), batchFailed: (_, error) => reject(error) });
    });
  }
}

const endpoint = readEndpoint({ name: 'cold', kind: 'archive' }, 'endpoint') as ArchiveEndpoint;

interface Archived {
  readonly eventsPerCpuSecond: number;
  readonly bytes: number;
  readonly folder: string;
  readonly cursors: ReturnType<typeof createMemoryRoutes>['cursors'];
  readonly store: Awaited<ReturnType<typeof openTreeStore>>;
}

// Threads live on between rounds, as they do where files and readers come more often than every two minutes.
const decoder = createHistoryThread({ clock: systemClock, log: silentLog });
const builders = createFileBuilders({ clock: systemClock, log: silentLog });

/** The CPU time of the whole process: reading the journal, the thread that makes the files, writing them. */
async function archive(round: number): Promise<Archived> {
  const folder = path.join(top, `archive-${round}`);
  const store = await openTreeStore(folder, 'bench');
  const { routes, cursors } = createMemoryRoutes();
  await routes.replace({ ...noRoutes, number: 1, endpoints: [{ endpoint, slot: 0, since: 1 }] }, [0]);
  const cpu = process.cpuUsage();
  const archiver = startArchiver({
    ...{
      endpoint: { ...endpoint, fileSeconds: 0 },
      slot: 0,
      since: 1,
      eventHub: 'hub',
      node: 'bench',
      cursors,
      store,
      builders,
    },
    ...{ log: routedLog(log, routingMark), clock: systemClock, logger: silentLog },
  });
  while (archiver.unarchived().get(0) !== count) await new Promise((resolve) => setTimeout(resolve, 20));
  const { user, system } = process.cpuUsage(cpu);
  const { bytes } = archiver.status().totals;
  await archiver.close();
  return { eventsPerCpuSecond: count / ((user + system) / 1e6), bytes, folder, cursors, store };
}

interface Reading {
  readonly eventsPerCpuSecond: number;
  /** The longest time for which the loop did nothing else, with what the machine was doing meanwhile. */
  readonly turnMs: number;
}

/** Reads everything and lays it out as a reader's link does, without sending it. */
async function read(from: EventLog): Promise<Reading> {
  const turns = monitorEventLoopDelay({ resolution: 1 });
  turns.enable();
  const cpu = process.cpuUsage();
  for (let next = 0; next < count; ) {
    const answer = await from.read(0, next, READ_BYTES);
    for (const run of answer) next = layOut(run);
    from.giveBack(answer);
    // A link writes what it has laid out, and others have their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { user, system } = process.cpuUsage(cpu);
  turns.disable();
  return { eventsPerCpuSecond: count / ((user + system) / 1e6), turnMs: turns.max / 1e6 };
}

async function msToFirst(from: EventLog): Promise<number> {
  const began = performance.now();
  from.giveBack(await from.read(0, 0, READ_BYTES));
  return performance.now() - began;
}

const out = Buffer.alloc(1024 * 1024);

/** Each message copied, with its sequence number, offset and time: what a link does (`event-delivery.ts`). */
function layOut({ firstSequence, count, time, bytes, start }: EventRun): number {
  let at = start;
  for (let sequence = firstSequence; sequence < firstSequence + count; sequence++) {
    const message = at + 4 + RECORD_HEADER_BYTES;
    at += 4 + bytes.readUInt32LE(at);
    const head = writeTransferHead(out, 0, 0, 0, sequence % 2 ** 32, false, at - message);
    bytes.copy(out, head, message, at);
    patchEventAnnotations(out, head, sequence, time);
  }
  return firstSequence + count;
}

/** The log as if retention had taken all of it. */
const gone: EventLog = {
  ...log,
  partition: async () => ({ partition: 0, firstSequence: count, lastSequence: count - 1, lastTime: 1 }),
  lastKnown: () => ({ partition: 0, firstSequence: count, lastSequence: count - 1, lastTime: 1 }),
};

/** The same rows by pyarrow, summed over the files; undefined = it is not installed. */
function pyarrowBytes(files: readonly string[]): number | undefined {
  const folder = path.join(import.meta.dirname, '..', 'test-servers', 'archive');
  const python = path.join(folder, '.venv', 'bin', 'python');
  if (!fs.existsSync(python)) return undefined;
  return files.reduce(
    (sum, file) => sum + Number(execFileSync(python, [path.join(folder, 'read.py'), 'size', file])),
    0,
  );
}

try {
  await fill();
  const archived: number[] = [];
  const ratios: number[] = [];
  const journal: number[] = [];
  const history: number[] = [];
  const firsts: number[] = [];
  const threaded: number[] = [];
  const turns = { journal: [] as number[], loop: [] as number[], thread: [] as number[] };
  let size: Spread | undefined;
  let bytesPerEvent = 0;
  // A hub runs for long: what starts and is compiled on the way is not counted.
  await archive(-1);
  fs.rmSync(path.join(top, 'archive--1'), { recursive: true });
  for (let round = 0; round < Number(values.rounds); round++) {
    const made = await archive(round);
    archived.push(made.eventsPerCpuSecond);
    bytesPerEvent = made.bytes / count;
    const { cursors, store } = made;
    const pastBy = (by?: typeof decoder): EventLog =>
      historyLog({
        ...{ log: gone, cursors, files: createHistoryFiles(by), clock: systemClock },
        archive: () => ({ endpoint: 'cold', since: 1, store }),
      });
    const [byLoop, byThread] = [pastBy(), pastBy(decoder)];
    if (round === 0) for (const warmed of [log, byLoop]) await read(warmed);
    // All is read through, so that nothing is left of what is read again. Whoever reads first waits for the list and a file's end, too.
    for (const warmed of [byLoop, byThread]) await read(warmed);
    firsts.push(await msToFirst(pastBy(decoder)));
    const [fromJournal, fromArchive, fromThread] = [await read(log), await read(byLoop), await read(byThread)];
    threaded.push(fromThread.eventsPerCpuSecond);
    turns.journal.push(fromJournal.turnMs);
    turns.loop.push(fromArchive.turnMs);
    turns.thread.push(fromThread.turnMs);
    journal.push(fromJournal.eventsPerCpuSecond);
    history.push(fromArchive.eventsPerCpuSecond);
    ratios.push(fromThread.eventsPerCpuSecond / fromJournal.eventsPerCpuSecond);
    if (round === 0) {
      const blocks = await FileBlocks.load(cursors, { endpoint: 'cold', since: 1, partition: 0 });
      const files: string[] = [];
      for await (const block of blocks.all()) {
        for (const file of listedFiles(block)) files.push(path.join(made.folder, file.path));
      }
      const theirs = pyarrowBytes(files);
      if (theirs !== undefined) size = spread([made.bytes / theirs]);
    }
    fs.rmSync(made.folder, { recursive: true });
  }
  printTable([
    ['what', 'figure'],
    ['archiver, events per CPU second', show(spread(archived))],
    ['Parquet, bytes per event', show(spread([bytesPerEvent]))],
    ['Parquet, of what pyarrow needs', size === undefined ? 'pyarrow is not installed' : show(size)],
    ['history by its thread, events per CPU second', show(spread(threaded))],
    ['history by the loop, events per CPU second', show(spread(history))],
    ['journal, events per CPU second', show(spread(journal))],
    ['history by its thread, of journal', show(spread(ratios))],
    ['longest turn, journal, ms', show(spread(turns.journal))],
    ['longest turn, history by the loop, ms', show(spread(turns.loop))],
    ['longest turn, history by its thread, ms', show(spread(turns.thread))],
    ['history, ms to the first events', show(spread(firsts))],
  ]);
  const result = { events: count, archived, bytesPerEvent, size, history, threaded, journal, ratios, firsts, turns };
  process.stdout.write(`${writeResult('archive', result, values.json)}\n`);
} finally {
  await Promise.all([builders.close(), decoder.close()]);
  await log.close();
  fs.rmSync(top, { recursive: true });
}
