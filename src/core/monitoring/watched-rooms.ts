/** What the other rooms do, as reports: wrapped around them in `hub.ts`, so that neither they nor the doors know of it. */

import type { Clock } from '../../base/clock.ts';
import type { Commands } from '../commands/commands.ts';
import type { CommandQueue } from '../commands/ports.ts';
import type { CommandOutcome } from '../commands/types.ts';
import { HubError } from '../errors.ts';
import type { EventSender, Events } from '../events/events.ts';
import type { IdentityChange } from '../identity/ports.ts';
import type { Presence } from '../presence/ports.ts';
import { clipped, concerning } from './concerned.ts';
import { type Attempt, reportRefusal, watched, watchedAsync } from './refused-operations.ts';
import { SlowedSenders } from './slowed-senders.ts';
import type { Recorder } from './types.ts';
import type { ConnectionWatcher } from './watched-presence.ts';

/** Connections as events. Their ids are the registry's own texts, which need not be copied to be kept. */
export function connectionReports(recorder: Recorder): ConnectionWatcher {
  return {
    connected: ({ key, protocol, credential, peer }, correlationId) =>
      recorder.record({ type: 'connected', ...key, protocol, credential, peer, correlationId }),
    disconnected: ({ key, protocol, credential, peer }, correlationId, reason) =>
      recorder.record({ type: 'disconnected', ...key, protocol, credential, peer, correlationId, reason }),
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
        reportRefusal(recorder, { operation: 'connect', target: key, where: { protocol, credential, peer } }, error);
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
export function watchedEvents(events: Events, recorder: Recorder, clock: Clock): Events {
  const slowed = new SlowedSenders(recorder, clock);
  const sending = ({ stamp, via }: EventSender): Attempt => ({
    operation: 'telemetry.send',
    target: stamp,
    ...(via && { where: via }),
  });
  return {
    ...events,
    openSender: (principal, key, options) =>
      watched(recorder, { operation: 'telemetry.send', principal, target: key }, () =>
        events.openSender(principal, key, options),
      ),
    enqueue: (sender, telemetry, waiter) =>
      watched(recorder, sending(sender), () => events.enqueue(sender, telemetry, waiter)),
    prepare: (sender, message) => watched(recorder, sending(sender), () => events.prepare(sender, message)),
    // The hot path: no closure, nothing but the frame of the call.
    enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter) {
      try {
        return events.enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter);
      } catch (error) {
        reportRefusal(recorder, sending(prepared.sender), error);
        throw error;
      }
    },
    slowed(sender, by) {
      const { pendingBytes: current, pendingBytesMax: max } = sender.log.writer;
      const full = { name: 'writerBytesMax', scope: 'hub', current, max };
      const limit = by === 'rate' ? sender.meter?.limit() : full;
      return limit === undefined ? () => {} : slowed.begin(sender, limit);
    },
    send: (sender, messages) => watchedAsync(recorder, sending(sender), events.send(sender, messages)),
    openReader: (principal, place) =>
      watchedAsync(recorder, { operation: 'events.read', principal }, events.openReader(principal, place)),
    inspect: (principal, eventHub) =>
      watched(recorder, { operation: 'events.read', principal, isQuestion: true }, () =>
        events.inspect(principal, eventHub),
      ),
    listConsumerGroups: (principal, eventHub) =>
      watchedAsync(
        recorder,
        { operation: 'consumerGroups.read', principal, isQuestion: true },
        events.listConsumerGroups(principal, eventHub),
      ),
    createConsumerGroup: (principal, eventHub, name) =>
      watchedAsync(
        recorder,
        { operation: 'consumerGroups.write', principal },
        events.createConsumerGroup(principal, eventHub, name),
      ),
    deleteConsumerGroup: (principal, eventHub, name) =>
      watchedAsync(
        recorder,
        { operation: 'consumerGroups.write', principal },
        events.deleteConsumerGroup(principal, eventHub, name),
      ),
  };
}

/** The same room, whose refusals are recorded. */
export function watchedCommands(commands: Commands, recorder: Recorder): Commands {
  const asked = <Answer>(attempt: Attempt, answer: Promise<Answer>) => watchedAsync(recorder, attempt, answer);
  const openInbox = watchedInboxes(commands, recorder).openInbox;
  return {
    ...commands,
    send: (principal, target, message) =>
      asked({ operation: 'commands.send', principal, target }, commands.send(principal, target, message)),
    sendAgain: (principal, target, sequence) =>
      asked({ operation: 'commands.send', principal, target }, commands.sendAgain(principal, target, sequence)),
    purge: (principal, target) =>
      asked({ operation: 'commands.purge', principal, target }, commands.purge(principal, target)),
    deadLetters: (principal, target) =>
      asked(
        { operation: 'commands.read', principal, target, isQuestion: true },
        commands.deadLetters(principal, target),
      ),
    trail: (principal, target, by) =>
      asked({ operation: 'commands.read', principal, target, isQuestion: true }, commands.trail(principal, target, by)),
    takeReceipts: (principal) => asked({ operation: 'feedback.receive', principal }, commands.takeReceipts(principal)),
    async settleReceipts(principal, lockToken, settlement) {
      const attempt = { operation: 'feedback.settle', principal } as const;
      const settled = await asked(attempt, commands.settleReceipts(principal, lockToken, settlement));
      // Its door answers this refusal.
      if (!settled) reportRefusal(recorder, attempt, new HubError('DeviceMessageLockLost'));
      return settled;
    },
    openInbox(principal, key, holder) {
      const inbox = openInbox(principal, key, holder);
      const taking: Attempt = { operation: 'commands.receive', principal, target: key };
      return {
        take: (count, lockMs) => asked(taking, inbox.take(count, lockMs)),
        settle: (token, settlement) =>
          asked({ ...taking, operation: 'commands.settle' }, inbox.settle(token, settlement)),
        close: () => inbox.close(),
      };
    },
  };
}

/** The same room; an inbox that is not opened is recorded. What else is refused is recorded where the commands are. */
export function watchedInboxes(commands: Commands, recorder: Recorder): Commands {
  return {
    ...commands,
    openInbox: (principal, key, holder) =>
      watched(recorder, { operation: 'commands.receive', principal, target: key }, () =>
        commands.openInbox(principal, key, holder),
      ),
  };
}
