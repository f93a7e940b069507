import { HubError } from '../../core/errors.ts';
import type { EventHubs, Events } from '../../core/events/events.ts';
import type { ThreadLink } from './calls.ts';
import { packError, type SentError, unpackError } from './calls.ts';

type Enter = Events['enterReceiver'];

interface ReceiverCalls {
  enter(id: number, eventHub: string, consumerGroup: string, partition: number, receiver: SentReceiver): Promise<void>;
}

interface SentReceiver {
  readonly name: string;
  readonly epoch?: number;
}

/** Lets receivers of a listener thread take their places among all. The returned function ends it. */
export function serveReceivers(link: ThreadLink, events: EventHubs & Pick<Events, 'enterReceiver'>): () => void {
  const leaves = new Map<number, () => void>();
  link.serve('receivers', {
    async enter(id, eventHub, consumerGroup, partition, receiver) {
      let isDisplaced = false;
      const displaced = (reason: HubError): void => {
        isDisplaced = true;
        leaves.delete(id);
        link.tell('displaced', [id, packError(reason)]);
      };
      const log = events.eventHub(eventHub);
      if (log === undefined) throw new HubError('AmqpAddressNotFound');
      const leave = await events.enterReceiver({ log, consumerGroup, partition }, { ...receiver, displaced });
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

/** `Events.enterReceiver` as doors of a listener thread see it. */
export function receiversStandIn(link: ThreadLink): { readonly enterReceiver: Enter } {
  const remote = link.remote<ReceiverCalls>('receivers', { enter: true });
  const displaced = new Map<number, (reason: HubError) => void>();
  let lastId = 0;
  link.on('displaced', ([id, error]: [number, SentError]) => {
    const tell = displaced.get(id);
    displaced.delete(id);
    tell?.(unpackError(error));
  });
  return {
    async enterReceiver({ log, consumerGroup, partition }, { name, epoch, displaced: tell }) {
      const id = ++lastId;
      displaced.set(id, tell);
      try {
        await remote.enter(id, log.name, consumerGroup, partition, { name, ...(epoch !== undefined && { epoch }) });
      } catch (error) {
        displaced.delete(id);
        throw error;
      }
      return () => {
        if (displaced.delete(id)) link.tell('leave', id);
      };
    },
  };
}
