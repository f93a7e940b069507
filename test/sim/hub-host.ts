/**
 * The machine that the hub runs on: its disk and tables outlive the process, which starts, stops and is killed. What runs
 * in it is the hub's own code: core, MQTT sessions and codec, the journal, the sweeper.
 */

import { limits } from '../../src/base/limits.ts';
import type { CommandQueue } from '../../src/core/commands/ports.ts';
import { createEvents } from '../../src/core/events/events.ts';
import type { EventLog } from '../../src/core/events/ports.ts';
import { partitionOf } from '../../src/core/events/rules.ts';
import { createHub, type WholeHub } from '../../src/core/hub.ts';
import { createHubState } from '../../src/core/hub-state.ts';
import { createGuard } from '../../src/core/identity/guard.ts';
import { hostNames } from '../../src/core/identity/host-names.ts';
import { ensurePolicies } from '../../src/core/identity/policies.ts';
import type { Policy } from '../../src/core/identity/types.ts';
import { createMonitor } from '../../src/core/monitoring/monitor.ts';
import { refusalAudit } from '../../src/core/monitoring/refused-operations.ts';
import { createPresence } from '../../src/core/presence/presence.ts';
import { type KeptPresence, keepPresence } from '../../src/core/presence/states.ts';
import { createRefusalDelays } from '../../src/core/throttling/slow-refusals.ts';
import { createThrottling } from '../../src/core/throttling/throttling.ts';
import { publishTwinEvents, type TwinEventPublisher, twinEventSources } from '../../src/core/twins/publishing.ts';
import { type AmqpConnections, amqpConnections } from '../../src/protocols/amqp/connections.ts';
import { type HttpConnections, httpConnections } from '../../src/protocols/http/connections.ts';
import { type MqttConnections, mqttConnections } from '../../src/protocols/mqtt/connections.ts';
import { recordCodec, twinEventCorrelation } from '../../src/records/record-codec.ts';
import { createSweeper, type Sweeper } from '../../src/server/sweeper.ts';
import { ChangeFeed } from '../../src/server/threads/change-feed.ts';
import { EventLogHost } from '../../src/server/threads/event-log-host.ts';
import type { HubHostParts } from '../../src/server/threads/hub-host.ts';
import { authorityCalls, identityCalls } from '../../src/server/threads/store-calls.ts';
import { VirtualDisk } from '../../src/stores/contract/event-log-disk.ts';
import { createMemoryAuthorityStore } from '../../src/stores/memory/authorities.ts';
import { createMemoryCommandQueue } from '../../src/stores/memory/command-queue.ts';
import { createMemoryConfigurationStore } from '../../src/stores/memory/configurations.ts';
import { createMemoryConsumerGroupStore } from '../../src/stores/memory/consumer-groups.ts';
import { memoryFiles } from '../../src/stores/memory/files.ts';
import { createMemoryFleetStore } from '../../src/stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryJobStore } from '../../src/stores/memory/jobs.ts';
import { createMemoryPlaces } from '../../src/stores/memory/places.ts';
import { createMemoryPolicyStore } from '../../src/stores/memory/policies.ts';
import { createMemoryPresenceStates } from '../../src/stores/memory/presence-states.ts';
import { createMemoryRoutes } from '../../src/stores/memory/routes.ts';
import { createMemorySubscriptionStore } from '../../src/stores/memory/subscriptions.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';
import { signed } from '../drivers/mqtt-door.ts';
import type { Canary } from './canary.ts';
import { DeliveryChecker } from './check-delivery.ts';
import { MonitoringChecker } from './check-monitoring.ts';
import { SimulatedDatabase } from './database.ts';
import { openSimulatedDelivery, type SimulatedDelivery } from './delivery.ts';
import { SimulatedEndpoint } from './endpoint.ts';
import { logOf, type OwnLog, openEventLog, presenceOfNode } from './hub-parts.ts';
import { SimulatedBrokers } from './kafka/brokers.ts';
import { isOfCluster } from './kafka/refusals.ts';
import { type Doors, Members } from './members.ts';
import { Life } from './scheduler.ts';
import { behind, identitiesBehind, placesBehind, type TableCalls, TableThread, twinsBehind } from './storage.ts';
import type { World } from './world.ts';

const DAY_MS = 86_400_000;
const RETENTION_DAYS = 100;
/** Where old clients would be sent. */
const AMQPS_PORT = 5671;

