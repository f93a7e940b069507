/** Parts of the simulated hub in one run of its process: its event log, what it says, its presence as one node of several. */
import { limits } from '../../src/base/limits.ts';
import type { Log } from '../../src/base/log.ts';
import type { Places } from '../../src/core/presence/places.ts';
import { createPresence, type PresenceRoom } from '../../src/core/presence/presence.ts';
import { Comparing, watchedPlaces } from '../../src/server/nodes/comparing.ts';
import type { VirtualDisk } from '../../src/stores/contract/event-log-disk.ts';
import { type EmbeddedEventLog, openEmbeddedEventLog } from '../../src/stores/embedded/event-log/event-log.ts';
import type { StoredLog } from '../../src/stores/event-log/stored-log.ts';
import type { Canary } from './canary.ts';
import type { SimulatedBrokers } from './kafka/brokers.ts';
import { openSimulatedKafkaLog } from './kafka/event-log.ts';
import type { Life } from './scheduler.ts';
import { slowFiles } from './storage.ts';
import type { Dice, World } from './world.ts';

/** The journal, or a topic of Kafka. */
export type OwnLog = Pick<EmbeddedEventLog, 'close'> & StoredLog;

export interface OwnLogParts {
  readonly world: World;
  readonly canary: Canary;
  readonly life: Life;
  readonly disk: VirtualDisk;
  /** Absent: the log is on the disk. */
  readonly brokers: SimulatedBrokers | undefined;
  readonly retentionMs: number;
  readonly dice: Dice;
  readonly log: Log;
}

export function openEventLog(parts: OwnLogParts): Promise<OwnLog> {
  const { world, canary, life, disk, brokers, retentionMs, dice, log } = parts;
  const { clock } = life;
  if (brokers !== undefined) {
    return openSimulatedKafkaLog({ world, life, brokers, dice, log, ...(canary.broker && { seen: canary.broker }) });
  }
  const files = slowFiles(disk, life, dice);
  return openEmbeddedEventLog({
    folder: '/events',
    name: 'mooring',
    partitionCount: world.plan.partitions,
    retentionMs,
    segmentBytes: world.plan.segmentBytes,
    clock,
    random: dice.random,
    log,
    files: canary.files?.(files) ?? files,
    defer: (callback) => void clock.after(0.01, callback),
  });
}

/** @param errors Gets every line of level error */
export function logOf(life: Life, errors: string[]): Log {
  const say = (fields: object, sentence: string): void => {
    if (life.over) return;
    const text = JSON.stringify(fields, (_key, value) => (value instanceof Error ? storyOf(value) : value));
    errors.push(`${sentence} ${text}`);
  };
  const quiet = (): void => {};
  const log: Log = { debug: quiet, info: quiet, warn: quiet, error: say, child: () => log };
  return log;
}

/** As the server has it with nodes: connections are compared with their places where an answer about these was lost. */
export function presenceOfNode(places: Places, life: Life, log: Log, comparesNothing = false): PresenceRoom {
  const { clock } = life;
  const comparing = new Comparing({ clock, log, compare: () => own.compare() });
  const own = createPresence({ places: watchedPlaces(places, () => comparing.soon()), clock, log });
  const renew = (): void => {
    clock.after(limits.nodeRenewMs, () => {
      renew();
      if (!comparesNothing) void comparing.renewed();
    });
  };
  renew();
  return own;
}

/** With what has caused it, which may have been in another member. */
function storyOf({ stack, cause }: Error): string {
  return cause instanceof Error ? `${stack}, because of ${storyOf(cause)}` : `${stack}`;
}
