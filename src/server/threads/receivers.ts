/** Places of receivers, as `threads/presence.ts` is for connections: functions stay in their thread, and have numbers. */
import { HubError } from '../../core/errors.ts';
import type { Receiver, ReceiverPlace, ReceiverPlaces } from '../../core/events/receivers.ts';
import type { EventHubs, Events } from '../../core/events/room.ts';
import type { ThreadLink } from './calls.ts';
import { packError, type SentError, unpackError } from './calls.ts';

interface ReceiverCalls {
  enter(id: number, place: ReceiverPlace, receiver: SentReceiver): Promise<void>;
}

/** What the main thread asks of a thread. */
interface DisplacedCalls {
  /** Resolves when the receiver reads no more. */
  displaced(id: number, reason: SentError): Promise<void>;
}

type SentReceiver = Pick<Receiver, 'name' | 'epoch'>;

/** The places of the main thread's hub, by name. */
export function receiverPlacesOf(events: EventHubs & Pick<Events, 'enterReceiver'>): ReceiverPlaces {
  return {
    async enter({ eventHub, consumerGroup, partition }, receiver) {
      const log = events.eventHub(eventHub);
      if (log === undefined) throw new HubError('AmqpAddressNotFound');
      return events.enterReceiver({ log, consumerGroup, partition }, receiver);
    },
  };
}

/** Lets receivers of a listener thread take their places among all. The returned function ends it. */
export function serveReceivers(link: ThreadLink, places: ReceiverPlaces): () => void {
  const leaves = new Map<number, () => void>();
  const remote = link.remote<DisplacedCalls>('displaced receivers', { displaced: 'uncounted' });
  link.serve('receivers', {
    async enter(id, place, receiver) {
      let isDisplaced = false;
      const leave = await places.enter(place, {
        ...receiver,
        // Nothing of a thread that has ended reads any more.
        displaced: (reason) => {
          isDisplaced = true;
          leaves.delete(id);
          return remote.displaced(id, packError(reason)).catch(() => {});
        },
      });
      if (!link.isOpen) leave();
      else if (!isDisplaced) leaves.set(id, leave);
    },
  } satisfies ReceiverCalls);
  link.on('leave', (id: number) => {
    leaves.get(id)?.();
    leaves.delete(id);
  });
  return () => {
    for (const leave of leaves.values()) leave();
    leaves.clear();
  };
}

/** Nobody waits for one whose link has closed, so what keeps it from ending is told to nobody. */
async function displace(receiver: Receiver): Promise<void> {
  try {
    await receiver.displaced(new HubError('ServiceUnavailable'));
  } catch {}
}

/** The places as doors of a listener thread see them. */
export function receiversStandIn(link: ThreadLink): ReceiverPlaces {
  const remote = link.remote<ReceiverCalls>('receivers', { enter: true });
  const receivers = new Map<number, Receiver>();
  let lastId = 0;
  link.serve('displaced receivers', {
    async displaced(id, reason) {
      const receiver = receivers.get(id);
      receivers.delete(id);
      await receiver?.displaced(unpackError(reason));
    },
  } satisfies DisplacedCalls);
  // Others read from their places from here on.
  link.onClose(() => {
    const all = [...receivers.values()];
    receivers.clear();
    for (const receiver of all) void displace(receiver);
  });
  return {
    async enter(place, receiver) {
      const id = ++lastId;
      receivers.set(id, receiver);
      const { name, epoch } = receiver;
      try {
        await remote.enter(id, place, { name, ...(epoch !== undefined && { epoch }) });
      } catch (error) {
        receivers.delete(id);
        throw error;
      }
      return () => {
        if (receivers.delete(id)) link.tell('leave', id);
      };
    },
  };
}
