/** The archive's thread: makes files of events, behind those who take events. Started by `file-builders.ts`. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { lowerPriority } from '../../base/thread-priority.ts';
import { EventFile } from '../../records/archive/event-file.ts';
import { RowReader } from '../../records/archive/row-reader.ts';
import type { BuilderAnswer, BuilderRequest } from './builder-messages.ts';

/** As `nice` has it: ingestion goes first where both want the same core. */
const PRIORITY = 5;

assert(parentPort !== null, "this file is the start of the archive's thread");
const port = parentPort;
const files = new Map<number, EventFile>();
const rows = new RowReader();
lowerPriority(PRIORITY);

port.on('message', (request: BuilderRequest) => {
  const { id } = request;
  if (request.kind === 'abandon') {
    files.delete(id);
    return;
  }
  let answer: BuilderAnswer;
  try {
    const pieces = carryOut(request);
    answer = { id, kind: 'done', pieces, ...(request.kind === 'add' && { memory: request.events.bytes.buffer }) };
  } catch (error) {
    files.delete(id);
    answer = { id, kind: 'failed', message: (error as Error).message };
  }
  port.postMessage(answer, answer.kind === 'done' ? memoryOf(answer) : []);
});

function memoryOf({ pieces, memory }: Extract<BuilderAnswer, { kind: 'done' }>): ArrayBuffer[] {
  return [...pieces.map(({ buffer }) => buffer), ...(memory === undefined ? [] : [memory])];
}

function carryOut(request: Exclude<BuilderRequest, { kind: 'abandon' }>): readonly Uint8Array<ArrayBuffer>[] {
  if (request.kind === 'begin') {
    files.set(request.id, new EventFile(request.format, request.file, rows));
    return [];
  }
  const file = files.get(request.id);
  if (file === undefined) throw new Error('the file is not made any more');
  if (request.kind === 'add') {
    file.add(request.events);
    return [];
  }
  files.delete(request.id);
  return file.finish();
}
