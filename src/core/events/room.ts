import type { IdentityKey, Principal, Proof } from '../identity/types.ts';
import type { ConnectionClaim } from '../presence/types.ts';
import type { Meter } from '../throttling/throttling.ts';
import type {
  ConsumerGroup,
  DurabilityWaiter,
  EventLog,
  MessageHead,
  RecordTemplate,
  RouteDecider,
  RoutingMark,
} from './ports.ts';
import type { Receiver } from './receivers.ts';
import type { ShownFacts } from './shown-facts.ts';
import type { EventStamp, Telemetry } from './types.ts';

/** Telemetry in, events out, as doors see it. */
export interface Events {
  /**
   * Prepares a device's telemetry once per connection: permission, partition, stamp. The principal is the device's: a
   * policy's token speaks for a device once `Authentication.device` has found that there is such a device.
   * @throws HubError IotHubUnauthorizedAccess
   */
  openSender(principal: Principal, key: IdentityKey, options?: SenderOptions): EventSender;
  /**
   * Resolves when messages of the identity can be routed by its twin, which is soon; undefined = at once. A door that does not wait
   * sends messages that have no twin yet.
   */
  ready(key: IdentityKey): Promise<void> | undefined;
  /**
   * Puts one message into the open batch. `waiter` hears of its durability; the number is that of its batch.
   * @throws HubError IotHubUnauthorized (the sender's proof has ended), MessageTooLarge, ArgumentInvalid, ServiceUnavailable (the log does not take records: see its health)
   */
  enqueue(sender: EventSender, telemetry: Telemetry, waiter: DurabilityWaiter): number;
  /**
   * Encodes once what messages of a sender with the same properties have in common, for doors that see them again and
   * again. @throws HubError MessageTooLarge, ArgumentInvalid
   */
  prepare(sender: EventSender, message: Omit<Telemetry, 'body' | 'traceId'>): PreparedTelemetry;
  /**
   * As `enqueue`, with the body in `source` from `bodyStart` to `bodyEnd`: nothing is allocated, the stored bytes are the
   * same. @throws HubError as `enqueue`
   */
  enqueuePrepared(
    prepared: PreparedTelemetry,
    source: Uint8Array,
    bodyStart: number,
    bodyEnd: number,
    waiter: DurabilityWaiter,
  ): number;
  /**
   * Milliseconds for which a door should take nothing more from the sender's connection, because it has used up what it
   * may send; 0 = go on. To be asked after each `enqueue`; costs nothing where nothing is limited.
   */
  waitMs(sender: EventSender): number;
  /**
   * To be called by a door when it stops taking from a sender's connection, because `waitMs` or a congested log asks for it:
   * monitoring hears of it. To be called again, as it was returned, when the door goes on; twice is harmless.
   */
  slowed(sender: EventSender, by: 'rate' | 'congestion'): () => void;
  /**
   * The same with a promise, for doors that answer request by request: all messages are durable, or it rejects. One that
   * is refused keeps the others from being taken.
   * @throws HubError as `enqueue`; ThrottlingException (the sender is over its limit, or too much waits for the disk),
   *   ServiceUnavailable (batch failed)
   */
  send(sender: EventSender, messages: readonly Telemetry[]): Promise<void>;
  /** Telemetry, then monitoring, where there is a monitoring stream, then those of endpoints. */
  eventHubs(principal: Principal): readonly EventHubFacts[];
  /**
   * Checks that a back end may read, and that event hub, group and partition exist.
   * @throws HubError AmqpAddressNotFound, ConsumerGroupNotFound, PartitionNotFound, IotHubUnauthorizedAccess
   */
  openReader(
    principal: Principal,
    place: { readonly eventHub: string; readonly consumerGroup: string; readonly partition: string },
  ): Promise<EventSource>;
  /**
   * Lets a receiver of what `openReader` has opened take its place among those of the partition and consumer group,
   * whichever door they came through, and displaces those it must. The returned function takes it out again and is
   * harmless when called twice or after it was displaced.
   * @throws HubError as `receiversDisplacedBy`
   */
  enterReceiver(source: Omit<EventSource, 'shown'>, receiver: Receiver): Promise<() => void>;
  /** For `$management`: the permission only. @throws HubError AmqpAddressNotFound, IotHubUnauthorizedAccess */
  inspect(principal: Principal, eventHub: string): EventLog;
  /** In order of name, `$Default` first. @throws HubError AmqpAddressNotFound, IotHubUnauthorizedAccess */
  listConsumerGroups(principal: Principal, eventHub: string): Promise<readonly ConsumerGroup[]>;
  /** @throws HubError ArgumentInvalid, ConsumerGroupAlreadyExists, IotHubQuotaExceeded, and as `listConsumerGroups` */
  createConsumerGroup(principal: Principal, eventHub: string, name: string): Promise<ConsumerGroup>;
  /** @throws HubError ConsumerGroupNotFound, OperationNotAvailable for `$Default`, and as `listConsumerGroups` */
  deleteConsumerGroup(principal: Principal, eventHub: string, name: string): Promise<void>;
}

/** What the hub itself asks of events; no client reaches it. */
export interface EventHubs {
  /** The event hubs: telemetry under the hub's name, monitoring under `<hub>-monitoring`, others under their own. Undefined = no such one. */
  eventHub(name: string): EventLog | undefined;
}

export type EventHubFacts = Pick<EventLog, 'name' | 'createdTime' | 'partitionCount' | 'partition'>;

export interface SenderOptions {
  readonly modelId?: string;
  /** Where the messages come from, for traces and monitoring. */
  readonly via?: SenderOrigin;
  /** Where proofs are renewed: what holds the newest one. Absent = the principal itself. */
  readonly proof?: Proof;
}

export type SenderOrigin = Pick<ConnectionClaim, 'protocol'> & Partial<Pick<ConnectionClaim, 'peer' | 'address'>>;

/** A partition that a back end may read. */
export interface EventSource {
  readonly log: EventLog;
  readonly partition: number;
  readonly consumerGroup: string;
  /** What readers may know of the partition's end. */
  readonly shown: ShownFacts;
  /** To be told of each record that goes to the reader; absent = nobody asks, and the reading costs nothing more. */
  readonly delivered?: (record: DeliveredRecord, reader: string) => void;
}

/** A record on its way to a reader: `bytes` from `start` to `end`. */
export interface DeliveredRecord {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly sequence: number;
}

/** What a connection needs to send telemetry of one identity; immutable. */
export interface EventSender {
  readonly log: EventLog;
  readonly partition: number;
  readonly stamp: EventStamp;
  /** When the right to send was looked at, UTC milliseconds. */
  readonly openedTime: number;
  /** Ends the right; looked at with each message. */
  readonly proof: Proof;
  readonly via?: SenderOrigin;
  /** Counts what it sends; absent = nothing limits it. */
  readonly meter?: Meter;
}

/** Telemetry of one sender but for its body; immutable. */
export interface PreparedTelemetry {
  readonly sender: EventSender;
  readonly template: RecordTemplate;
  /** What the properties count against the limit of a message. */
  readonly propertyBytes: number;
  /** What it was prepared from, where messages are followed; else it is not kept. */
  readonly message?: Omit<Telemetry, 'body' | 'traceId'>;
  /** Where its messages go, as decided last. */
  readonly routed: RoutedHead;
}

/** Of messages with the same properties: which routes have decided, and what. Changes with the routes. */
export interface RoutedHead {
  decider: RouteDecider | undefined;
  /** Undefined = each message is decided by itself. */
  mark: RoutingMark | undefined;
  message: MessageHead | undefined;
}
