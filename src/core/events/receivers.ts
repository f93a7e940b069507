import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';

/** A reader of a partition for a consumer group. */
export interface Receiver {
  /** For the messages that others get. */
  readonly name: string;
  /** Owner level; absent = shares the partition with others. */
  readonly epoch?: number;
  /**
   * Another receiver has taken the place. Called at most once, never after `leave`. The promise, where there is one,
   * resolves when this one reads no more; without one it has stopped by the time of the return. Must not reject.
   */
  displaced(reason: HubError): Promise<void> | void;
}

/** What receivers share, or one of them has. */
export interface ReceiverPlace {
  /** An event hub's name. */
  readonly eventHub: string;
  /** Upper and lower case are the same. */
  readonly consumerGroup: string;
  readonly partition: number;
}

/** Who reads what, for a whole hub. One contract suite (`stores/contract/receiver-places.ts`) runs over every implementation. */
export interface ReceiverPlaces {
  /**
   * Lets a receiver in and displaces whom it must; answered when those read no more, so an owner is alone from its first
   * event on. The returned function takes it out again, and is harmless when called twice or after it was displaced.
   * @throws HubError as `receiversDisplacedBy`.
   */
  enter(place: ReceiverPlace, receiver: Receiver): Promise<() => void>;
}

/**
 * Which receivers of one partition and consumer group live together (service reference 5.8): several without an epoch, or
 * one with. A newcomer with an equal or higher epoch takes the place of the readers that are there.
 *
 * @throws HubError LinkCreationConflict (a higher epoch, or any epoch against none, is there), IotHubQuotaExceeded.
 * @returns those who must go.
 */
export function receiversDisplacedBy<Present extends Pick<Receiver, 'name' | 'epoch'>>(
  newcomer: Pick<Receiver, 'name' | 'epoch'>,
  present: readonly Present[],
): readonly Present[] {
  const owner = present.find((receiver) => receiver.epoch !== undefined);
  if (newcomer.epoch !== undefined) {
    if (owner?.epoch !== undefined && owner.epoch > newcomer.epoch) {
      throw new HubError(
        'LinkCreationConflict',
        `Receiver '${owner.name}' with a higher epoch '${owner.epoch}' already exists. Receiver '${newcomer.name}' with epoch ${newcomer.epoch} cannot be created. Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch receivers are closed or disconnected.`,
      );
    }
    return present;
  }
  if (owner !== undefined) {
    throw new HubError(
      'LinkCreationConflict',
      `At least one receiver for the endpoint is created with epoch of '${owner.epoch}', and so non-epoch receiver is not allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected.`,
    );
  }
  if (present.length >= limits.receiversPerPartitionMax) {
    throw new HubError(
      'IotHubQuotaExceeded',
      `Exceeded the maximum number of allowed receivers per partition in a consumer group which is ${limits.receiversPerPartitionMax}.`,
      {
        limit: {
          name: 'receiversPerPartitionMax',
          scope: 'partition and consumer group',
          current: present.length,
          max: limits.receiversPerPartitionMax,
        },
      },
    );
  }
  return [];
}

/** The places of a hub that is one process. */
export function createReceiverPlaces(): ReceiverPlaces {
  const places = new Map<string, readonly Receiver[]>();
  return {
    async enter({ eventHub, consumerGroup, partition }, receiver) {
      const key = `${partition}/${consumerGroup.toLowerCase()}/${eventHub.toLowerCase()}`;
      const present = places.get(key) ?? [];
      const displaced = receiversDisplacedBy(receiver, present);
      places.set(key, [...present.filter((other) => !displaced.includes(other)), receiver]);
      await Promise.all(displaced.map((other) => other.displaced(displacement(receiver, other))));
      return () => {
        const left = (places.get(key) ?? []).filter((other) => other !== receiver);
        if (left.length === 0) places.delete(key);
        else places.set(key, left);
      };
    },
  };
}

/** What a reader hears whose place another has taken. */
export function displacement(
  newcomer: Pick<Receiver, 'name' | 'epoch'>,
  other: Pick<Receiver, 'name' | 'epoch'>,
): HubError {
  return new HubError(
    'LinkCreationConflict',
    `New receiver '${newcomer.name}' with higher epoch of '${newcomer.epoch}' is created hence current receiver '${other.name}' with epoch '${other.epoch ?? 0}' is getting disconnected. If you are recreating the receiver, make sure a higher epoch is used.`,
  );
}
