/**
 * Builds the whole: from settings to open doors. The order here is the order in which to read the program; a stop
 * undoes it backwards, because each step tells `shutdown` how before the next one begins.
 *
 *     data folder -> storage -> certificate -> core -> listener threads -> doors -> endpoints.json
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import { carryConfigurations } from '../core/configurations/carrying.ts';
import { createEvents } from '../core/events/events.ts';
import { partitionOf } from '../core/events/rules.ts';
import { createHub, type WholeHub } from '../core/hub.ts';
import { createHubState } from '../core/hub-state.ts';
import { createGuard } from '../core/identity/guard.ts';
import { hostNames } from '../core/identity/host-names.ts';
import { ensurePolicies, type GivenPolicyKeys } from '../core/identity/policies.ts';
import type { AuthorityChange, AuthorityStore, IdentityChange, IdentityStore } from '../core/identity/ports.ts';
import { concerning } from '../core/monitoring/concerned.ts';
import { refusalAudit } from '../core/monitoring/refused-operations.ts';
import { createRefusalDelays } from '../core/throttling/slow-refusals.ts';
import { createThrottling } from '../core/throttling/throttling.ts';
import { publishTwinEvents, twinEventSources } from '../core/twins/publishing.ts';
import { isLoopback } from '../protocols/http/admin-guard.ts';
import type { HandshakeFailure } from '../protocols/shared/handshake-failure.ts';
import { twinEventCorrelation } from '../records/record-codec.ts';
import { openAdapters } from './adapters/adapters.ts';
import { openArchive } from './archive/open-archive.ts';
import { openBulkChanges } from './bulk-changes/open-bulk-changes.ts';
import type { Settings } from './config/config.ts';
import type { LoadedSettings } from './config/config-sources.ts';
import { throttleLimits } from './config/throttle-settings.ts';
import { type DataFolder, openDataFolder, refuseOtherStorage, writeFileDurably } from './data/data-folder.ts';
import { type DiskReserve, keepReserve } from './data/disk-reserve.ts';
import { openRunningTime } from './data/running-time.ts';
import { openDelivery } from './delivery/open-delivery.ts';
import { openDoors } from './doors.ts';
import { describeEndpoints, portalUrlOf } from './endpoints.ts';
import { carryRollouts, openFiles } from './files.ts';
import type { GreetingFacts } from './greeting.ts';
import { joinNodes, shareDevices } from './join-nodes.ts';
import { measureArchives } from './observe/archive-metrics.ts';
import { measureConfigurations } from './observe/configuration-metrics.ts';
import { nodesCheck } from './observe/health/checks.ts';
import { measureJobs } from './observe/job-metrics.ts';
import { countFailures, openMetrics } from './observe/metrics.ts';
import { openMonitoring, wantsSource } from './observe/monitoring.ts';
import { measureLiveQueries } from './observe/query-metrics.ts';
import { measureRegistryJobs } from './observe/registry-job-metrics.ts';
import { storeTraffic } from './observe/store-traffic.ts';
import { openHealth } from './open-health.ts';
import { type NodeDuty, openNodes } from './open-nodes.ts';
import { openTls } from './open-tls.ts';
import { openPortal, startCode } from './portal/open-portal.ts';
import { reachOf } from './reach.ts';
import { openRegistryJobs } from './registry-jobs/open-jobs.ts';
import { openEndpointHubs } from './routes/endpoint-hubs.ts';
import { openEnrichments } from './routes/open-enrichments.ts';
import { openRoutes } from './routes/open-routes.ts';
import { openEmbedded } from './storage/embedded.ts';
import { eventHubSink } from './storage/event-hub-endpoints.ts';
import { kafkaEndpointSink } from './storage/kafka-endpoints.ts';
import type { Surroundings } from './surroundings.ts';
import { createSweeper } from './sweeper.ts';
import { ChangeFeed, overhearing } from './threads/change-feed.ts';
import { FurtherLogs, hostLogs, startThreads, usableThreads } from './threads/share.ts';
import { authorityCalls, identityCalls } from './threads/store-calls.ts';
import { HandshakeFailures } from './tls/handshake-failures.ts';

export interface RunningHub {
  readonly greeting: Omit<GreetingFacts, 'showConnectionStrings'>;
  reloadCertificate(): Promise<void>;
}

/** @throws Error whose message says what to do; what was opened by then is in `shutdown`. */
export async function compose(loaded: LoadedSettings, surroundings: Surroundings): Promise<RunningHub> {
  const { settings } = loaded;
  const { clock, random, log, shutdown } = surroundings;
  const metrics = openMetrics();

  const folder = openFolder(settings, clock);
  shutdown.add('data folder', () => folder.release());
  refuseOtherStorage(folder.path, folder.facts, settings.storage);
  const hubName = folder.facts.hubName;
  const endpointsFile = folder.file('endpoints.json');
  // One that a killed hub has left would send clients to ports that are not open yet.
  rmSync(endpointsFile, { force: true });

  const runningTime = openRunningTime(folder.path, clock, log);
  shutdown.add('running time', () => runningTime.close());

  // What a hub does not use it does not load.
  const open = settings.storage === 'cluster' ? (await import('./storage/cluster.ts')).openCluster : openEmbedded;
  const storage = await open({ settings, folder, runningTime, clock, random, log });
  shutdown.add('storage', () => storage.close());
  for (const metric of storage.metrics) metrics.registry.registerMetric(metric);
  const { stores } = storage;
  const { telemetry, monitoring } = storage.logs;

  const nodes =
    storage.nodes && (await openNodes({ settings, folder, storage, shared: storage.nodes, ...surroundings }));
  const { places } = nodes ?? storage;

  const ownDuty = (duty: NodeDuty) => nodes && { isOwnDuty: () => nodes.membership.has(duty) };
  const nodeName = nodes?.membership.name;
  // Work that nodes share is a process's: it takes up what those of its name before it have left.
  const ownProcess = nodes?.membership.process ?? 'hub';
  const mayWork = (): boolean => storage.nodes?.fence.mayAnswer() ?? true;

  const reach = reachOf(settings);
  const { tls, reload: reloadTls } = await openTls(settings, folder, reach.names, surroundings, nodes, storage);
  shutdown.add('certificate', () => tls.close());

  const policies = await ensurePolicies(stores.policies, givenKeys(settings), random);

  for (const name of settings.consumerGroups) {
    const group = { name, createdTime: clock.now() };
    // `$Default` is always there and does not stand in the store, but counts.
    const outcome = await stores.consumerGroups.create(hubName, group, settings.consumerGroupsMax - 1);
    if (outcome === 'full') throw new Error(`consumerGroups: ${name} would be more than consumerGroupsMax allows.`);
  }

  const eventLimits = { telemetryBytesMax: settings.telemetryBytesMax, consumerGroupsMax: settings.consumerGroupsMax };
  const throttle = throttleLimits(settings);
  const throttling = createThrottling(throttle, clock);
  const routes = await openRoutes({
    ...{ settings, store: stores.routes, telemetry, twins: stores.twins, clock, log, shutdown },
    ...(nodes && { changed: () => nodes.hint('routes') }),
  });
  const { routing } = routes;
  const monitored = await openMonitoring({
    ...{
      settings,
      hubName,
      telemetry,
      monitoring,
      codec: storage.codec,
      routing,
      metrics,
      clock,
      random,
      log,
      shutdown,
    },
    presenceStates: stores.presenceStates,
    ...{ places, nodes: nodes?.presence },
    commandQueue: stores.commandQueue,
  });
  const { recorder, tracing, keptPresence } = monitored;
  runningTime.watch(({ jumpMs }) => recorder.record({ type: 'clockJumped', jumpMs }));
  const guard = createGuard(clock, refusalAudit(recorder));
  const hubs = await openEndpointHubs({
    ...{ routes, open: storage.openEventHub, reserved: [telemetry.name, monitoring.name], clock, log, shutdown },
  });
  const enrichments = openEnrichments({ routes, hubName, clock, log, registry: metrics.registry });
  const archiveTraffic = storeTraffic('mooring_archive_store', 'the stores of archives');
  archiveTraffic.measure(metrics.registry);
  const archive = openArchive({
    enrichments,
    ...{ settings, telemetry, cursors: stores.cursors, clock: storage.clock, logger: log },
    routes: { current: () => routes.current(), onChange: (listener) => routes.watch(() => listener()) },
    ...{ folder: folder.file('archive'), staging: folder.file('archive-staging') },
    node: nodeName ?? 'hub',
    ...{ process: ownProcess, mayWork },
    observe: archiveTraffic.observe,
  });
  shutdown.add('archives', () => archive.close());
  storage.keepFor?.(() => archive.archives.wanted());
  measureArchives(metrics.registry, () => archive.archives.archivers().map((each) => each.status()));
  const events = createEvents({
    ...{ guard, telemetry, routing },
    ...(archive.history !== undefined && { history: archive.history }),
    monitoring,
    further: hubs.logs,
    consumerGroups: stores.consumerGroups,
    ...(nodes && { receivers: nodes.receivers }),
    codec: storage.codec,
    clock,
    throttling,
    limits: eventLimits,
  });
  const feed = new ChangeFeed(clock, nodes?.elsewhere);
  const heardIdentities = overhearing<IdentityChange, IdentityStore>(
    feed.telling(stores.identities, identityCalls, 'identities'),
  );
  const heardAuthorities = overhearing<AuthorityChange, AuthorityStore>(
    feed.telling(stores.authorities, authorityCalls, 'authorities'),
  );
  const [identities, authorities] = [heardIdentities.store, heardAuthorities.store];
  const hubLimits = {
    devicesMax: settings.devicesMax,
    clockSkewMs: settings.clockSkewSeconds * 1000,
    ...(settings.tokenLifeHoursMax !== 'off' && { tokenLifeMsMax: settings.tokenLifeHoursMax * 3_600_000 }),
  };
  const refusalDelayMsMax = settings.refusalDelaySeconds * 1000;
  const refusalDelays = createRefusalDelays(clock, refusalDelayMsMax);
  const sweeper = createSweeper(storage.clock, log);
  const common = {
    ...{ guard, identities, authorities, subscriptions: stores.subscriptions, recorder },
    ...{ limits: hubLimits, clock, random, log },
  };
  const files = await openFiles({
    ...{ settings, guard, identities, recorder, clock: storage.clock, random, log, shutdown },
    folder: folder.file('files'),
    isOneOfMany: nodes !== undefined,
    localName: reach.localName,
    records: stores.fileRecords,
    grants: stores.fileGrants,
    rollouts: stores.fileRollouts,
    ...ownDuty('files'),
  });
  const state = createHubState({
    ...common,
    clock: storage.clock,
    commandQueue: sweeper.watch(stores.commandQueue),
    twins: stores.twins,
    jobs: stores.jobs,
    ...(nodes && { node: ownProcess, mayWork }),
    jobEvents: wantsSource(settings, 'deviceJobLifecycleEvents'),
    configurations: stores.configurations,
    fleet: () => stores.fleet,
    settlePresence: () => keptPresence.settle(),
    ...(nodes && { rowsElsewhere: nodes.rows }),
    twinEvents: wantsSource(settings, 'twinChangeEvents'),
    files: files.room,
    presence: keptPresence.presence,
    throttling,
    commandFollower: monitored.commandFollower,
  });
  storage.watchLost?.(() => {
    state.rowsMissed();
    nodes?.hint('lost answers');
  });
  const publisher = publishTwinEvents({
    ...{ store: stores.twins, eventLog: telemetry, codec: storage.codec, routing, partitionOf, hubName, clock, log },
    correlationOf: twinEventCorrelation,
    ...(storage.begunTwinEvents && { begun: storage.begunTwinEvents }),
    ...ownDuty('events of twins'),
    sources: new Set(twinEventSources.filter((source) => wantsSource(settings, source))),
  });
  const carrying = carryConfigurations({
    ...{ store: stores.configurations, identities, clock: storage.clock, random, log },
    withEvents: wantsSource(settings, 'twinChangeEvents'),
    modulesPerDeviceMax: limits.modulesPerDeviceMax,
    // Tables on a server may hold what another process has left since this one has started.
    ...(settings.storage === 'cluster' && { lookMs: limits.configurationLookMs }),
    notApplied: (key, reason) => recorder.record({ type: 'configurationNotApplied', ...concerning(key), reason }),
  });
  shutdown.add('configurations', () => carrying.close());
  measureConfigurations(metrics.registry, carrying.totals, stores.configurations);
  metrics.watchTwins(state.totals, publisher);
  measureLiveQueries(metrics.registry, state.totals.live);
  shutdown.add('events of twins', () => publisher.close());
  const core = createHub({
    ...common,
    // What doors ask it is compared with times of the stores, and nodes that share these agree on what has ended.
    clock: storage.clock,
    name: hubName,
    hostNames: hostNames(hubName, [...new Set([...reach.names, ...tls.names])]),
    policies,
    refusalDelays,
    events,
    state,
    tracing,
  });
  const hub: WholeHub = { ...core, authentication: countFailures(core.authentication, metrics) };
  metrics.watchCommands(core.commands, storage.clock);
  sweeper.start(core.commands);
  shutdown.add('sweep of commands', () => sweeper.close());
  shutdown.add(
    'rollouts',
    carryRollouts(files, core.commands, stores.commandQueue, { clock: storage.clock, log, ...ownDuty('rollouts') }),
  );
  metrics.watchPresence(hub.presence);
  const registryJobs = openRegistryJobs({
    ...{ settings, guard, identities, recorder, clock: storage.clock, random, log, shutdown },
    ...{ records: stores.registryJobs, pages: stores.registryPages, twins: stores.twins },
    twinEvents: wantsSource(settings, 'twinChangeEvents'),
    areas: files.room.areas,
    configurations: hub.configurations,
    limits: { devicesMax: settings.devicesMax, modulesPerDeviceMax: limits.modulesPerDeviceMax },
    ...{ holder: ownProcess, mayWork },
  });
  measureRegistryJobs(metrics.registry, registryJobs.totals);
  state.jobRunner.start();
  measureJobs(metrics.registry, state.jobRunner, stores.jobs, storage.clock);

  const count = (failure: HandshakeFailure): void => metrics.handshakeFailed(failure);
  const handshakes = new HandshakeFailures({ clock, log, recorder, count });
  const threadCount = await usableThreads(settings.storage === 'cluster' ? 1 : settings.threads, log);
  const threads =
    threadCount === 1
      ? undefined
      : await startThreads(
          {
            ...{
              hub,
              policies,
              identities,
              authorities,
              feed,
              tls,
              metrics,
              handshakes,
              eventLimits,
              history: archive.history,
              throttle,
              routes,
            },
            consumerGroups: stores.consumerGroups,
            subscriptions: stores.subscriptions,
            logs: hostLogs([telemetry, monitoring], surroundings),
            further: new FurtherLogs(hubs, clock),
            limits: hubLimits,
            ...{ refusalDelays, refusalDelayMsMax, recorder, tracing },
            count: threadCount,
            logLevel: settings.logLevel,
          },
          surroundings,
        );
  const delivery = openDelivery({
    ...{ settings, hubName, routes, telemetry, cursors: stores.cursors, enrichments, clock, recorder, log, shutdown },
    markOf: routing.markOf,
    ...{ node: ownProcess, mayWork },
    eventHubSink: (endpoint) => eventHubSink(() => hubs.of(endpoint), storage.codec),
    kafkaSink: (endpoint) => kafkaEndpointSink(endpoint, { clock, log }),
    storeClock: storage.clock,
    registry: metrics.registry,
  });
  let reserve: DiskReserve | undefined;
  const health = openHealth({
    ...{ settings, storage, folder, runningTime, telemetry, tls, threads, files, metrics, clock, log, shutdown },
    archives: archive.archives,
    delivery: delivery.check,
    traces: monitored.traces,
    reserveBytes: () => reserve?.bytes,
  });
  const portal = await openPortal({
    ...{ settings, folder, policies, recorder, metrics, health, onDisk: storage.onDisk, clock, random, log, shutdown },
    telemetry,
    ...(nodeName !== undefined && { among: { node: nodeName, monitoring } }),
  });
  if (nodes !== undefined) {
    health.add(nodesCheck(nodes));
    await joinNodes(
      {
        ...{ nodes, state, monitored, keptPresence, publisher, twins: stores.twins, routes, reloadTls, log },
        heard: { 'changed identities': heardIdentities.hear, 'changed authorities': heardAuthorities.hear },
      },
      { port: settings.nodePort, addresses: reach.open },
    );
  }
  const bulkChanges = openBulkChanges({ hub, folder, clock, random, log, shutdown });
  const doors = await openDoors({
    bulkChanges,
    ...(nodes && { nodes }),
    ...(portal !== undefined && { portal }),
    liveEvents: monitored.liveEvents,
    hub,
    loaded,
    reach,
    tls,
    metrics,
    handshakes,
    shutdown,
    health,
    threads,
    files: files.room,
    registryJobs: registryJobs.jobs,
    archives: archive.room(guard),
    routes: await routes.open(guard, async () => delivery.states()),
  });
  const { ports, notices } = doors;
  if (nodes !== undefined) {
    await shareDevices({
      ...{ nodes, presence: monitored.presence, doors, twins: stores.twins, clock, log, shutdown },
      drainSeconds: settings.drainSeconds,
    });
  }
  const stopAdapters = openAdapters({
    ...{ settings: settings.adapters, folder: folder.file('adapters'), hub, recorder, tls, health },
    files: files.room,
    metrics: metrics.registry,
  });
  shutdown.add('adapters', () => stopAdapters(settings.drainSeconds * 1000));
  // Before the doors close: they wait for their answers, and these may wait for minutes.
  shutdown.add('methods that wait', () => state.closeMethods());
  // Before those, so that no device is asked any more; what was asked has a moment to be answered.
  shutdown.add('jobs', () => state.jobRunner.close());
  shutdown.add('live queries', () => state.closeLive());
  files.listens(ports.https ?? undefined);
  health.start();

  const caFile = tls.caFile ?? path.resolve(settings.tlsCaFile ?? settings.tlsCertFile ?? '');
  const portalUrl =
    portal === undefined || ports.admin === null
      ? null
      : portalUrlOf(reach.localName, ports.admin, !reach.admin.every(isLoopback));
  const endpoints = describeEndpoints(hubName, reach.localName, ports, caFile, portalUrl, policies);
  writeFileDurably(endpointsFile, `${JSON.stringify(endpoints, undefined, 2)}\n`);
  // The last of what a start writes is written; what clients send takes the room that is left behind this.
  reserve = await keepReserve(folder.path, folder.gaveUpBytes, clock);
  shutdown.add('reserve', () => reserve?.close());
  shutdown.add('endpoints.json', () => rmSync(endpointsFile, { force: true }));
  return {
    greeting: {
      endpoints,
      publicName: settings.hostName[0],
      policies,
      dataDir: folder.path,
      endpointsFile,
      ...(portal !== undefined && { portalCode: startCode(portal) }),
      notices,
    },
    reloadCertificate: () => tls.reload(),
  };
}

function openFolder(settings: Settings, clock: Clock): DataFolder {
  const facts = {
    hubName: settings.hubName ?? 'mooring',
    partitions: settings.partitions ?? limits.partitionsDefault,
    createdTime: clock.now(),
  };
  const named = { hubName: settings.hubName !== undefined, partitions: settings.partitions !== undefined };
  return openDataFolder(settings.dataDir, facts, named);
}

function givenKeys(settings: Settings): GivenPolicyKeys {
  const given = {
    iothubowner: settings.ownerKey,
    service: settings.serviceKey,
    device: settings.deviceKey,
    registryRead: settings.registryReadKey,
    registryReadWrite: settings.registryReadWriteKey,
  };
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, primaryKey]) => (primaryKey === undefined ? [] : [[name, { primaryKey }]])),
  );
}
