import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { VirtualClock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import { silentLog } from '../base/log.ts';
import { seededRandom } from '../base/random.ts';
import { createMemoryAuthorityStore } from '../stores/memory/authorities.ts';
import { createMemoryCommandQueue } from '../stores/memory/command-queue.ts';
import { createMemoryConfigurationStore } from '../stores/memory/configurations.ts';
import { memoryFiles } from '../stores/memory/files.ts';
import { createMemoryFleetStore } from '../stores/memory/fleet.ts';
import { createMemoryIdentityStore } from '../stores/memory/identities.ts';
import { createMemoryJobStore } from '../stores/memory/jobs.ts';
import { createMemoryPlaces } from '../stores/memory/places.ts';
import { createMemoryPolicyStore } from '../stores/memory/policies.ts';
import { createMemorySubscriptionStore } from '../stores/memory/subscriptions.ts';
import { createMemoryTwinStore } from '../stores/memory/twins.ts';
import type { EventHubs, Events } from './events/room.ts';
import { createHub, type Hub, type WholeHub } from './hub.ts';
import { createHubState } from './hub-state.ts';
import { createGuard, type Guarded } from './identity/guard.ts';
import { hostNames } from './identity/host-names.ts';
import { ensurePolicies } from './identity/policies.ts';
import type { IdentityKey, PolicyPrincipal, Principal } from './identity/types.ts';
import { refusalAudit } from './monitoring/refused-operations.ts';
import type { MonitoringReport, Recorder } from './monitoring/types.ts';
import type { PresenceTicket } from './presence/ports.ts';
import { createPresence } from './presence/presence.ts';
import { createRefusalDelays } from './throttling/slow-refusals.ts';
import { createThrottling } from './throttling/throttling.ts';

const owner: PolicyPrincipal = {
  kind: 'policy',
  policyName: 'iothubowner',
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect', 'DeviceConnect']),
  expiresAt: Number.POSITIVE_INFINITY,
  scope: [],
};

async function house(told?: MonitoringReport[]): Promise<WholeHub> {
  const random = seededRandom(3);
  const clock = new VirtualClock();
  const recorder: Recorder = { record: (report) => void told?.push(report) };
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const common = {
    guard: createGuard(clock, refusalAudit(recorder)),
    ...{ identities, authorities: createMemoryAuthorityStore(), subscriptions: createMemorySubscriptionStore() },
    ...{ recorder, limits: {}, clock, random, log: silentLog },
  };
  const state = createHubState({
    ...common,
    commandQueue: createMemoryCommandQueue(identities),
    twins,
    jobs: createMemoryJobStore(twins),
    configurations: createMemoryConfigurationStore(identities, twins),
    fleet: (live) => createMemoryFleetStore(identities, twins, live),
    files: memoryFiles(common.guard, identities, clock, random),
    presence: createPresence({ places: createMemoryPlaces(), clock }),
    throttling: createThrottling({}, clock),
    commandFollower: undefined,
  });
  return createHub({
    ...common,
    name: 'myhub',
    hostNames: hostNames('myhub', ['localhost']),
    policies: await ensurePolicies(createMemoryPolicyStore(), {}, random),
    // Nothing here sends or reads events.
    events: {} as Guarded<Events & EventHubs>,
    state,
    refusalDelays: createRefusalDelays(clock, 0),
    tracing: undefined,
  });
}

async function enter(hub: WholeHub, key: IdentityKey): Promise<Principal & { kind: 'device' }> {
  const { authentication } = await hub.registry.get(owner, key);
  const module = key.moduleId === undefined ? '' : `/modules/${key.moduleId}`;
  const signed = `localhost/devices/${key.deviceId}${module}`;
  const se = Math.floor(hub.clock.now() / 1000) + 60;
  const hmac = createHmac('sha256', Buffer.from(authentication.symmetricKey!.primaryKey, 'base64'));
  const sig = encodeURIComponent(hmac.update(`${signed}\n${se}`).digest('base64'));
  const token = `SharedAccessSignature sr=${signed}&sig=${sig}&se=${se}`;
  return hub.authentication.device(key, { kind: 'token', token });
}

function connect(hub: WholeHub, who: Principal & { kind: 'device' }, heard: string[]): Promise<PresenceTicket> {
  return hub.admission.claim(who, {
    key: who.key,
    generationId: who.generationId,
    protocol: 'mqtt',
    credential: 'sas',
    peer: '127.0.0.1',
    drop: (reason) => void heard.push(`${who.key.deviceId}${who.key.moduleId ?? ''} ${reason}`),
  });
}

const d1 = { deviceId: 'd1' };
const m1 = { deviceId: 'd1', moduleId: 'm1' };

test('a disabled device loses its connection, and those of its modules, before the request is answered', async () => {
  const hub = await house();
  const heard: string[] = [];
  for (const key of [d1, m1, { deviceId: 'd2' }]) {
    await hub.registry.put(owner, key);
    await connect(hub, await enter(hub, key), heard);
  }
  await hub.registry.put(owner, { ...d1, statusReason: 'seen' }, '*');
  assert.deepEqual(heard, []);
  await hub.registry.put(owner, { ...d1, status: 'disabled' }, '*');
  assert.deepEqual(heard, ['d1m1 disabled', 'd1 disabled']);
  assert.equal((await hub.registry.get(owner, d1)).connected, false);
  assert.equal((await hub.registry.statistics(owner)).connectedDeviceCount, 1);
  await assert.rejects(enter(hub, m1), { code: 'IotHubUnauthorized' });
});

test('a deleted device loses its connection and session; its successor inherits neither', async () => {
  const hub = await house();
  const heard: string[] = [];
  await hub.registry.put(owner, d1);
  const first = await enter(hub, d1);
  await connect(hub, first, heard);
  await hub.subscriptions.save(first, [{ filter: '#', qos: 1 }]);
  await hub.registry.bulk(owner, [{ draft: d1, importMode: 'delete' }]);
  assert.deepEqual(heard, ['d1 deleted']);
  assert.equal(await hub.subscriptions.load(first), undefined);
  const made = await hub.registry.put(owner, d1);
  assert.deepEqual([made.connected, made.lastActivityTime], [false, 0]);
  const second = await enter(hub, d1);
  assert.notEqual(second.generationId, first.generationId);
  assert.equal(await hub.subscriptions.load(second), undefined);
});

test('an identity that is disabled, deleted or re-created between authentication and claim is not let in', async () => {
  const hub = await house();
  for (const key of [d1, m1]) await hub.registry.put(owner, key);
  const device = await enter(hub, d1);
  const module = await enter(hub, m1);
  const heard: string[] = [];
  await hub.registry.put(owner, { ...d1, status: 'disabled' }, '*');
  await connect(hub, device, heard);
  await connect(hub, module, heard);
  await hub.registry.delete(owner, d1);
  await connect(hub, device, heard);
  await hub.registry.put(owner, d1);
  const successor = await connect(hub, await enter(hub, d1), heard);
  const late = await connect(hub, device, heard);
  assert.deepEqual(heard, ['d1 disabled', 'd1m1 disabled', 'd1 deleted', 'd1 deleted']);
  late.touch();
  late.release('by-client');
  assert.equal((await hub.presence.state(d1)).connected, true);
  successor.release('by-client');
  assert.equal((await hub.presence.state(d1)).connected, false);
});

test('a claim and a change at the same moment never leave a disabled device connected', async () => {
  for (let delay = 0; delay < 30; delay++) {
    const hub = await house();
    await hub.registry.put(owner, d1);
    const device = await enter(hub, d1);
    const heard: string[] = [];
    const disabling = hub.registry.put(owner, { ...d1, status: 'disabled' }, '*');
    for (let step = 0; step < delay; step++) await Promise.resolve();
    await Promise.all([disabling, connect(hub, device, heard)]);
    assert.deepEqual(heard, ['d1 disabled']);
    assert.equal((await hub.presence.state(d1)).connected, false);
  }
});

test('the end of a command is told once, whichever call finds that its time is over', async () => {
  const told: MonitoringReport[] = [];
  const hub = await house(told);
  const clock = hub.clock as VirtualClock;
  await hub.registry.put(owner, { deviceId: 'd1' });
  const device = { ...(await enter(hub, { deviceId: 'd1' })), expiresAt: Number.POSITIVE_INFINITY };
  const send = (messageId: string) =>
    hub.commands.send(owner, { deviceId: 'd1' }, { messageId, ack: 'full', properties: [], body: Buffer.of() });
  const ends = (): readonly string[] =>
    told.splice(0).flatMap((report) => ('command' in report ? `${report.type} ${report.command}` : []));
  let receipts = 0;
  hub.commands.watchReceipts(() => receipts++);
  const inbox = hub.commands.openInbox(device, { deviceId: 'd1' }, 'c1');

  await send('found-by-the-device');
  clock.advance(limits.commandTimeToLiveMsDefault);
  assert.deepEqual(await inbox.take(10), []);
  assert.deepEqual([ends(), receipts], [['commandExpired 1'], 1], 'and back ends hear of the receipt');

  await send('found-by-the-next');
  clock.advance(limits.commandTimeToLiveMsDefault);
  await send('next');
  assert.deepEqual(ends(), ['commandExpired 2']);
  await hub.commands.sweep();
  assert.deepEqual(ends(), []);

  clock.advance(limits.commandTimeToLiveMsDefault);
  await hub.commands.sweep();
  assert.deepEqual(ends(), ['commandExpired 3']);

  await send('given-up');
  for (let at = 0; at < limits.commandDeliveryCountMax; at++) {
    const [{ state }] = await inbox.take(1);
    assert.ok(state.kind === 'locked');
    await inbox.settle(state.lockToken, 'abandon');
  }
  assert.deepEqual(ends(), ['commandGivenUp 4']);
});

test('every room that doors see stands behind the guard', () => {
  type Facts = 'name' | 'hostNames' | 'authentication' | 'guard' | 'clock' | 'random' | 'log';
  // A room that is added to `Hub` bare does not compile here.
  const rooms: { readonly [Name in Exclude<keyof Hub, Facts>]: Hub[Name] extends Guarded<object> ? true : never } = {
    registry: true,
    authorities: true,
    events: true,
    commands: true,
    files: true,
    twins: true,
    methods: true,
    admission: true,
    subscriptions: true,
    queries: true,
    jobs: true,
    configurations: true,
  };
  assert.ok(Object.values(rooms).every(Boolean));
});
