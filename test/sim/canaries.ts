/**
 * Bugs that hubs have had, to be put between the hub and its parts: the simulation must catch each of them, or it would
 * not catch those that nobody has thought of either.
 */

import type { CommandQueue } from '../../src/core/commands/ports.ts';
import type { Command, ReceiptBatch } from '../../src/core/commands/types.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import type { IdentityKey } from '../../src/core/identity/types.ts';
import type { WatchedPresence } from '../../src/core/presence/ports.ts';
import type { ConnectionClaim } from '../../src/core/presence/types.ts';
import type { JournalFile } from '../../src/stores/embedded/event-log/files.ts';
import { deliveryCanaries } from './canaries-delivery.ts';
import { doorCanaries } from './canaries-doors.ts';
import { memberCanaries } from './canaries-members.ts';
import { twinCanaries } from './canaries-twins.ts';
import { type Canary, copyOf } from './canary.ts';
import type { Plan } from './plan.ts';

const crashing: Partial<Plan> = { crashEveryMs: 6000 };
const changing: Partial<Plan> = { identitiesChange: true, registrars: 3 };

export const canaries: readonly Canary[] = [
  {
    name: 'acknowledge before sync',
    plan: crashing,
    files: (files) => ({ ...files, create: async (file) => unsynced(file, await files.create(file)) }),
  },
  {
    name: 'acknowledge what the disk has refused',
    plan: { diskFaultRate: 0.03 },
    files: (files) => ({ ...files, create: async (file) => lying(file, await files.create(file)) }),
  },
  {
    name: 'forget an outcome',
    plan: { devices: 1 },
    commandQueue: (queue) => ({
      ...queue,
      settle: async (_target, _token, settlement) =>
        settlement === 'abandon' ? { kind: 'again' } : { kind: 'ended', outcome: 'completed' },
    }),
  },
  {
    name: 'write no receipt',
    commandQueue: (queue) => ({
      ...queue,
      enqueue: (command, ...more) =>
        queue.enqueue({ ...command, message: { ...command.message, ack: 'none' } }, ...more),
    }),
  },
  { name: 'write two receipts', commandQueue: twoReceipts },
  {
    name: 'lose a receipt that a back end gave back',
    plan: { devices: 2, activeMs: 60_000 },
    commandQueue: (queue) => ({
      ...queue,
      settleReceipts: (token, _settlement, now) => queue.settleReceipts(token, 'complete', now),
    }),
  },
  {
    name: 'hand out a receipt that has been read',
    commandQueue: (queue) => ({
      ...queue,
      settleReceipts: (token, _settlement, now) => queue.settleReceipts(token, 'abandon', now),
    }),
  },
  {
    name: 'skip an ETag check',
    plan: { registrars: 3, devices: 1 },
    identities: (store) => ({
      ...store,
      write: (writes) =>
        store.write(writes.map((write) => (write.kind === 'create' ? write : { ...write, ifMatch: '*' }))),
    }),
  },
  {
    name: 'give new keys to a device that was created meanwhile',
    plan: { ...changing, registrars: 15, devices: 1, amqpDevices: 0, activeMs: 90_000 },
    identities: (store) => ({
      ...store,
      write: (writes) =>
        store.write(
          writes.map((write) =>
            write.kind === 'replace' && write.ifMatch === '' ? { ...write, ifMatch: '*' } : write,
          ),
        ),
    }),
  },
  {
    name: 'lose a registry write at a crash',
    plan: crashing,
    crashed: ({ identities }) => void identities.write([{ kind: 'delete', key: { deviceId: 'd0' }, ifMatch: '*' }]),
  },
  {
    name: 'lose queued commands at a crash',
    plan: crashing,
    crashed: ({ commandQueue }) => {
      for (let device = 0; device < 5; device++) void commandQueue.forget({ deviceId: `d${device}` });
    },
  },
  { name: 'deliver to the wrong device', plan: { devices: 4, senders: 2 }, commandQueue: wrongDevice },
  { name: 'deliver to the next generation', plan: { ...changing, devices: 1 }, commandQueue: anyGeneration },
  {
    name: 'deliver the newest command first',
    commandQueue: (queue) => ({
      ...queue,
      lockNext: async (...parameters) => [...(await queue.lockNext(...parameters))].reverse(),
    }),
  },
  { name: 'reuse a sequence number', plan: crashing, eventLog: reusedSequence },
  { name: 'skip a stored event', plan: crashing, eventLog: skippedEvent },
  { name: 'spread a device over partitions', plan: { partitions: 4 }, events: spread },
  {
    name: "an old connection's end clears the new one",
    plan: { breakEveryMs: 3000, vanishRate: 0.7 },
    presence: cleared,
  },
  {
    name: 'let two connections of one device live',
    plan: { breakEveryMs: 3000, vanishRate: 0.7 },
    presence: (presence) => ({
      ...presence,
      claim: (claim) =>
        presence.claim({
          ...copyOf(claim),
          drop: (reason) => (reason === 'taken-over' ? undefined : claim.drop(reason)),
        }),
    }),
  },
  {
    name: 'keep a disabled or deleted device connected',
    plan: changing,
    presence: (presence) => ({ ...presence, drop: async () => {} }),
  },
  {
    name: 'lose subscriptions at a crash',
    plan: crashing,
    crashed: ({ subscriptions }) => {
      for (let device = 0; device < 5; device++) void subscriptions.remove({ deviceId: `d${device}` });
    },
  },
  ...doorCanaries,
  ...memberCanaries,
  ...twinCanaries,
  ...deliveryCanaries,
];

