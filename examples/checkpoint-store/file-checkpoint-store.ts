/**
 * A CheckpointStore for the stock `@azure/event-hubs` package that keeps its state in a folder: how far each partition
 * was read, and which of several readers on this machine owns it. The hub keeps no reader's progress.
 *
 *     import { EventHubConsumerClient } from '@azure/event-hubs';
 *     const store = new FileCheckpointStore('./checkpoints');
 *     const client = new EventHubConsumerClient('$Default', connectionString, store);
 *     client.subscribe({
 *       async processEvents(events, context) {
 *         // ... work ...
 *         if (events.length > 0) await context.updateCheckpoint(events[events.length - 1]);
 *       },
 *       async processError(error) { console.error(error); },
 *     });
 *
 * A checkpoint is on disk when `updateCheckpoint` resolves. A claim is a new file whose name holds the next version, so
 * that of two readers which claim at the same time one fails. The folder must be on a local disk.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import path from 'node:path';

/** As `@azure/event-hubs` declares it. */
export interface Place {
  fullyQualifiedNamespace: string;
  eventHubName: string;
  consumerGroup: string;
}

/** As `@azure/event-hubs` declares it. */
export interface Checkpoint extends Place {
  partitionId: string;
  sequenceNumber: number;
  offset: string;
}

/** As `@azure/event-hubs` declares it. */
export interface PartitionOwnership extends Place {
  partitionId: string;
  ownerId: string;
  lastModifiedTimeInMs?: number;
  etag?: string;
}

/** Has the methods of the package's interface `CheckpointStore`. */
export class FileCheckpointStore {
  readonly #folder: string;

  /** @param folder is made if it does not exist */
  constructor(folder: string) {
    this.#folder = folder;
  }

  async listCheckpoints(namespace: string, eventHub: string, consumerGroup: string): Promise<Checkpoint[]> {
    const folder = await this.#placeFolder(namespace, eventHub, consumerGroup);
    const names = (await readdir(folder)).filter((name) => name.startsWith('checkpoint-'));
    return Promise.all(names.map((name) => readJson<Checkpoint>(path.join(folder, name))));
  }

  async updateCheckpoint(checkpoint: Checkpoint): Promise<void> {
    const folder = await this.#folderOf(checkpoint);
    const temporary = await writeNew(folder, checkpoint);
    await rename(temporary, path.join(folder, `checkpoint-${encodeURIComponent(checkpoint.partitionId)}`));
    await syncFolder(folder);
  }

  async listOwnership(namespace: string, eventHub: string, consumerGroup: string): Promise<PartitionOwnership[]> {
    const folder = await this.#placeFolder(namespace, eventHub, consumerGroup);
    const found: PartitionOwnership[] = [];
    for (const [partition, versions] of await ownershipVersions(folder)) {
      const version = Math.max(...versions);
      const ownership = await readJson<PartitionOwnership>(path.join(folder, ownershipName(partition, version))).catch(
        absentIfGone,
      );
      if (ownership !== undefined) found.push({ ...ownership, etag: String(version) });
    }
    return found;
  }

  /** Claims what nobody has claimed since it was listed; the answer has those that were won. */
  async claimOwnership(wanted: PartitionOwnership[]): Promise<PartitionOwnership[]> {
    const won: PartitionOwnership[] = [];
    for (const ownership of wanted) {
      const claimed = await this.#claim(ownership);
      if (claimed !== undefined) won.push(claimed);
    }
    return won;
  }

  async #claim(ownership: PartitionOwnership): Promise<PartitionOwnership | undefined> {
    const folder = await this.#folderOf(ownership);
    const partition = encodeURIComponent(ownership.partitionId);
    const seen = ownership.etag === undefined ? 0 : Number(ownership.etag);
    if ((await highest(folder, partition)) !== seen) return undefined;
    const claimed = { ...ownership, lastModifiedTimeInMs: Date.now(), etag: String(seen + 1) };
    const temporary = await writeNew(folder, claimed);
    try {
      // Unlike a rename, a link fails when the name is taken.
      await link(temporary, path.join(folder, ownershipName(partition, seen + 1)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
      throw error;
    } finally {
      await unlink(temporary);
    }
    if ((await highest(folder, partition)) !== seen + 1) return undefined;
    for (const old of (await ownershipVersions(folder)).get(partition) ?? []) {
      if (old <= seen) await unlink(path.join(folder, ownershipName(partition, old))).catch(absentIfGone);
    }
    return claimed;
  }

  #folderOf({ fullyQualifiedNamespace, eventHubName, consumerGroup }: Place): Promise<string> {
    return this.#placeFolder(fullyQualifiedNamespace, eventHubName, consumerGroup);
  }

  async #placeFolder(namespace: string, eventHub: string, consumerGroup: string): Promise<string> {
    const names = [namespace, eventHub, consumerGroup].map((name) => encodeURIComponent(name.toLowerCase()));
    const folder = path.join(this.#folder, ...names);
    await mkdir(folder, { recursive: true });
    return folder;
  }
}

const ownershipName = (partition: string, version: number): string => `owner-${partition}-${version}`;

/** Versions that are there, by (encoded) partition. */
async function ownershipVersions(folder: string): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  for (const name of await readdir(folder)) {
    const match = /^owner-(.+)-(\d+)$/.exec(name);
    if (match !== null) found.set(match[1], [...(found.get(match[1]) ?? []), Number(match[2])]);
  }
  return found;
}

async function highest(folder: string, partition: string): Promise<number> {
  return Math.max(0, ...((await ownershipVersions(folder)).get(partition) ?? []));
}

/** Writes a value to a file with a name of its own, down to the disk. */
async function writeNew(folder: string, value: unknown): Promise<string> {
  const name = path.join(folder, `new-${randomUUID()}`);
  const file = await open(name, 'wx');
  try {
    await file.writeFile(JSON.stringify(value));
    await file.sync();
  } finally {
    await file.close();
  }
  return name;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readJson<Value>(name: string): Promise<Value> {
  return JSON.parse(await readFile(name, 'utf8')) as Value;
}

function absentIfGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
