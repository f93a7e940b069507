import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import { demandProof, proofEnded } from '../identity/permissions.ts';
import type { Throttling } from '../throttling/throttling.ts';
import { eventCalls } from './calls.ts';
import type {
  ConsumerGroup,
  ConsumerGroupStore,
  DurabilityWaiter,
  EventLog,
  EventWriter,
  MessageHead,
  RecordCodec,
  RouteDecider,
  Routing,
  RoutingMark,
  RoutingMarkReader,
} from './ports.ts';
import { createReceiverPlaces, type ReceiverPlaces } from './receivers.ts';
import type { EventHubs, EventSender, Events, PreparedTelemetry } from './room.ts';
import {
  checkConsumerGroupName,
  checkTelemetry,
  checkTelemetryBytes,
  DEFAULT_CONSUMER_GROUP,
  parsePartition,
  partitionOf,
  sameConsumerGroup,
  telemetryBytes,
  telemetryStamp,
} from './rules.ts';
import { ShownFacts } from './shown-facts.ts';
import type { Telemetry } from './types.ts';

export interface EventsParts {
  readonly guard: Guard;
  /** Its name is the hub's. */
  readonly telemetry: EventLog;
  /** Absent = a hub without a monitoring stream. */
  readonly monitoring?: EventLog;
  /** Other event hubs of the hub, as they are now; absent = there are none. */
  readonly further?: () => readonly EventLog[];
  readonly consumerGroups: ConsumerGroupStore;
  /** Absent = those of a hub that is one process. */
  readonly receivers?: ReceiverPlaces;
  readonly codec: RecordCodec;
  /** Telemetry for readers in these consumer groups, who also get what the log does not keep any more; absent = for nobody. */
  readonly history?: { readonly groups: readonly string[]; readonly log: EventLog };
  /** Where telemetry goes; absent = to the built-in event hub. */
  readonly routing?: Routing & { readonly markOf: RoutingMarkReader };
  readonly clock: Clock;
  /** Absent = devices send as much as they like. */
  readonly throttling?: Pick<Throttling, 'meterOf'>;
  readonly limits?: {
    readonly telemetryBytesMax?: number;
    /** `$Default` included. */
    readonly consumerGroupsMax?: number;
  };
}

