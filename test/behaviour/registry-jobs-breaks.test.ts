/** Imports and exports whose container breaks off, again and again; and one that refuses too much. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { silentLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ObjectError } from '../../src/core/files/object-store.ts';
import { createGuard } from '../../src/core/identity/guard.ts';
import { refusalAudit } from '../../src/core/monitoring/refused-operations.ts';
import { silentRecorder } from '../../src/core/monitoring/types.ts';
import type { JobContainer } from '../../src/core/registry-jobs/ports.ts';
import { createRegistryJobs } from '../../src/core/registry-jobs/registry-jobs.ts';
import { freshCursor, type JobPlan, noCounts } from '../../src/core/registry-jobs/types.ts';
import { importedTwin, isAsImported, saysNothing } from '../../src/core/twins/imported.ts';
import { sectionJson } from '../../src/core/twins/json.ts';
import { twinETag } from '../../src/core/twins/rules.ts';
import { createMemoryIdentityStore } from '../../src/stores/memory/identities.ts';
import { createMemoryRegistryJobs, createMemoryRegistryPages } from '../../src/stores/memory/registry-jobs.ts';
import { createMemoryTwinStore } from '../../src/stores/memory/twins.ts';

/** Pauses are over at once. */
const clock: Clock = { ...systemClock, after: (_ms, callback) => systemClock.after(0, callback) };

const plan: JobPlan = {
  ...{ kind: 'import', inputUri: 'it', outputUri: 'it', inputName: 'devices.txt', outputName: 'devices.txt' },
  ...{ excludesKeys: false, configurationsName: null, withTwins: true, createdBy: 'test' },
};

/** @param readable bytes that the container sends before it breaks off; asked for each reading */
async function importOf(content: string, readable: () => number, counts = noCounts) {
  const file = Buffer.from(content);
  const staged = new Map<string, Buffer>();
  const written = new Map<string, string>();
  const container: JobContainer = {
    head: async (name) => (name === plan.inputName ? { bytes: file.length, etag: '1' } : undefined),
    async read(_name, start) {
      const body = (async function* () {
        const end = start + readable();
        yield file.subarray(start, end);
        if (end < file.length) throw new ObjectError('unavailable', 'the line is down');
      })();
      return { bytes: file.length, etag: '1', body };
    },
    stage: async (_name, id, bytes) => void staged.set(id, Buffer.from(bytes)),
    async commit(name, ids) {
      written.set(name, Buffer.concat(ids.map((id) => staged.get(id) ?? assert.fail('no such block'))).toString());
    },
    close: async () => {},
  };
  const identities = createMemoryIdentityStore();
  const twins = createMemoryTwinStore(identities);
  const records = createMemoryRegistryJobs();
  const room = createRegistryJobs({
    ...{
      guard: createGuard(clock, refusalAudit(silentRecorder)),
      records,
      pages: createMemoryRegistryPages(identities, twins),
      identities,
    },
    twins: {
      ...{ store: twins, rules: { isAsImported, saysNothing }, withEvents: false, read: importedTwin },
      forms: { etagOf: twinETag, sectionJson },
    },
    open: async () => container,
    makeArea: () => assert.fail('none is asked for'),
    limits: { devicesMax: 10_000, modulesPerDeviceMax: 20 },
    ...{ holder: 'test', recorder: silentRecorder, clock, random: systemRandom, log: silentLog },
    turn: async () => {},
  });
  const times = { createdTime: 1, startedTime: undefined, endedTime: undefined };
  await records.create({ id: 'j', plan, state: 'enqueued', reason: '', counts, cursor: freshCursor, ...times });
  await room.work(new AbortController().signal);
  const job = (await records.find('j')) ?? assert.fail('it is gone');
  return { job, devices: (await identities.counts()).devices, log: written.get('importErrors.log') };
}

const lines = (count: number): string => Array.from({ length: count }, (_, nth) => `{"id":"d${nth}"}\n`).join('');

test('an import over a container that breaks off many times is carried on, as long as it comes further', async () => {
  // The first reading looks at all lines; of those that follow, every other one breaks off behind two more pages.
  let readings = 0;
  const content = lines(4000);
  const { job, devices } = await importOf(content, () => (readings++ % 2 === 0 ? content.length : 3000));
  assert.deepEqual([job.state, job.counts.done, job.counts.failed, devices], ['completed', 4000, 0, 4000], job.reason);
  assert.ok(readings > 20, 'it broke off more often than one that stands still may');
});

test('an import that comes no further is given up', async () => {
  const { job } = await importOf(lines(10), () => 5);
  assert.equal(job.state, 'failed');
  assert.match(job.reason, /could not be reached for too long/);
});

test('an import that refuses too much fails, and says of each line why all the same', async () => {
  const counts = { ...noCounts, failed: limits.registryJobErrorsMax };
  const { job, log } = await importOf('{"id":"not an id"}\n', () => 1e6, counts);
  assert.deepEqual([job.state, job.counts.failed], ['failed', limits.registryJobErrorsMax + 1]);
  assert.equal(JSON.parse(log ?? '').line, 1);
});
