/** Uploads of a device behind an adapter that come to nothing: none of them may keep the device's place from its next ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/random.ts';
import { createFiles } from '../../src/core/files/files.ts';
import type { ObjectStore } from '../../src/core/files/object-store.ts';
import { defaultFileLimits } from '../../src/core/files/types.ts';
import { createGuard, silentAudit } from '../../src/core/identity/guard.ts';
import type { DevicePrincipal } from '../../src/core/identity/types.ts';
import { silentRecorder } from '../../src/core/monitoring/types.ts';
import { UploadRate } from '../../src/core/throttling/upload-rate.ts';
import { SessionFiles } from '../../src/server/adapters/session-files.ts';
import { createMemoryFileGrants } from '../../src/stores/memory/file-grants.ts';
import { createMemoryFileRecords } from '../../src/stores/memory/file-records.ts';
import { createMemoryRollouts } from '../../src/stores/memory/file-rollouts.ts';
import { createMemoryObjectStore } from '../../src/stores/memory/object-store.ts';

const key = { deviceId: 'd1' };
const principal: DevicePrincipal = {
  ...{ kind: 'device', key, generationId: 'g', authScope: 'device', authType: 'sas' },
  expiresAt: Number.POSITIVE_INFINITY,
};
const OPEN_MAX = 2;

/** @param direct What devices reach by themselves: a store elsewhere has such signatures */
function filesOf(direct?: ObjectStore['direct']) {
  const clock = new VirtualClock();
  const identities = { get: async () => ({ generationId: 'g', status: 'enabled' as const }) };
  const store: ObjectStore = { ...createMemoryObjectStore(clock), ...(direct !== undefined && { direct }) };
  const room = createFiles({
    ...{ store, identities, clock, guard: createGuard(clock, silentAudit) },
    records: createMemoryFileRecords(identities as never),
    grants: createMemoryFileGrants(identities as never),
    rollouts: createMemoryRollouts(),
    limits: { ...defaultFileLimits, uploadsOpenMax: OPEN_MAX, deletesWithIdentity: true },
    pace: { slowed: (source) => source },
    uploadRate: new UploadRate(clock),
    ...{ secret: Buffer.alloc(32, 1), hostName: () => 'localhost', recorder: silentRecorder },
    ...{ random: seededRandom(1), log: silentLog },
  });
  const session = () => new SessionFiles({ hub: { files: room.files }, rooms: room, principal, key });
  return { room, session };
}

test('uploads that are refused because devices reach the store by themselves take none of the device its places', async () => {
  const { room, session } = filesOf({ hostName: 'store', containerName: 'c', sign: () => 'sig=elsewhere' });
  const files = session();
  for (let time = 0; time <= OPEN_MAX; time++) {
    await assert.rejects(files.begin('a.bin', 'text/plain'), { code: 'invalid' });
  }
  assert.equal((await room.files.beginUpload(principal, key, 'own.bin')).hostName, 'store');
});

test('an upload that begins while its session ends is given up', async () => {
  const { session } = filesOf();
  for (let time = 0; time <= OPEN_MAX; time++) {
    const files = session();
    const begun = files.begin('a.bin', 'text/plain');
    files.close();
    await assert.rejects(begun, { code: 'closed' });
  }
  assert.ok(await session().begin('a.bin', 'text/plain'));
});
