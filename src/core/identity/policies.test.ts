import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { createMemoryPolicyStore } from '../../stores/memory/policies.ts';
import { type Operation, operations } from './operations.ts';
import { authorize } from './permissions.ts';
import { defaultPolicyNames, ensurePolicies } from './policies.ts';
import type { Policy, PolicyPrincipal } from './types.ts';

const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64');

test('the first start makes the five default policies, and later ones keep them', async () => {
  const store = createMemoryPolicyStore();
  const made = await ensurePolicies(store, {}, seededRandom(1));
  assert.deepEqual(
    made.map((policy) => [policy.name, policy.permissions.join(' ')]),
    [
      ['iothubowner', 'RegistryRead RegistryWrite ServiceConnect DeviceConnect'],
      ['service', 'ServiceConnect'],
      ['device', 'DeviceConnect'],
      ['registryRead', 'RegistryRead'],
      ['registryReadWrite', 'RegistryRead RegistryWrite'],
    ],
  );
  assert.equal(new Set(made.flatMap((policy) => [policy.primaryKey, policy.secondaryKey])).size, 10);
  assert.deepEqual(await ensurePolicies(store, {}, seededRandom(2)), made);
});

test('a given key wins over the stored one and is kept; nothing is written when nothing changes', async () => {
  const inner = createMemoryPolicyStore();
  let saves = 0;
  const store = {
    ...inner,
    save(policies: readonly Policy[]): Promise<void> {
      saves++;
      return inner.save(policies);
    },
  };
  const first = await ensurePolicies(store, { service: { primaryKey: key(1) } }, seededRandom(1));
  const second = await ensurePolicies(store, { service: { primaryKey: key(1) } }, seededRandom(2));
  assert.deepEqual(second, first);
  assert.equal(saves, 1);
  const third = await ensurePolicies(store, { service: { primaryKey: key(2) } }, seededRandom(2));
  assert.equal(saves, 2);
  const service = (policies: readonly Policy[]): Policy => policies.find(({ name }) => name === 'service')!;
  assert.equal(service(third).primaryKey, key(2));
  assert.equal(service(third).secondaryKey, service(first).secondaryKey);
  assert.deepEqual(await ensurePolicies(store, {}, seededRandom(3)), third);
});

test('a given key of the wrong form or for no policy is refused without showing it', async () => {
  const store = createMemoryPolicyStore();
  await assert.rejects(ensurePolicies(store, { service: { primaryKey: 'c2hvcnQ=' } }, seededRandom(1)), {
    message: 'The key given for policy "service" must be base64 of 16 to 64 bytes.',
  });
  await assert.rejects(ensurePolicies(store, { nobody: { primaryKey: key(1) } }, seededRandom(1)), /"nobody"/);
  assert.deepEqual(await store.load(), []);
});

/** Which default policy an operation is for, said apart from the table; an operation that is left out does not compile. */
type Kind = 'device' | 'service' | 'reads' | 'writes' | 'owner' | 'serviceOrReads' | 'serviceOrWrites';
const kindOf: Readonly<Record<Operation, Kind>> = {
  'registry.read': 'reads',
  'registry.write': 'writes',
  'scopes.read': 'owner',
  'statistics.read': 'reads',
  'registryJobs.read': 'reads',
  'registryJobs.write': 'writes',
  connect: 'device',
  'subscriptions.read': 'device',
  'subscriptions.write': 'device',
  'telemetry.send': 'device',
  'commands.receive': 'device',
  'commands.settle': 'device',
  'devices.speakFor': 'device',
  'sharedKeys.derive': 'device',
  'commands.send': 'service',
  'commands.read': 'service',
  'commands.purge': 'service',
  'feedback.receive': 'service',
  'feedback.settle': 'service',
  'twins.read': 'service',
  'fleet.query': 'service',
  'archives.read': 'service',
  'archives.verify': 'service',
  'configurations.read': 'reads',
  'configurations.write': 'writes',
  'configurations.apply': 'writes',
  'routes.read': 'reads',
  'routes.write': 'owner',
  'twins.write': 'service',
  'twins.readOwn': 'device',
  'twins.report': 'device',
  'methods.invoke': 'service',
  'methods.receive': 'device',
  'jobs.read': 'serviceOrReads',
  'jobs.write': 'serviceOrWrites',
  'events.read': 'service',
  'eventHubs.read': 'service',
  'consumerGroups.read': 'service',
  'consumerGroups.write': 'writes',
  'files.upload': 'device',
  'files.fetch': 'device',
  'files.read': 'service',
  'files.write': 'service',
  'files.grant': 'service',
  'fileNotifications.receive': 'service',
  'fileNotifications.settle': 'service',
  'hub.read': 'reads',
  'authorities.read': 'reads',
  'authorities.write': 'writes',
  'nodes.read': 'reads',
  'nodes.write': 'owner',
  'serverAuthority.read': 'reads',
  'serverAuthority.write': 'owner',
};

test('each default policy may do what the service lets it, and nothing else', async () => {
  const policies = await ensurePolicies(createMemoryPolicyStore(), {}, seededRandom(1));
  const allowed = (name: string, scope: readonly string[], target?: Parameters<typeof authorize>[3]): string[] => {
    const policy = policies.find((each) => each.name === name)!;
    const principal: PolicyPrincipal = {
      kind: 'policy',
      policyName: name,
      permissions: new Set(policy.permissions),
      expiresAt: 1,
      scope,
    };
    return operations.filter((operation) => {
      try {
        authorize(principal, operation, 0, target);
        return true;
      } catch {
        return false;
      }
    });
  };
  const of = (...kinds: readonly Kind[]): readonly string[] =>
    operations.filter((operation) => kinds.includes(kindOf[operation]));
  const whole = Object.fromEntries(defaultPolicyNames.map((name) => [name, allowed(name, [])]));
  assert.deepEqual(whole, {
    iothubowner: operations,
    service: of('service', 'serviceOrReads', 'serviceOrWrites'),
    device: of('device'),
    registryRead: of('reads', 'serviceOrReads'),
    registryReadWrite: of('reads', 'writes', 'serviceOrReads', 'serviceOrWrites'),
  });
  // A token for an event hub reads events and nothing else; with a place stated, only there.
  assert.deepEqual(allowed('iothubowner', ['myhub']), ['events.read', 'eventHubs.read', 'consumerGroups.read']);
  assert.ok(allowed('iothubowner', ['myhub'], { path: ['MyHub', 'ConsumerGroups'] }).includes('events.read'));
  assert.deepEqual(allowed('iothubowner', ['myhub'], { path: ['other'] }), []);
  assert.deepEqual(allowed('iothubowner', ['myhub'], { deviceId: 'd1' }), []);
  assert.deepEqual(allowed('iothubowner', ['devices', 'd1']), []);
  assert.deepEqual(allowed('iothubowner', ['devices', 'd1'], { path: ['myhub'] }), []);
  assert.deepEqual(allowed('iothubowner', ['devices', 'd1'], { deviceId: 'd10' }), []);
  assert.ok(allowed('iothubowner', ['devices', 'd1'], { deviceId: 'd1', moduleId: 'm' }).includes('commands.send'));
});
