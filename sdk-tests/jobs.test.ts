/** Jobs by the service SDKs: twin updates and methods over a condition, later and cancelled, lists, records of devices, refusals. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestHub } from '../test/drivers/hub.ts';
import { until } from '../test/drivers/until.ts';
import { Client } from './support/client.ts';
import { openRegistry, type Registry, startStockHub, whyNot } from './support/hub.ts';
import { type Language, missing } from './support/programs.ts';
import { shows } from './support/shows.ts';
import { TwinBackEnd, twinSdks } from './support/twins.ts';

interface JobSdk {
  readonly name: string;
  readonly language: Language;
  readonly script: string;
  readonly transport: 'REST' | 'HTTPS';
  /** Its list of jobs can be read; Python's looks for an object where the service answers with an array. */
  readonly lists: boolean;
}

const sdks: readonly JobSdk[] = [
  { name: 'azure-iothub (npm)', language: 'JavaScript', script: 'jobs-back-end.mjs', transport: 'REST', lists: true },
  { name: 'azure-iot-hub (PyPI)', language: 'Python', script: 'jobs-back-end.py', transport: 'HTTPS', lists: false },
  {
    name: 'iot-service-client (Maven)',
    language: 'Java',
    script: 'java:jobs-back-end',
    transport: 'HTTPS',
    lists: true,
  },
];

interface SeenJob {
  readonly jobId: string;
  readonly deviceId?: string | null;
  readonly type: string;
  readonly status: string;
  readonly queryCondition: string;
  readonly statistics?: { readonly devices: number; readonly succeeded: number; readonly failed: number };
}

const HOUR_MS = 3_600_000;
const ids = ['jobs-a', 'jobs-b', 'jobs-c'];
const condition = "deviceId IN ['jobs-a', 'jobs-b']";

describe('jobs', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let registry: Registry;

  before(async () => {
    hub = await startStockHub();
    registry = await openRegistry(hub);
    await registry.createDevices(hub, ids);
  });

  after(async () => {
    await registry?.stop();
    await hub?.[Symbol.asyncDispose]();
  });

  function each(
    operation: string,
    work: (client: Client, prefix: string, sdk: JobSdk) => Promise<void>,
    of = sdks,
  ): void {
    for (const sdk of of) {
      shows({ sdk: sdk.name, transport: sdk.transport, operation }, missing(sdk.language), async () => {
        const own = hub.endpoints.connectionStrings.iothubowner;
        // Java refuses a host without a dot; the certificate names this address as well.
        const connectionString =
          sdk.language === 'Java' ? own.replace('HostName=localhost', 'HostName=127.0.0.1') : own;
        const client = Client.start(sdk.script, hub.endpoints.caFile, { connectionString });
        try {
          await client.next('ready');
          await work(client, sdk.language.toLowerCase(), sdk);
        } finally {
          await client.stop();
        }
      });
    }
  }

  async function over(client: Client, id: string, status: string): Promise<SeenJob> {
    let job: SeenJob | undefined;
    await until(`${id} is ${status}`, async () => {
      job = await client.must('get', id);
      if (job?.status !== status) await sleep(100);
      return job?.status === status;
    });
    return job as SeenJob;
  }

  each('a job updates the twins that a condition is true of, and its records are read', async (client, prefix, sdk) => {
    const id = `${prefix}-twins`;
    const patch = { etag: '*', tags: { by: prefix }, properties: { desired: { n: prefix.length }, reported: {} } };
    const created: SeenJob = await client.must('twins', id, condition, patch, null, 300);
    assert.deepEqual([created.jobId, created.status, created.type], [id, 'queued', 'scheduleUpdateTwin']);
    const job = await over(client, id, 'completed');
    assert.equal(job.queryCondition, condition);
    assert.deepEqual(job.statistics, { devices: 2, succeeded: 2, failed: 0 });
    await using twins = await TwinBackEnd.start(hub, twinSdks[0]);
    for (const [at, deviceId] of ids.entries()) {
      const { tags, properties } = await twins.get(deviceId);
      if (at < 2) assert.deepEqual([tags.by, properties.desired.n], [prefix, prefix.length]);
      else assert.notEqual(tags.by, prefix);
    }
    const text = `SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '${id}'`;
    const pages: readonly (readonly SeenJob[])[] = await client.must('records', text, 1);
    if (sdk.language !== 'Java') assert.equal(pages.length, 2);
    assert.deepEqual(
      pages.flat().map(({ deviceId, status }) => [deviceId, status]),
      [
        ['jobs-a', 'completed'],
        ['jobs-b', 'completed'],
      ],
    );
  });

  each('a job of methods waits for devices until its time is over', async (client, prefix) => {
    const id = `${prefix}-methods`;
    const method = { methodName: 'm', payload: { a: 1 }, responseTimeoutInSeconds: 5 };
    const created: SeenJob = await client.must('methods', id, condition, method, null, 2);
    assert.deepEqual([created.status, created.type], ['queued', 'scheduleDeviceMethod']);
    await over(client, id, 'running');
    const job = await over(client, id, 'completed');
    assert.deepEqual(job.statistics, { devices: 2, succeeded: 0, failed: 2 });
  });

  each('a job that begins later is cancelled', async (client, prefix) => {
    const id = `${prefix}-later`;
    const created: SeenJob = await client.must(
      'twins',
      id,
      '*',
      { etag: '*', tags: { a: 1 } },
      Date.now() + HOUR_MS,
      60,
    );
    assert.equal(created.status, 'queued');
    assert.equal((await client.must('get', id)).status, 'scheduled');
    assert.equal((await client.must('cancel', id)).status, 'cancelled');
    await over(client, id, 'cancelled');
  });

  each(
    'jobs are listed by type and status',
    async (client, prefix) => {
      for (const at of [1, 2]) {
        const id = `${prefix}-list-${at}`;
        await client.must('twins', id, condition, { etag: '*', tags: { at } }, Date.now() + HOUR_MS, 60);
      }
      const pages: readonly (readonly SeenJob[])[] = await client.must('list', 'scheduleUpdateTwin', 'scheduled', 1);
      const found = pages.flat().map(({ jobId }) => jobId);
      assert.deepEqual(
        found.filter((id) => id.startsWith(`${prefix}-list`)),
        [`${prefix}-list-2`, `${prefix}-list-1`],
      );
      for (const at of [1, 2]) await client.must('cancel', `${prefix}-list-${at}`);
    },
    sdks.filter(({ lists }) => lists),
  );

  each(
    'refusals of jobs: one that is not there, one that exists, a condition that is wrong',
    async (client, prefix) => {
      const id = `${prefix}-refused`;
      const refused = async (op: string, ...args: readonly unknown[]): Promise<string> => {
        const { error } = await client.call(op, ...args);
        return `${error?.name} ${error?.message} ${error?.code ?? ''}`;
      };
      assert.match(await refused('get', `${prefix}-none`), /JobNotFound|404002/);
      const patch = { etag: '*', tags: { a: 1 } };
      await client.must('twins', id, condition, patch, Date.now() + HOUR_MS, 60);
      assert.match(await refused('twins', id, condition, patch, null, 60), /JobAlreadyExists|409104/);
      assert.match(await refused('twins', `${id}-2`, 'tags.a =', patch, null, 60), /Line 1, column 9/);
      await client.must('cancel', id);
      assert.match(await refused('cancel', id), /JobRunPreconditionFailed|412003/);
    },
  );
});