export function createEvents(parts: EventsParts): Guarded<Events & EventHubs> {
  const { telemetry, monitoring, consumerGroups, codec, clock } = parts;
  const telemetryBytesMax = parts.limits?.telemetryBytesMax ?? limits.telemetryBytesMax;
  const consumerGroupsMax = parts.limits?.consumerGroupsMax ?? limits.consumerGroupsMax;
  const own = [telemetry, monitoring].filter((log) => log !== undefined);
  const logs = (): readonly EventLog[] => [...own, ...(parts.further?.() ?? [])];
  const receivers = parts.receivers ?? createReceiverPlaces();
  const routing: Routing = parts.routing ?? noRouting;
  const shown = new WeakMap<EventLog, ShownFacts>();

  const eventHub = (name: string): EventLog | undefined =>
    logs().find((log) => log.name.toLowerCase() === name.toLowerCase());
  const known = (name: string): EventLog => {
    const log = eventHub(name);
    if (log === undefined) throw new HubError('AmqpAddressNotFound', `There is no event hub '${name}'.`);
    return log;
  };
  const shownOf = (log: EventLog): ShownFacts => {
    let facts = shown.get(log);
    if (facts === undefined) {
      facts = new ShownFacts(log, log === telemetry ? parts.routing : undefined);
      shown.set(log, facts);
    }
    return facts;
  };
  const groupsOf = async (log: EventLog): Promise<readonly ConsumerGroup[]> => [
    { name: DEFAULT_CONSUMER_GROUP, createdTime: log.createdTime },
    ...(await consumerGroups.list(log.name)),
  ];

  const put = (sender: EventSender, message: Telemetry, waiter: DurabilityWaiter): number => {
    const { log, partition, stamp } = sender;
    const now = clock.now();
    const decider = routing.current;
    const { body } = message;
    const mark = decider === undefined ? 0 : decider.decide(stamp, message, body, 0, body.length, now);
    const record = codec.encode(stamp, message, now, mark);
    const { writer } = log;
    const at = writer.reserve(partition, record.length);
    record.copy(writer.bytes(partition), at);
    writer.await(waiter);
    sender.meter?.charge(telemetryBytes(message));
    return writer.batch;
  };
  const checkHealth = (log: EventLog): void => {
    const health = log.health();
    if (!health.ok && health.isHeld !== true)
      throw new HubError('ServiceUnavailable', undefined, { reason: health.reason });
  };
  const check = (sender: EventSender, message: Telemetry): void => {
    demandProof(sender.proof, clock.now());
    checkTelemetry(message, sender.stamp, telemetryBytesMax);
    checkHealth(sender.log);
  };

  const room: Events & EventHubs = {
    openSender(principal, key, options) {
      if (principal.kind !== 'device') {
        throw new HubError('IotHubUnauthorizedAccess', 'Telemetry is sent by a device.', {
          reason: 'missing-permission',
        });
      }
      const partition = partitionOf(key.deviceId, telemetry.partitionCount);
      const stamp = telemetryStamp(principal, key, options?.modelId);
      const meter = parts.throttling?.meterOf(key);
      const proof = options?.proof ?? principal;
      return { log: telemetry, partition, stamp, meter, openedTime: clock.now(), proof, via: options?.via };
    },
    ready: (key) => routing.ready(key),
    enqueue(sender, message, waiter) {
      check(sender, message);
      return put(sender, message, waiter);
    },
    prepare(sender, { system, properties }) {
      const message = { system, properties, body: NO_BODY };
      checkTelemetry(message, sender.stamp, telemetryBytesMax);
      const template = codec.template(sender.stamp, message);
      const routed = { decider: undefined, mark: undefined, message: undefined };
      return { sender, template, propertyBytes: telemetryBytes(message), routed };
    },
    enqueuePrepared(prepared, source, bodyStart, bodyEnd, waiter) {
      const { sender, template, propertyBytes } = prepared;
      const { log, partition, meter } = sender;
      const bodyBytes = bodyEnd - bodyStart;
      const now = clock.now();
      if (sender.proof.expiresAt <= now) throw proofEnded();
      checkTelemetryBytes(propertyBytes + bodyBytes, sender.stamp, telemetryBytesMax);
      checkHealth(log);
      const { writer } = log;
      const decider = routing.current;
      const mark = decider === undefined ? 0 : markOf(prepared, decider, source, bodyStart, bodyEnd, now);
      const at = writer.reserve(partition, template.size(bodyBytes, mark));
      template.write(writer.bytes(partition), at, now, source, bodyStart, bodyEnd, mark);
      writer.await(waiter);
      if (meter !== undefined) meter.charge(propertyBytes + bodyBytes);
      return writer.batch;
    },
    slowed: () => goOn,
    waitMs: ({ meter }) => (meter === undefined ? 0 : meter.waitMs()),
    async send(sender, messages) {
      for (const message of messages) check(sender, message);
      sender.meter?.demand();
      if (sender.log.writer.congested) throw tooMuchWaits(sender.log.writer);
      if (messages.length === 0) return;
      const waiting = routing.ready(sender.stamp);
      if (waiting !== undefined) await waiting;
      await new Promise<void>((resolve, reject) => {
        let last = Number.POSITIVE_INFINITY;
        const waiter: DurabilityWaiter = {
          batchDurable: (batch) => {
            if (batch >= last) resolve();
          },
          batchFailed: (_, cause) => reject(new HubError('ServiceUnavailable', undefined, { cause })),
        };
        let batch = 0;
        for (const message of messages) batch = put(sender, message, waiter);
        last = batch;
      });
    },
    eventHub,
    eventHubs: () => logs().map((log) => shownOf(log).asLog()),
    async openReader(_principal, place) {
      const log = known(place.eventHub);
      const group = (await groupsOf(log)).find(({ name }) => sameConsumerGroup(name, place.consumerGroup));
      if (group === undefined) {
        throw new HubError('ConsumerGroupNotFound', `There is no consumer group '${place.consumerGroup}'.`);
      }
      const partition = parsePartition(place.partition, log.partitionCount);
      if (partition === undefined) {
        // SDKs look for this text (service reference 5.2).
        const text = 'The specified partition is invalid for an EventHub partition sender or receiver.';
        const range = `It should be between 0 and ${log.partitionCount - 1}.`;
        throw new HubError('PartitionNotFound', `${text} ${range}`);
      }
      const { history } = parts;
      const hasHistory =
        log === telemetry && history?.groups.some((name) => sameConsumerGroup(name, group.name)) === true;
      return { log: hasHistory ? history.log : log, partition, consumerGroup: group.name, shown: shownOf(log) };
    },
    async enterReceiver({ log, consumerGroup, partition }, receiver) {
      return receivers.enter({ eventHub: known(log.name).name, consumerGroup, partition }, receiver);
    },
    inspect: (_principal, name) => shownOf(known(name)).asLog(),
    async listConsumerGroups(_principal, name) {
      return groupsOf(known(name));
    },
    async createConsumerGroup(_principal, name, groupName) {
      const log = known(name);
      if (sameConsumerGroup(groupName, DEFAULT_CONSUMER_GROUP)) throw new HubError('ConsumerGroupAlreadyExists');
      checkConsumerGroupName(groupName);
      const group = { name: groupName, createdTime: clock.now() };
      const outcome = await consumerGroups.create(log.name, group, consumerGroupsMax - 1);
      if (outcome === 'exists') throw new HubError('ConsumerGroupAlreadyExists');
      if (outcome === 'full') throw tooManyGroups(log.name, consumerGroupsMax);
      return group;
    },
    async deleteConsumerGroup(_principal, name, groupName) {
      const log = known(name);
      if (sameConsumerGroup(groupName, DEFAULT_CONSUMER_GROUP)) {
        throw new HubError('OperationNotAvailable', `The consumer group ${DEFAULT_CONSUMER_GROUP} cannot be deleted.`);
      }
      const outcome = await consumerGroups.delete(log.name, groupName);
      if (outcome === 'notFound') {
        throw new HubError('ConsumerGroupNotFound', `There is no consumer group '${groupName}'.`);
      }
    },
  };
  return parts.guard.room(room, eventCalls);
}