function lying(name: string, file: JournalFile): JournalFile {
  if (!name.endsWith('.journal')) return file;
  return { ...file, write: (buffers, at) => file.write(buffers, at).catch(() => {}) };
}

/** Of the journal only: else the log would not even start again. */
function unsynced(name: string, file: JournalFile): JournalFile {
  return name.endsWith('.journal') ? { ...file, sync: async () => {} } : file;
}

function twoReceipts(queue: CommandQueue): CommandQueue {
  return {
    ...queue,
    async lockReceipts(...parameters): Promise<ReceiptBatch | undefined> {
      const batch = await queue.lockReceipts(...parameters);
      const [first] = batch?.receipts ?? [];
      if (batch === undefined || first === undefined) return batch;
      return { ...batch, receipts: [...batch.receipts, { ...first, sequence: first.sequence + 1_000_000 }] };
    },
  };
}

function wrongDevice(queue: CommandQueue): CommandQueue {
  let last: { target: IdentityKey; generationId: string } | undefined;
  return {
    ...queue,
    async lockNext(target, generationId, ...more): Promise<readonly Command[]> {
      const own = await queue.lockNext(target, generationId, ...more);
      const other = last;
      last = { target, generationId };
      if (own.length > 0 || other === undefined) return own;
      return queue.lockNext(other.target, other.generationId, ...more);
    },
  };
}

/** What was sent to a former generation waits on, and the present one gets it. */
function anyGeneration(queue: CommandQueue): CommandQueue {
  const generations = new Map<string, Set<string>>();
  return {
    ...queue,
    enqueue(command, ...more) {
      const { deviceId } = command.target;
      generations.set(deviceId, (generations.get(deviceId) ?? new Set()).add(command.generationId));
      return queue.enqueue(command, ...more);
    },
    async lockNext(target, generationId, ...more): Promise<readonly Command[]> {
      for (const former of generations.get(target.deviceId) ?? []) {
        const found = former === generationId ? [] : await queue.lockNext(target, former, ...more);
        if (found.length > 0) return found;
      }
      return queue.lockNext(target, generationId, ...more);
    },
    forget: async () => {},
  };
}

function reusedSequence(log: EventLog, crashes: number): EventLog {
  if (crashes === 0) return log;
  return {
    ...log,
    partition: (partition) => log.partition(partition),
    lastKnown: (partition) => log.lastKnown(partition),
    read: async (partition, from, bytesMax) =>
      (await log.read(partition, from, bytesMax)).map((run, at) =>
        at > 0 && run.firstSequence > 0 ? { ...run, firstSequence: run.firstSequence - 1 } : run,
      ),
  };
}

function skippedEvent(log: EventLog, crashes: number): EventLog {
  if (crashes === 0) return log;
  return {
    ...log,
    read: async (partition, from, bytesMax) => (await log.read(partition, from, bytesMax)).slice(0, -1),
  };
}

function spread(events: WholeHub['events'], log: EventLog): WholeHub['events'] {
  let next = 0;
  return {
    ...events,
    openSender: (...parameters) => ({ ...events.openSender(...parameters), partition: next++ % log.partitionCount }),
  };
}

function cleared(presence: WatchedPresence): WatchedPresence {
  const takenOver = new Set<string>();
  return {
    ...presence,
    async claim(claim) {
      const { deviceId } = claim.key;
      const drop: ConnectionClaim['drop'] = (reason) => {
        if (reason === 'taken-over') takenOver.add(deviceId);
        claim.drop(reason);
      };
      const ticket = await presence.claim({ ...copyOf(claim), drop });
      // The older connection's end is told late, and by the device's name.
      if (takenOver.delete(deviceId)) ticket.release('taken-over');
      return ticket;
    },
  };
}
