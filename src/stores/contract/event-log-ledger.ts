import type { Ledger, LedgerEntry } from '../embedded/event-log/ledger.ts';
import type { VirtualDisk } from './event-log-disk.ts';

const folder = '/ledger';

/**
 * A ledger on a disk that fails and crashes, as `hub.json` is one on a real disk: an entry whose keeping failed may be durable all
 * the same. Each is a file of its own, of which the newest whole one counts.
 */
export async function ledgerOn(disk: VirtualDisk, step: number): Promise<Ledger> {
  const names = [...(await disk.list(folder))].sort().reverse();
  let kept: LedgerEntry | undefined;
  for (const name of names) {
    kept ??= await read(disk, `${folder}/${name}`);
  }
  let number = Number(names[0] ?? 0);
  let before: Promise<void> = Promise.resolve();
  const write = async (entry: LedgerEntry): Promise<void> => {
    const file = await disk.create(`${folder}/${String(++number).padStart(9, '0')}`);
    await file.write([Buffer.from(`${JSON.stringify(entry)}\n`)], 0);
    await file.sync();
    await disk.syncFolder(folder);
    await file.close();
  };
  // What can be read need not be on the disk: the keeping of it may have failed in an earlier run.
  if (kept !== undefined) await write(kept);
  return {
    kept,
    step,
    keep(entry) {
      const done = before.then(() => write(entry));
      before = done.catch(() => {});
      return done;
    },
  };
}

async function read(disk: VirtualDisk, name: string): Promise<LedgerEntry | undefined> {
  const file = await disk.open(name);
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  await file.close();
  const text = bytes.toString();
  return text.endsWith('}\n') ? JSON.parse(text) : undefined;
}
