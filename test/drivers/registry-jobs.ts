/** Imports and exports of a running hub, as a back end makes them: areas, files in them, jobs to their end. */
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import type { ApiClient } from '../../src/api/client.ts';
import type { RegistryJobJson, RegistryJobRequestJson } from '../../src/api/registry-jobs.ts';

/** Asks until the job has ended. */
export async function endOf(api: ApiClient, jobId: string, withinMs = 60_000): Promise<RegistryJobJson> {
  const until = performance.now() + withinMs;
  for (;;) {
    const job = await api.registryJobs.get(jobId);
    if (job.status !== 'enqueued' && job.status !== 'running') return job;
    if (performance.now() > until) throw new Error(`the job does not end: ${JSON.stringify(job)}`);
    await pause(20);
  }
}

/** Exports and gives the lines back, parsed. */
export async function exported(api: ApiClient, more: Partial<RegistryJobRequestJson> = {}) {
  const { containerUri } = await api.registryJobs.openArea();
  const { jobId } = await api.registryJobs.create({ type: 'export', outputBlobContainerUri: containerUri, ...more });
  const job = await endOf(api, jobId);
  const content = await fileOf(api, containerUri, more.outputBlobName ?? 'devices.txt');
  const lines = (content ?? '').split('\n').filter((line) => line !== '');
  return { job, containerUri, content, devices: lines.map((line) => JSON.parse(line)) };
}

/** Puts the file into an area and imports it. @param content text, or objects that become a line each */
export async function imported(api: ApiClient, content: string | Buffer | readonly unknown[]) {
  const { containerUri } = await api.registryJobs.openArea();
  await putFile(api, containerUri, 'devices.txt', content);
  const request = { type: 'import', inputBlobContainerUri: containerUri, outputBlobContainerUri: containerUri };
  const { jobId } = await api.registryJobs.create(request);
  const job = await endOf(api, jobId);
  const log = await fileOf(api, containerUri, 'importErrors.log');
  const errors = (log ?? '').split('\n').filter((line) => line !== '');
  return { job, containerUri, errors: errors.map((line) => JSON.parse(line)) };
}

export async function putFile(
  api: ApiClient,
  containerUri: string,
  name: string,
  content: string | Buffer | readonly unknown[],
): Promise<void> {
  const whole =
    typeof content === 'string' || Buffer.isBuffer(content)
      ? content
      : content.map((line) => `${JSON.stringify(line)}\n`).join('');
  const bytes = Buffer.from(whole as string);
  await api.registryJobs.putFile(containerUri, name, { body: once(bytes), bytes: bytes.length });
}

/** Undefined = there is no such file. */
export async function fileOf(api: ApiClient, containerUri: string, name: string): Promise<string | undefined> {
  const found = await api.registryJobs.getFile(containerUri, name);
  return found && text(found.body);
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
