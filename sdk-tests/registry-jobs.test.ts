/** Import and export of the registry by the service SDKs, to and from areas of the hub. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { ApiClient } from '../src/api/client.ts';
import { apiOf } from '../test/drivers/api.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import { fileOf, putFile } from '../test/drivers/registry-jobs.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';
import { TwinBackEnd, type TwinSdk, twinSdks } from './support/twins.ts';

interface SeenJob {
  readonly jobId: string;
  readonly type: string;
  readonly status: string;
  readonly failureReason?: string | null;
}

const key = Buffer.alloc(32, 7).toString('base64');

describe('import and export of the registry', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let api: ApiClient;

  before(async () => {
    hub = await startStockHub();
    api = apiOf(hub);
    const authentication = { symmetricKey: { primaryKey: key, secondaryKey: key } };
    await api.devices.create('kept', { authentication });
    await api.twins.update({ deviceId: 'kept' }, { tags: { site: 'n' } });
  });

  after(async () => {
    api?.close();
    await hub?.[Symbol.asyncDispose]();
  });

  function each(operation: string, work: (backEnd: TwinBackEnd, sdk: TwinSdk) => Promise<void>): void {
    for (const sdk of twinSdks) {
      shows({ sdk: sdk.name, transport: sdk.transport, operation }, missing(sdk.language), async () => {
        await using backEnd = await TwinBackEnd.start(hub, sdk);
        await work(backEnd, sdk);
      });
    }
  }

  async function ended(backEnd: TwinBackEnd, { jobId }: SeenJob): Promise<SeenJob> {
    for (;;) {
      const job: SeenJob = await backEnd.client.must('registryJob', jobId);
      if (job.status !== 'enqueued' && job.status !== 'running') return job;
      await pause(50);
    }
  }

  each('exports the registry to a container, with and without keys, and follows the job', async (backEnd, sdk) => {
    for (const excludesKeys of [false, true]) {
      const { containerUri } = await api.registryJobs.openArea();
      const begun: SeenJob = await backEnd.client.must('exportRegistry', containerUri, excludesKeys);
      assert.equal(begun.type, 'export');
      const job = await ended(backEnd, begun);
      assert.equal(job.status, 'completed');
      assert.ok(!job.failureReason);
      const text = (await fileOf(api, containerUri, 'devices.txt')) ?? '';
      // Java's storage library takes no container that lies in a folder.
      if (sdk.language !== 'Java') assert.equal(await backEnd.client.must('blob', containerUri, 'devices.txt'), text);
      const line = text.split('\n').find((each) => each.includes('"kept"')) ?? '';
      const { authentication, tags } = JSON.parse(line);
      assert.deepEqual([authentication.symmetricKey.primaryKey, tags], [excludesKeys ? null : key, { site: 'n' }]);
    }
  });

  each('imports devices from a container, follows and lists the job, and cancels', async (backEnd, sdk) => {
    const id = `from-${sdk.language}`;
    const { containerUri } = await api.registryJobs.openArea();
    await putFile(api, containerUri, 'devices.txt', [
      { id, importMode: 'create', tags: { by: sdk.language } },
      { id: 'kept', importMode: 'create' },
    ]);
    const begun: SeenJob = await backEnd.client.must('importRegistry', containerUri, containerUri);
    const job = await ended(backEnd, begun);
    assert.deepEqual([job.type, job.status], ['import', 'completed']);
    assert.deepEqual((await api.twins.get({ deviceId: id })).tags, { by: sdk.language });
    const errors = (await fileOf(api, containerUri, 'importErrors.log')) ?? '';
    assert.deepEqual(JSON.parse(errors).errorCode, 409001);
    // Java's client neither lists nor cancels.
    if (sdk.language === 'Java') return;
    const all: readonly SeenJob[] = await backEnd.client.must('registryJobs');
    assert.ok(all.some(({ jobId }) => jobId === job.jobId));
    await backEnd.client.must('cancelRegistryJob', job.jobId);
    assert.equal((await ended(backEnd, job)).status, 'completed', 'one that has ended stays as it is');
  });

  each('is told that a container cannot be used, and that there is no such job', async (backEnd) => {
    const refused = String(await backEnd.refusal('exportRegistry', 'https://elsewhere.example/c?sig=x', false));
    assert.match(refused, /BlobContainerValidationError|registryBlobHosts/);
    const none = await backEnd.refusal('registryJob', '00000000-0000-4000-8000-000000000000');
    assert.match(String(none), /JobNotFound|404|NotFound/);
  });
});
