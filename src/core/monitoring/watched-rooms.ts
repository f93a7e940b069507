/** What the other rooms do, as reports; what they refuse is told by the guard. */

import type { Clock } from '../../base/clock.ts';
import type { CommandQueue } from '../commands/ports.ts';
import type { CommandOutcome } from '../commands/types.ts';
import type { Events } from '../events/room.ts';
import type { Guarded } from '../identity/guard.ts';
import type { IdentityChange } from '../identity/ports.ts';
import type { Registry } from '../identity/registry-room.ts';
import type { ConnectionWatcher } from '../presence/ports.ts';
import { clipped, concerning } from './concerned.ts';
import { SlowedSenders } from './slowed-senders.ts';
import type { Recorder } from './types.ts';

/**
 * Connections as events. Their ids are the registry's own texts, which need not be copied to be kept.
 * @param idOf the correlation id of a connection
 */
export function connectionReports(recorder: Recorder, idOf: (connection: number) => string): ConnectionWatcher {
  return {
    connected: ({ key, protocol, credential, peer, address }, connection) =>
      recorder.record({
        ...{ type: 'connected', ...key, protocol, credential, peer, correlationId: idOf(connection) },
        ...(address !== undefined && { address }),
      }),
    disconnected: ({ key, protocol, credential, peer, address }, connection, reason, detail) =>
      recorder.record({
        ...{ type: 'disconnected', ...key, protocol, credential, peer, correlationId: idOf(connection), reason },
        ...(address !== undefined && { address }),
        ...(detail !== undefined && { detail }),
      }),
  };
}

/** A change of the registry as an event. */
export function reportIdentityChange({ kind, identity, statusChanged }: IdentityChange, recorder: Recorder): void {
  const who = concerning(identity);
  const { status, statusReason } = identity;
  if (kind === 'created') recorder.record({ type: 'identityCreated', ...who, status });
  else if (kind === 'deleted') recorder.record({ type: 'identityDeleted', ...who });
  else if (statusChanged !== true) recorder.record({ type: 'identityChanged', ...who, status });
  else recorder.record({ type: status === 'disabled' ? 'identityDisabled' : 'identityEnabled', ...who, statusReason });
}

/** The same registry; who was given a shared key is recorded. */
export function watchedSharedKeys<Room extends Guarded<Registry>>(registry: Room, recorder: Recorder): Room {
  return {
    ...registry,
    async deriveSharedKey(principal, key) {
      const derived = await registry.deriveSharedKey(principal, key);
      const by = principal.kind === 'policy' ? { policyName: principal.policyName } : {};
      if (derived !== undefined) recorder.record({ type: 'sharedKeyDerived', ...concerning(key), ...by });
      return derived;
    },
  };
}

const endings: Readonly<Partial<Record<CommandOutcome, 'commandExpired' | 'commandRejected' | 'commandGivenUp'>>> = {
  expired: 'commandExpired',
  rejected: 'commandRejected',
  deliveryCountExceeded: 'commandGivenUp',
};

/** Tells of the commands that end otherwise than by being completed or purged. */
export function reportEndedCommands(queue: Pick<CommandQueue, 'watch'>, recorder: Recorder): void {
  queue.watch((ended) => {
    for (const { target, sequence: command, messageId, outcome } of ended) {
      const type = endings[outcome];
      if (type === undefined) continue;
      const facts = { command, ...(messageId !== null && { messageId: clipped(messageId) }) };
      recorder.record({ type, ...concerning(target), ...facts });
    }
  });
}

/** The same room; senders that are slowed instead of refused are recorded. */
export function watchedSlowing<Room extends Guarded<Events>>(events: Room, recorder: Recorder, clock: Clock): Room {
  const slowed = new SlowedSenders(recorder, clock);
  return {
    ...events,
    slowed(sender, by) {
      const { pendingBytes: current, pendingBytesMax: max } = sender.log.writer;
      const full = { name: 'writerBytesMax', scope: 'hub', current, max };
      const limit = by === 'rate' ? sender.meter?.limit() : full;
      return limit === undefined ? () => {} : slowed.begin(sender, limit);
    },
  };
}