/** One run of the process. */
export interface Running {
  readonly life: Life;
  /** Where the next connection of that client is accepted; undefined = nowhere at the moment. */
  doors(client: string): Doors | undefined;
  readonly members: Members | undefined;
  readonly hub: WholeHub;
  readonly eventLog: OwnLog;
  readonly mqtt: MqttConnections;
  readonly amqp: AmqpConnections;
  /** Absent where nobody asks by HTTP: its routes take long to build. */
  readonly http?: HttpConnections;
  readonly sweeper: Sweeper;
  readonly presence: KeptPresence;
  /** Absent where nobody has to do with twins. */
  readonly twinEvents?: TwinEventPublisher;
  /** Absent where there are no routes. */
  readonly delivery: SimulatedDelivery | undefined;
}

/** What members use of the hub. */
type SharedByMembers = Pick<
  HubHostParts,
  'hub' | 'routes' | 'identities' | 'authorities' | 'subscriptions' | 'consumerGroups' | 'feed' | 'recorder' | 'limits'
>;

/** The process ended, or never was there, before it answered: what was asked for has happened or not. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

export class HubHost {
  readonly disk = new VirtualDisk();
  /** Absent where the hub keeps events on its own disk. */
  readonly brokers: SimulatedBrokers | undefined;
  readonly tables;
  /** What endpoints have, and readers. */
  readonly delivered: DeliveryChecker;
  readonly #endpoints: readonly SimulatedEndpoint[];
  /** Every line of level error that the hub wrote. */
  readonly errors: string[] = [];
  running: Running | undefined;
  /** It drains: no other may be started yet. */
  stopping = false;
  /** What each hand-over, as the store made it, is told to. */
  handedOver: (commands: Awaited<ReturnType<CommandQueue['lockNext']>>) => void = () => {};
  readonly #world: World;
  readonly #canary: Canary;
  readonly #dice;
  readonly #monitoring: MonitoringChecker;
  #life: Life | undefined;
  #policies: readonly Policy[] = [];
  readonly #tokens = new Map<string, string>();

  constructor(world: World, canary: Canary) {
    this.#world = world;
    this.#canary = canary;
    this.#dice = world.dice('hub');
    this.#monitoring = new MonitoringChecker(world);
    this.brokers = world.plan.cluster ? new SimulatedBrokers(world) : undefined;
    this.delivered = new DeliveryChecker(world);
    this.#endpoints = this.delivered.endpoints.map(
      (name) => new SimulatedEndpoint(world, name, (...what) => this.delivered.taken(...what)),
    );
    const identities = createMemoryIdentityStore();
    const twins = createMemoryTwinStore(identities, world.plan.twinBackEnds > 0 ? world.scheduler : undefined);
    this.tables = {
      identities,
      authorities: createMemoryAuthorityStore(),
      policies: createMemoryPolicyStore(),
      subscriptions: createMemorySubscriptionStore(),
      commandQueue: createMemoryCommandQueue(identities),
      twins,
      configurations: createMemoryConfigurationStore(identities, twins),
      consumerGroups: createMemoryConsumerGroupStore(),
      presenceStates: createMemoryPresenceStates(identities),
      ...createMemoryRoutes(),
    };
    const faults = world.dice('disk');
    this.disk.fault = (call) => {
      if (world.calm || call === 'read' || call === 'size' || call === 'list') return undefined;
      if (!faults.chance(world.plan.diskFaultRate)) return undefined;
      world.counters.diskFaults++;
      world.trace('disk', `${call} fails`);
      return { code: 'EIO', writtenBytes: faults.between(0, 700) };
    };
  }

  /** Starts the process. Undefined: it could not start, or was killed meanwhile. */
  async start(): Promise<Running | undefined> {
    const world = this.#world;
    const life = new Life(world.scheduler);
    this.#life = life;
    world.trace('hub', 'starts');
    const failed = this.#ends(life).then(() => undefined);
    const started = this.#open(life).catch((error: NodeJS.ErrnoException) => {
      world.trace('hub', `does not start: ${error.message}`);
      const expected =
        isOfCluster(error) || error.code === 'EIO' || error.code === 'ENOSPC' || error.message === 'disk I/O error';
      world.check(expected, () => `the hub does not start: ${error.stack}`);
      life.end();
      return undefined;
    });
    this.running = await Promise.race([started, failed]);
    if (this.running !== undefined) world.trace('hub', 'ready');
    return this.running;
  }

  /** The power fails. */
  kill(): void {
    if (this.#life === undefined) return;
    this.#world.trace('hub', 'is killed');
    this.running = undefined;
    this.#life.end();
    this.#life = undefined;
    this.disk.crash(this.#dice.next);
    this.#canary.crashed?.(this.tables);
  }

  /** The simulation is over: nothing of the process may be left in this one. */
  discard(): void {
    this.#life?.end();
  }

  /** The process drains and ends. */
  async stop(): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    this.#world.trace('hub', 'stops');
    this.running = undefined;
    this.stopping = true;
    const { life, mqtt, amqp, http, members, sweeper, presence, twinEvents, delivery, eventLog } = running;
    const stopped = (async () => {
      await Promise.all([mqtt.drain(), amqp.drain(), http?.drain(), members?.drain()]);
      await sweeper.close();
      await presence.close();
      await twinEvents?.close();
      await delivery?.close();
      await this.tables.presenceStates.end();
      await eventLog.close();
    })();
    await Promise.race([stopped, this.#ends(life)]);
    life.end();
    this.stopping = false;
    this.#world.trace('hub', 'has stopped');
  }

  /**
   * A back end asks the hub for something over the network.
   * @throws NoAnswer when the process ends before it has answered; else what the hub throws.
   */
  async call<Value>(operation: (hub: WholeHub) => Promise<Value>): Promise<Value> {
    await this.#world.scheduler.sleep(this.#dice.wait(2));
    const { running } = this;
    if (running === undefined) throw new NoAnswer('the hub is down');
    const lost = this.#ends(running.life).then(() => {
      throw new NoAnswer('the hub has ended');
    });
    const answer = await Promise.race([operation(running.hub), lost]);
    await this.#world.scheduler.sleep(this.#dice.wait(2));
    return answer;
  }

  /** A token of one of the hub's policies, which outlives the simulation; undefined before the hub has ever run. */
  policyToken(name: string): string | undefined {
    const known = this.#tokens.get(name);
    if (known !== undefined) return known;
    const policy = this.#policies.find((known) => known.name === name);
    if (policy === undefined) return undefined;
    const expiresAt = this.#world.scheduler.now() + 30 * DAY_MS;
    const token = `${signed('localhost', policy.primaryKey, expiresAt)}&skn=${name}`;
    this.#tokens.set(name, token);
    return token;
  }

  #ends(life: Life): Promise<void> {
    return new Promise((resolve) => (life.over ? resolve() : life.onEnd(resolve)));
  }

  async #open(life: Life): Promise<Running> {
    const { plan, counters } = this.#world;
    const world = this.#world;
    const canary = this.#canary;
    const { clock } = life;
    const { random } = this.#dice;
    const faults = world.dice(`tables-${counters.crashes + counters.stops}`);
    const database = plan.cluster ? new SimulatedDatabase(world, life, faults) : undefined;
    const thread: TableCalls =
      database ??
      new TableThread(life, faults, () => {
        const fails =
          !world.calm && faults.chance(this.disk.usedBytes >= this.disk.capacityBytes ? 0.8 : plan.tableFaultRate);
        if (fails) counters.tableFaults++;
        return fails;
      });
    const log = logOf(life, this.errors);
    const opened = await openEventLog({
      ...{ world, canary, life, disk: this.disk, brokers: this.brokers, dice: this.#dice, log },
      retentionMs: RETENTION_DAYS * DAY_MS,
    });
    const eventLog: EventLog = canary.eventLog?.(opened, counters.crashes) ?? opened;
    const { tables } = this;
    this.#policies = await ensurePolicies(behind(thread, tables.policies), {}, random);
    const presenceStates = behind(thread, tables.presenceStates);
    if (await presenceStates.begin()) {
      while ((await presenceStates.recover(limits.presenceBatchMax)).length > 0);
    }
    const feed = new ChangeFeed(clock);
    const stored = identitiesBehind(thread, tables.identities, life);
    const identities = feed.telling(canary.identities?.(stored) ?? stored, identityCalls);
    const authorities = feed.telling(createMemoryAuthorityStore(), authorityCalls);
    const sweeper = createSweeper(clock, log);
    const subscriptions = canary.subscriptions?.(tables.subscriptions) ?? tables.subscriptions;
    const { lastTime, count: earlierEvents } = this.#monitoring;
    const monitor = createMonitor({ clock, log, startTime: Math.max(clock.now(), lastTime + 1), earlierEvents });
    this.#monitoring.restarted();
    monitor.watch((event) => life.over || this.#monitoring.seen(event));
    // As the server does: so the stream knows of every start's time.
    monitor.record({ type: 'hubStarted' });
    const guard = createGuard(clock, refusalAudit(monitor));
    const consumerGroups = behind(thread, tables.consumerGroups);
    const keptTwins = twinsBehind(thread, tables.twins, life);
    const twins = canary.twins?.(keptTwins) ?? keptTwins;
    const delivery =
      plan.endpoints > 0
        ? await openSimulatedDelivery({
            ...{ world, canary, life, guard, eventLog, twins, endpoints: this.#endpoints, log },
            inForce: this.delivered.inForce,
            ...{ routes: behind(thread, tables.routes), cursors: behind(thread, tables.cursors) },
          })
        : undefined;
    const routing = delivery && { routing: delivery.routing };
    const events = createEvents({
      ...routing,
      guard,
      telemetry: eventLog,
      consumerGroups,
      codec: recordCodec,
      clock,
    });
    const common = {
      ...{ guard, identities, authorities, recorder: monitor },
      subscriptions: behind(thread, subscriptions),
      limits: { commands: { deadLetterMs: RETENTION_DAYS * DAY_MS } },
      ...{ clock, random, log },
    };
    const memory = createMemoryPlaces();
    const places = placesBehind(memory, plan.members > 0 ? life : undefined, this.#dice);
    const own =
      database === undefined
        ? createPresence({ places, clock, log })
        : presenceOfNode(database.places(places), life, log, canary.comparesNothing);
    const presence = keepPresence(canary.presence?.(own) ?? own, { store: presenceStates, clock, log });
    const state = createHubState({
      ...common,
      commandQueue: sweeper.watch(behind(thread, this.#queue())),
      twins,
      // Nobody asks for jobs here.
      jobs: createMemoryJobStore({ change: twins.change, keepEvent: () => {} }),
      configurations: behind(thread, tables.configurations),
      twinEvents: plan.twinBackEnds > 0,
      fleet: (live) => createMemoryFleetStore(identities, twins, live),
      files: memoryFiles(common.guard, identities, clock, random),
      presence: presence.presence,
      throttling: createThrottling({}, clock),
      commandFollower: undefined,
    });
    database?.watchLost(() => state.rowsMissed());
    const whole = createHub({
      ...common,
      name: 'mooring',
      hostNames: hostNames('mooring', ['localhost']),
      policies: this.#policies,
      events: canary.events?.(events, eventLog) ?? events,
      state,
      refusalDelays: createRefusalDelays(clock, 0),
      tracing: undefined,
    });
    const hub = canary.hub?.(whole) ?? whole;
    const twinEvents =
      plan.twinBackEnds > 0
        ? publishTwinEvents({
            ...{ store: twins, eventLog, codec: recordCodec, partitionOf, hubName: 'mooring', clock, log },
            ...routing,
            ...{ correlationOf: twinEventCorrelation, sources: new Set(twinEventSources) },
          })
        : undefined;
    sweeper.start(hub.commands);
    // The machine's clock must not time what lives on another.
    const http = plan.httpShare > 0 ? await httpConnections(hub, { requestMs: 0 }) : undefined;
    const amqp = amqpConnections(hub, () => AMQPS_PORT);
    const doors = { mqtt: mqttConnections(hub), amqp: canary.amqp?.(amqp) ?? amqp, ...(http && { http }) };
    const members =
      plan.members > 0
        ? this.#members(life, opened, {
            ...common,
            hub,
            feed,
            consumerGroups,
            ...(delivery && { routes: delivery.routes }),
          })
        : undefined;
    const pick = world.dice('doors');
    const doorsOf = (): Doors | undefined => (members === undefined ? { life, ...doors } : members.pick(pick));
    return {
      life,
      hub,
      eventLog: opened,
      doors: doorsOf,
      members,
      ...doors,
      sweeper,
      presence,
      ...(twinEvents && { twinEvents }),
      delivery,
    };
  }

  #members(life: Life, eventLog: OwnLog, shared: SharedByMembers): Members {
    return new Members({
      ...{
        world: this.#world,
        canary: this.#canary,
        life,
        logOf: (member) => logOf(member, this.errors),
        amqpsPort: AMQPS_PORT,
      },
      host: {
        ...shared,
        policies: this.#policies,
        logs: [new EventLogHost(eventLog, life.clock)],
        ...{ eventLimits: {}, throttle: {}, tracing: undefined },
        ...{ refusalDelays: createRefusalDelays(life.clock, 0), refusalDelayMsMax: 0 },
      },
    });
  }

  #queue(): CommandQueue {
    const { commandQueue } = this.tables;
    const queue = this.#canary.commandQueue?.(commandQueue) ?? commandQueue;
    return {
      ...queue,
      lockNext: async (...parameters) => {
        const taken = await queue.lockNext(...parameters);
        this.handedOver(taken);
        return taken;
      },
    };
  }
}
