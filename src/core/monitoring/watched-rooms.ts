/** What the other rooms do, as reports: wrapped around them in `hub.ts`, so that neither they nor the doors know of it. */

import type { Commands } from '../commands/commands.ts';
import type { CommandQueue } from '../commands/ports.ts';
import type { CommandOutcome } from '../commands/types.ts';
import { HubError } from '../errors.ts';
import type { Events } from '../events/events.ts';
import type { IdentityChange } from '../identity/ports.ts';
import type { IdentityKey, Principal } from '../identity/types.ts';
import type { Presence } from '../presence/ports.ts';
import { clipped, concerning } from './concerned.ts';
import type { Concerned, Recorder } from './types.ts';
import type { ConnectionWatcher } from './watched-presence.ts';

/** Connections as events. */
export function connectionReports(recorder: Recorder): ConnectionWatcher {
  return {
    connected: ({ key, protocol, credential, peer }, correlationId) =>
      recorder.record({ type: 'connected', ...concerning(key), protocol, credential, peer, correlationId }),
    disconnected: ({ key, protocol, credential, peer }, correlationId, reason) =>
      recorder.record({ type: 'disconnected', ...concerning(key), protocol, credential, peer, correlationId, reason }),
  };
}

/** The same presence; a connection that is refused its place is recorded. */
export function watchedPlaces(presence: Presence, recorder: Recorder): Presence {
  return {
    ...presence,
    async claim(claim) {
      try {
        return await presence.claim(claim);
      } catch (error) {
        const { key, protocol, credential, peer } = claim;
        reportRefusal(recorder, 'connect', key, error, { protocol, credential, peer });
        throw error;
      }
    },
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

/** The same room, whose refusals are recorded. */
export function watchedEvents(events: Events, recorder: Recorder): Events {
  return {
    ...events,
    openSender: (principal, key, options) =>
      watched(recorder, 'telemetry.send', key, () => events.openSender(principal, key, options)),
    enqueue: (sender, telemetry, waiter) =>
      watched(recorder, 'telemetry.send', sender.stamp, () => events.enqueue(sender, telemetry, waiter)),
    prepare: (sender, message) =>
      watched(recorder, 'telemetry.send', sender.stamp, () => events.prepare(sender, message)),
    // The hot path: no closure, nothing but the frame of the call.
    enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter) {
      try {
        return events.enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter);
      } catch (error) {
        reportRefusal(recorder, 'telemetry.send', prepared.sender.stamp, error);
        throw error;
      }
    },
    send: (sender, messages) => watchedAsync(recorder, 'telemetry.send', sender.stamp, events.send(sender, messages)),
    openReader: (principal, place) =>
      watchedAsync(recorder, 'events.read', principal, events.openReader(principal, place)),
  };
}

/** The same room, whose refusals are recorded. */
export function watchedCommands(commands: Commands, recorder: Recorder): Commands {
  return {
    ...commands,
    send: (principal, target, message) =>
      watchedAsync(recorder, 'commands.send', target, commands.send(principal, target, message)),
    openInbox(principal, key, holder) {
      const inbox = watched(recorder, 'commands.receive', key, () => commands.openInbox(principal, key, holder));
      return {
        take: (count, lockMs) => watchedAsync(recorder, 'commands.receive', key, inbox.take(count, lockMs)),
        settle: (token, settlement) => watchedAsync(recorder, 'commands.settle', key, inbox.settle(token, settlement)),
        close: () => inbox.close(),
      };
    },
  };
}

function watched<Answer>(recorder: Recorder, operation: string, who: Whom, run: () => Answer): Answer {
  try {
    return run();
  } catch (error) {
    reportRefusal(recorder, operation, who, error);
    throw error;
  }
}

async function watchedAsync<Answer>(
  recorder: Recorder,
  operation: string,
  who: Whom,
  answer: Promise<Answer>,
): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    reportRefusal(recorder, operation, who, error);
    throw error;
  }
}

type Whom = IdentityKey | Principal;

/** What the hub itself could not do is in the log and in its health, and is no refusal of a rule. */
function reportRefusal(
  recorder: Recorder,
  operation: string,
  who: Whom,
  error: unknown,
  where: Pick<Concerned, 'protocol' | 'credential' | 'peer'> = {},
): void {
  if (!(error instanceof HubError) || error.status >= 500) return;
  const { code, limit, reason } = error;
  recorder.record({
    type: code === 'ThrottlingException' ? 'throttled' : 'operationRefused',
    ...concernedBy(who),
    ...where,
    code,
    operation,
    ...(limit !== undefined && {
      limit: { name: limit.name, scope: clipped(limit.scope), current: limit.current, max: limit.max },
    }),
    ...(reason !== undefined && { reason: clipped(reason) }),
  });
}

function concernedBy(who: Whom): Concerned {
  if (!('kind' in who)) return concerning(who);
  return who.kind === 'device' ? concerning(who.key) : {};
}
