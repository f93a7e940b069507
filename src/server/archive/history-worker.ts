/** The thread of history: unpacks what was read of the archive's files, behind those who take events. Started by `history-thread.ts`. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { lowerPriority } from '../../base/thread-priority.ts';
import { readRecords } from '../../records/archive/group-records.ts';
import { readLayout } from '../../records/archive/parquet-layout.ts';
import type { HistoryAnswer, HistoryRequest } from './history-messages.ts';

/** As `nice` has it: ingestion goes first where both want the same core. */
const PRIORITY = 5;

assert(parentPort !== null, 'this file is the start of the thread of history');
const port = parentPort;
lowerPriority(PRIORITY);

port.on('message', (request: HistoryRequest) => {
  const answer = carryOut(request);
  port.postMessage(answer, answer.kind === 'records' ? [answer.packed.bytes.buffer, answer.packed.runs.buffer] : []);
});

function carryOut(request: HistoryRequest): HistoryAnswer {
  const { id } = request;
  try {
    if (request.kind === 'layout') return { id, kind: 'layout', groups: readLayout(request.footer) };
    return { id, kind: 'records', packed: readRecords(request.group, request.pieces, request.memory) };
  } catch (error) {
    return { id, kind: 'failed', message: (error as Error).message };
  }
}
