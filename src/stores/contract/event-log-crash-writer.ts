/**
 * The process that `embedded/event-log/crash.test.ts` kills: writes numbered records into the log in `argv[2]` as fast as
 * it can, and says on its output which are durable, a line `partition number` per batch: all up to that one are.
 */
import fs from 'node:fs';
import { limits } from '../../base/limits.ts';
import { openEmbeddedEventLog } from '../embedded/event-log/event-log.ts';
import { fileLedger } from './file-ledger.ts';

/** The last is there where a ledger is to be kept: its file, and by how many numbers ceilings go up. */
const [folder, name, partitions, ledgerFile, ledgerStep] = process.argv.slice(2);
const partitionCount = Number(partitions);
/** Records of one partition that wait together. */
const WINDOW = 20;

const log = await openEmbeddedEventLog({
  folder,
  name: 'hub',
  partitionCount,
  retentionMs: limits.retentionMsDefault,
  segmentBytes: 300_000,
  ...(ledgerFile !== undefined && { ledger: fileLedger(ledgerFile, Number(ledgerStep)) }),
});
for (let partition = 0; partition < partitionCount; partition++) write(partition);

function write(partition: number): void {
  let next = 0;
  const { writer } = log;
  const waiter = {
    batchDurable(): void {
      fs.writeSync(1, `${partition} ${next - 1}\n`);
      send();
    },
    batchFailed(_batch: number, error: Error): never {
      throw error;
    },
  };
  const send = (): void => {
    for (let count = 0; count < WINDOW; count++) {
      const text = `${name} ${next} ${'.'.repeat((next * 37) % 500)}`;
      next++;
      const at = writer.reserve(partition, text.length);
      writer.bytes(partition).write(text, at, 'latin1');
    }
    writer.await(waiter);
  };
  send();
}
