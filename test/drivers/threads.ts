/** A hub in this process on memory stores, whose MQTT doors are on listener threads that a test may end. */

import type { Worker } from 'node:worker_threads';
import { signSas } from '../../src/api/sas.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { createEvents } from '../../src/core/events/events.ts';
import { createHub, type WholeHub } from '../../src/core/hub.ts';
import { createHubState } from '../../src/core/hub-state.ts';
import { createGuard, silentAudit } from '../../src/core/identity/guard.ts';
import { hostNames } from '../../src/core/identity/host-names.ts';
import { ensurePolicies } from '../../src/core/identity/policies.ts';
import { silentRecorder } from '../../src/core/monitoring/types.ts';
import { createPresence } from '../../src/core/presence/presence.ts';
import { createRefusalDelays } from '../../src/core/throttling/slow-refusals.ts';
import { createThrottling } from '../../src/core/throttling/throttling.ts';
import type { Door } from '../../src/protocols/shared/door.ts';
import { recordCodec } from '../../src/records/record-codec.ts';
import { ChangeFeed } from '../../src/server/threads/change-feed.ts';
import { EventLogHost } from '../../src/server/threads/event-log-host.ts';
import { authorityCalls, identityCalls } from '../../src/server/threads/store-calls.ts';
import { ListenerThreads } from '../../src/server/threads/threads.ts';
import { SharedTls } from '../../src/server/threads/tls.ts';
import { createMemoryAuthorityStore } from '../../src/stores/memory/authorities.ts';
import { createMemoryCommandQueue } from '../../src/stores/memory/command-queue.ts';
import { createMemoryConfigurationStore } from '../../src/stores/memory/configurations.ts';
import { createMemoryConsumerGroupStore } from '../../src/stores/memory/consumer-groups.ts';
import { createMemoryEventLog, type MemoryEventLog } from '../../src/stores/memory/event-log.ts';
import { memoryFiles } from '../../src/stores/memory/files.ts';
import { createMemoryFleetStore } from '../../src/stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryJobStore } from '../../src/stores/memory/jobs.ts';
import { createMemoryPlaces } from '../../src/stores/memory/places.ts';
import { createMemoryPolicyStore } from '../../src/stores/memory/policies.ts';
import { createMemorySubscriptionStore } from '../../src/stores/memory/subscriptions.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';
import { createTestTls, type LogLine, recordingLog, type TestTls } from './http.ts';
import { MqttDriver } from './mqtt.ts';
import { owner } from './owner.ts';

export interface ThreadedHub extends AsyncDisposable {
  readonly hub: WholeHub;
  readonly threads: ListenerThreads;
  /** Every listener thread that was ever started, in order. */
  readonly workers: readonly Worker[];
  /** Resolves with the next one that is started. */
  nextWorker(): Promise<Worker>;
  readonly mqtt: Door;
  readonly mqtts: Door;
  readonly tls: TestTls;
  readonly telemetry: MemoryEventLog;
  readonly log: readonly LogLine[];
  /** Creates the device if it must be; a connection of it over plain MQTT. */
  device(deviceId: string): Promise<MqttDriver>;
}

/** @param program of the threads; absent = their own */
export async function openThreadedHub(count = 2, program?: URL, clock: Clock = systemClock): Promise<ThreadedHub> {
  const random = systemRandom;
  const log: LogLine[] = [];
  const telemetry = createMemoryEventLog({ name: 'mooring', partitionCount: 4 });
  const monitoring = createMemoryEventLog({ name: 'mooring-monitoring', partitionCount: 1 });
  const consumerGroups = createMemoryConsumerGroupStore();
  const policies = await ensurePolicies(createMemoryPolicyStore(), {}, random);
  const feed = new ChangeFeed(clock);
  const store = createMemoryIdentityStore();
  const identities = feed.telling(store, identityCalls);
  const authorities = feed.telling(createMemoryAuthorityStore(), authorityCalls);
  const guard = createGuard(clock, silentAudit);
  const recorder = silentRecorder;
  const subscriptions = createMemorySubscriptionStore();
  const common = {
    ...{ guard, identities, authorities, subscriptions, recorder },
    ...{ limits: {}, clock, random, log: recordingLog(log) },
  };
  const twins = createMemoryTwinStore(store);
  const state = createHubState({
    ...common,
    commandQueue: createMemoryCommandQueue(store),
    twins,
    jobs: createMemoryJobStore(twins),
    configurations: createMemoryConfigurationStore(store, twins),
    fleet: (live) => createMemoryFleetStore(store, twins, live),
    files: memoryFiles(common.guard, store, clock),
    presence: createPresence({ places: createMemoryPlaces(), clock }),
    throttling: createThrottling({}, clock),
    commandFollower: undefined,
  });
  const refusalDelays = createRefusalDelays(clock, 0);
  const hub = createHub({
    name: 'mooring',
    ...common,
    hostNames: hostNames('mooring', ['localhost']),
    policies,
    events: createEvents({ guard, telemetry, monitoring, consumerGroups, codec: recordCodec, clock }),
    state,
    refusalDelays,
    tracing: undefined,
  });
  const logs = [telemetry, monitoring].map((each) => new EventLogHost(each, clock));
  const certificate = await createTestTls();
  const tls = new SharedTls(certificate, { clock, random });

  const workers: Worker[] = [];
  let started: (worker: Worker) => void = () => {};
  const onWorker = (worker: Worker): void => {
    workers.push(worker);
    started(worker);
  };
  process.on('worker', onWorker);
  const threads = await ListenerThreads.start({
    ...{ hub, policies, identities, authorities, subscriptions, consumerGroups, feed, logs, tls, count },
    limits: {},
    eventLimits: {},
    throttle: {},
    ...{ refusalDelays, refusalDelayMsMax: 0, recorder, tracing: undefined },
    logLevel: 'info',
    ...(program && { program }),
    metrics: { authenticationFailed: () => {} },
    handshakes: { failed: () => {} },
  });
  const place = { port: 0, addresses: ['127.0.0.1'] };
  const mqtt = await threads.open({ protocol: 'mqtt', name: 'mqttPort', isTls: false, ...place });
  const mqtts = await threads.open({ protocol: 'mqtt', name: 'mqttsPort', isTls: true, ...place });
  return {
    ...{ hub, threads, workers, mqtt, mqtts, tls: certificate, telemetry, log },
    nextWorker: () =>
      new Promise((resolve) => {
        started = resolve;
      }),
    async device(deviceId) {
      const known = await hub.registry.get(owner, { deviceId }).catch(() => hub.registry.put(owner, { deviceId }));
      const key = known.authentication.symmetricKey?.primaryKey ?? '';
      const resource = `localhost/devices/${deviceId}`;
      const token = await signSas({ resource, key, expiresAt: clock.now() + 3_600_000 });
      const username = `localhost/${deviceId}/?api-version=2021-04-12`;
      const fields = { clientId: deviceId, username, password: Buffer.from(token) };
      const { client, returnCode } = await MqttDriver.connect({ port: mqtt.port }, fields);
      if (returnCode !== 0) throw new Error(`the device was refused with ${returnCode}`);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const door of [mqtt, mqtts]) await door.stopAccepting();
      await Promise.all([mqtt.drain(), mqtts.drain()]);
      await threads.stop();
      process.off('worker', onWorker);
      tls.close();
      for (const each of logs) each.close();
    },
  };
}
