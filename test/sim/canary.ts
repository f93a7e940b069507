import type { CommandQueue } from '../../src/core/commands/ports.ts';
import type { EventsParts } from '../../src/core/events/events.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import type { WholeHub } from '../../src/core/hub.ts';
import type { IdentityStore } from '../../src/core/identity/ports.ts';
import type { Presence, SubscriptionStore, WatchedPresence } from '../../src/core/presence/ports.ts';
import type { ConnectionClaim } from '../../src/core/presence/types.ts';
import type { EndpointSink, RoutedLog } from '../../src/core/routes/ports.ts';
import type { TwinStore } from '../../src/core/twins/ports.ts';
import type { AmqpConnections } from '../../src/protocols/amqp/connections.ts';
import type { JournalFiles } from '../../src/stores/embedded/event-log/files.ts';
import type { Broker } from '../../src/stores/kafka/broker-connection.ts';
import type { Plan } from './plan.ts';

export type SimulatedRouting = NonNullable<EventsParts['routing']>;

/** A bug, as something that is put between the hub and one of its parts. */
export interface Canary {
  readonly name: string;
  /** What must be so for it to show. */
  readonly plan?: Partial<Plan>;
  files?(files: JournalFiles): JournalFiles;
  identities?(store: IdentityStore): IdentityStore;
  subscriptions?(store: SubscriptionStore): SubscriptionStore;
  commandQueue?(queue: CommandQueue): CommandQueue;
  twins?(store: TwinStore): TwinStore;
  /** @param crashes so far */
  eventLog?(log: EventLog, crashes: number): EventLog;
  events?(events: WholeHub['events'], log: EventLog): WholeHub['events'];
  presence?(presence: WatchedPresence): WatchedPresence;
  hub?(hub: WholeHub): WholeHub;
  /** What a member claims places for, in the hub's own loop. */
  memberPresence?(presence: Presence): Presence;
  /** A member does not hear that its link has closed. */
  readonly isDeaf?: true;
  /** Between the hub and a broker of Kafka. */
  broker?(broker: Broker): Broker;
  readonly comparesNothing?: true;
  /** Between delivery and the log, and an endpoint. */
  routedLog?(log: RoutedLog): RoutedLog;
  sink?(sink: EndpointSink): EndpointSink;
  routing?(routing: SimulatedRouting): SimulatedRouting;
  amqp?(connections: AmqpConnections): AmqpConnections;
  /** The power has failed, and nothing runs. */
  crashed?(tables: {
    readonly identities: IdentityStore;
    readonly commandQueue: CommandQueue;
    readonly subscriptions: SubscriptionStore;
  }): void;
}

/** Bugs of one loop are looked for in one, without routes; those of members and of delivery bring their own plan. */
export const simplest: Partial<Plan> = { members: 0, memberDeathEveryMs: 0, linkBreakEveryMs: 0, endpoints: 0 };

/** No bug but the hub's own. */
export const none: Canary = { name: 'none' };

/** The claims that are sent through are objects with private parts. */
export function copyOf(claim: ConnectionClaim): ConnectionClaim {
  const { key, generationId, protocol, credential, authority, credentials, member, peer } = claim;
  return {
    ...{ key, generationId, protocol, credential, peer },
    ...(authority !== undefined && { authority }),
    ...(credentials !== undefined && { credentials }),
    ...(member !== undefined && { member }),
    drop: (reason) => claim.drop(reason),
    wake: () => claim.wake?.(),
    notify: (note) => claim.notify?.(note),
    ...(claim.invoke && { invoke: claim.invoke.bind(claim) }),
  };
}
