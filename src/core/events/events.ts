import type { IdentityKey, Principal } from '../identity/types.ts';
import type { ConsumerGroup, DurabilityWaiter, EventLog } from './ports.ts';
import type { EventStamp, Telemetry } from './types.ts';

/** Telemetry in, events out, as doors see it. */
export interface Events {
  /**
   * Prepares a device's telemetry once per connection: permission, partition, stamp.
   * @throws HubError IotHubUnauthorizedAccess
   */
  openSender(principal: Principal, key: IdentityKey, options?: { readonly modelId?: string }): EventSender;
  /**
   * Puts one message into the open batch. `waiter` hears of its durability; the number is that of its batch.
   * @throws HubError MessageTooLarge, ServiceUnavailable (the log does not take records: see its health)
   */
  enqueue(sender: EventSender, telemetry: Telemetry, waiter: DurabilityWaiter): number;
  /** The same with a promise, for doors that answer request by request. */
  send(sender: EventSender, messages: readonly Telemetry[]): Promise<void>;
  /** The event hubs: telemetry under the hub's name, monitoring under `<hub>-monitoring`. Undefined = no such one. */
  eventHub(name: string): EventLog | undefined;
  /**
   * Checks that a back end may read, and that event hub, group and partition exist.
   * @throws HubError AmqpAddressNotFound, ConsumerGroupNotFound, PartitionNotFound, IotHubUnauthorizedAccess
   */
  openReader(
    principal: Principal,
    place: { readonly eventHub: string; readonly consumerGroup: string; readonly partition: string },
  ): Promise<{ readonly log: EventLog; readonly partition: number; readonly consumerGroup: string }>;
  /** For `$management`: the permission only. @throws HubError AmqpAddressNotFound, IotHubUnauthorizedAccess */
  inspect(principal: Principal, eventHub: string): EventLog;
  listConsumerGroups(principal: Principal, eventHub: string): Promise<readonly ConsumerGroup[]>;
  createConsumerGroup(principal: Principal, eventHub: string, name: string): Promise<ConsumerGroup>;
  deleteConsumerGroup(principal: Principal, eventHub: string, name: string): Promise<void>;
}

/** What a connection needs to send telemetry of one identity; immutable. */
export interface EventSender {
  readonly log: EventLog;
  readonly partition: number;
  readonly stamp: EventStamp;
}
