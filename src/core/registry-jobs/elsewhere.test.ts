/** An area in a folder that this node does not reach: what is asked of it, and the job that another node has begun with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { silentLog } from '../../base/log.ts';
import { seededRandom } from '../../base/random.ts';
import { createMemoryIdentityStore } from '../../stores/memory/identities.ts';
import { createMemoryObjectStore } from '../../stores/memory/object-store.ts';
import { memoryRegistryJobs } from '../../stores/memory/registry-jobs-room.ts';
import { createMemoryTwinStore } from '../../stores/memory/twins.ts';
import { createAreas } from '../files/areas.ts';
import { BlobError } from '../files/blob-error.ts';
import { FileSpace } from '../files/space.ts';
import { defaultFileLimits } from '../files/types.ts';
import { createGuard, silentAudit } from '../identity/guard.ts';
import type { PolicyPrincipal } from '../identity/types.ts';
import { silentRecorder } from '../monitoring/types.ts';

const clock = new VirtualClock();
const principal: PolicyPrincipal = {
  ...{ kind: 'policy', policyName: 'iothubowner', scope: [], expiresAt: Number.POSITIVE_INFINITY },
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect']),
};

const areasAt = (place?: string) =>
  createAreas({
    ...{ store: createMemoryObjectStore(clock), space: new FileSpace(defaultFileLimits), clock },
    ...(place !== undefined && { place }),
    ...{ pace: { slowed: (source) => source }, limits: defaultFileLimits, secret: Buffer.alloc(32, 1) },
    ...{ hostName: () => 'localhost', random: seededRandom(1) },
  });

const elsewhere = (error: unknown): boolean => error instanceof Error && /folder of another node/.test(error.message);

test('an area of another node is refused by name, as a container and as a place for files', () => {
  const [here, there, shared] = [areasAt('1111111111111111'), areasAt('2222222222222222'), areasAt()];
  const { uri } = there.make(3_600_000);
  assert.throws(() => here.open(uri), elsewhere);
  assert.ok(there.open(uri));
  const { pathname, searchParams } = new URL(uri);
  const file = `${pathname.slice(pathname.indexOf('~'))}/devices.txt`;
  assert.throws(
    () => here.blob(file, searchParams),
    (error: unknown) => error instanceof BlobError && elsewhere(error),
  );
  assert.ok(there.blob(file, searchParams));
  assert.throws(() => shared.open(uri), elsewhere, 'the hub has another store since');
  // What nobody has signed is none of the hub's, wherever it would be.
  assert.equal(here.open(uri.replace(/sig=[^&]+/, 'sig=x')), undefined);
  for (const each of [here, there]) assert.ok(each.open(shared.make(3_600_000).uri), 'of before there were places');
  assert.deepEqual([here.isElsewhere(uri), there.isElsewhere(uri)], [true, false]);
  clock.advance(3_600_001);
  assert.equal(here.isElsewhere(uri), false, 'its time is over');
  assert.equal(here.open(uri), undefined);
});

test('a job whose area is at another node waits for that one, and fails when the time of its area is over', async () => {
  const identities = createMemoryIdentityStore();
  const [here, there] = [areasAt('1111111111111111'), areasAt('2222222222222222')];
  let areas = there;
  const files = {
    areas: {
      make: (lifeMs: number) => areas.make(lifeMs),
      open: (uri: string) => areas.open(uri),
      isAddress: (uri: string) => areas.isAddress(uri),
      isElsewhere: (uri: string) => areas.isElsewhere(uri),
    },
  };
  const room = memoryRegistryJobs({
    ...{ guard: createGuard(clock, silentAudit), identities, twins: createMemoryTwinStore(identities), clock },
    files: files as never,
    ...{ limits: { devicesMax: 10, modulesPerDeviceMax: 10 }, recorder: silentRecorder, random: seededRandom(2) },
    log: silentLog,
  });
  const request = {
    ...{
      kind: 'export' as const,
      inputUri: null,
      outputUri: null,
      inputName: 'devices.txt',
      outputName: 'devices.txt',
    },
    ...{ configurationsName: null, excludesKeys: false },
  };
  const { signal } = new AbortController();
  const stateOf = async (id: string) => (await room.jobs.get(principal, id)).state;
  const first = await room.jobs.create(principal, request);
  areas = here;
  await room.work(signal);
  assert.equal(await stateOf(first.id), 'running', 'it is left to the node of its area');
  areas = there;
  await room.work(signal);
  assert.equal(await stateOf(first.id), 'completed');

  const second = await room.jobs.create(principal, request);
  areas = here;
  clock.advance(limits.registryJobAreaMs + 1000);
  await room.work(signal);
  assert.equal(await stateOf(second.id), 'failed');
});