const noRouting: Routing = { current: undefined, mayHide: false, ready: () => undefined };

/** Decided once for messages with the same properties, as long as nothing else is asked. */
function markOf(
  { sender, template, routed }: PreparedTelemetry,
  decider: RouteDecider,
  source: Uint8Array,
  bodyStart: number,
  bodyEnd: number,
  now: number,
): RoutingMark {
  if (routed.decider !== decider) {
    routed.message = template.message();
    routed.mark = decider.decideHead(sender.stamp, routed.message);
    routed.decider = decider;
  }
  const { mark } = routed;
  if (mark !== undefined) return mark;
  return decider.decide(sender.stamp, routed.message as MessageHead, source, bodyStart, bodyEnd, now);
}

const NO_BODY = new Uint8Array(0);

/** Nobody listens. */
const goOn = (): void => {};

function tooMuchWaits({ pendingBytes: current, pendingBytesMax: max }: EventWriter): HubError {
  return new HubError('ThrottlingException', 'More messages wait for the disk than the hub may hold.', {
    limit: { name: 'writerBytesMax', scope: 'hub', current, max },
  });
}

function tooManyGroups(eventHub: string, max: number): HubError {
  return new HubError('IotHubQuotaExceeded', `An event hub has at most ${max} consumer groups.`, {
    limit: { name: 'consumerGroupsMax', scope: `event hub ${eventHub}`, current: max, max },
  });
}
