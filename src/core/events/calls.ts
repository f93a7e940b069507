import type { Attempt, Sheet, Target } from '../identity/guard.ts';
import type { EventHubs, EventSender, Events } from './room.ts';

const sending = ({ stamp, via }: EventSender): Attempt => ({
  operation: 'telemetry.send',
  target: stamp,
  ...(via && { where: via }),
});

/**
 * A back end that may read events at all learns which event hubs there are not; of the others only one whose token covers
 * them.
 */
const placeOf = (room: EventHubs, eventHub: string, ...rest: readonly string[]): Target =>
  room.eventHub(eventHub) === undefined ? undefined : { path: [eventHub, ...rest] };

/** How the calls of events are asked for. The right to send is asked for once: a sender is the proof of it. */
export const eventCalls: Sheet<Events & EventHubs> = {
  openSender: (room, guard) => (principal, key, options) =>
    guard.runNow(principal, 'telemetry.send', key, () => room.openSender(principal, key, options)),
  enqueue: (room, guard) => (sender, telemetry, waiter) => {
    try {
      return room.enqueue(sender, telemetry, waiter);
    } catch (error) {
      guard.refused(sending(sender), error);
      throw error;
    }
  },
  prepare: (room, guard) => (sender, message) => {
    try {
      return room.prepare(sender, message);
    } catch (error) {
      guard.refused(sending(sender), error);
      throw error;
    }
  },
  // The hot path: no closure, nothing but the frame of the call.
  enqueuePrepared: (room, guard) => (prepared, source, bodyStart, bodyEnd, waiter) => {
    try {
      return room.enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter);
    } catch (error) {
      guard.refused(sending(prepared.sender), error);
      throw error;
    }
  },
  send: (room, guard) => async (sender, messages) => {
    try {
      await room.send(sender, messages);
    } catch (error) {
      guard.refused(sending(sender), error);
      throw error;
    }
  },
  // It takes nothing and tells nothing but when.
  ready: (room) => room.ready,
  waitMs: (room) => room.waitMs,
  slowed: (room) => room.slowed,
  openReader: (room, guard) => (principal, place) => {
    const { eventHub, consumerGroup, partition } = place;
    const target = placeOf(room, eventHub, 'ConsumerGroups', consumerGroup, 'Partitions', partition);
    return guard.run(principal, 'events.read', target, () => room.openReader(principal, place));
  },
  inspect: (room, guard) => (principal, eventHub) =>
    guard.runNow(principal, 'eventHubs.read', placeOf(room, eventHub, '$management'), () =>
      room.inspect(principal, eventHub),
    ),
  listConsumerGroups: {
    operation: 'consumerGroups.read',
    target: (eventHub) => ({ path: [eventHub, 'ConsumerGroups'] }),
  },
  createConsumerGroup: { operation: 'consumerGroups.write' },
  deleteConsumerGroup: { operation: 'consumerGroups.write' },
  eventHubs: (room, guard) => (principal) =>
    guard.runNow(principal, 'hub.read', undefined, () => room.eventHubs(principal)),
  // Its source is the proof of the right to read. A receiver that yields to another is told to that back end alone: so they share.
  enterReceiver: (room) => room.enterReceiver,
  // No client reaches it.
  eventHub: (room) => room.eventHub,
};
