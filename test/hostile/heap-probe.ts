/**
 * Loaded into a hub that a test starts (`--import`), into each of its threads. On SIGUSR2 every thread collects its garbage and
 * writes what is alive into the folder of HEAP_PROBE_FOLDER: `<thread>.heapsnapshot`, which holds every string, and
 * `<thread>.buffers`, the bytes of every buffer, which no snapshot holds. Nothing of it is part of the program.
 */
import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import inspector from 'node:inspector';
import path from 'node:path';
import v8 from 'node:v8';
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads';

const folder = process.env.HEAP_PROBE_FOLDER as string;
// Else a snapshot keeps only the first kilobyte of each.
v8.setFlagsFromString('--heap-snapshot-string-limit=16777216');

const channel = new BroadcastChannel('heap-probe');
channel.onmessage = look;
channel.unref();
if (isMainThread) {
  process.on('SIGUSR2', () => {
    channel.postMessage('');
    look();
  });
}

function look(): void {
  const file = path.join(folder, isMainThread ? 'main' : `thread-${threadId}`);
  const buffers = openSync(`${file}.part`, 'w');
  for (const buffer of allBuffers()) writeSync(buffers, new Uint8Array(buffer));
  closeSync(buffers);
  renameSync(`${file}.part`, `${file}.buffers`);
  v8.writeHeapSnapshot(`${file}.part`);
  // Last: the test that waits for this file finds both.
  renameSync(`${file}.part`, `${file}.heapsnapshot`);
}

/** Those that are reachable: the inspector collects garbage before it looks. */
function allBuffers(): readonly (ArrayBuffer | SharedArrayBuffer)[] {
  const session = new inspector.Session();
  session.connect();
  const found: (ArrayBuffer | SharedArrayBuffer)[] = [];
  const holder = globalThis as { heapProbe?: (ArrayBuffer | SharedArrayBuffer)[] };
  // Calls back before it returns.
  const call = <Result>(method: string, parameters: object): Result => {
    let answer: Result | undefined;
    session.post(method, parameters, (error, result) => {
      if (error !== null) throw new Error(`${method}: ${error.message}`);
      answer = result as Result;
    });
    return answer as Result;
  };
  for (const kind of ['ArrayBuffer', 'SharedArrayBuffer']) {
    const { result } = call<inspector.Runtime.EvaluateReturnType>('Runtime.evaluate', {
      expression: `${kind}.prototype`,
    });
    const { objects } = call<inspector.Runtime.QueryObjectsReturnType>('Runtime.queryObjects', {
      prototypeObjectId: result.objectId,
    });
    call('Runtime.callFunctionOn', {
      objectId: objects.objectId,
      functionDeclaration: 'function () { globalThis.heapProbe = this; }',
    });
    found.push(...(holder.heapProbe ?? []));
    delete holder.heapProbe;
  }
  session.disconnect();
  return found;
}
