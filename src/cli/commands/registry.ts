/** The whole registry as a file: out of a hub, and into one, also out of a hub of the emulated service. */
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { ApiError, UnexpectedAnswerError } from '../../api/calls.ts';
import type { ApiClient } from '../../api/client.ts';
import type { RegistryJobJson } from '../../api/registry-jobs.ts';
import { Failure } from '../failure.ts';
import { progressLine } from '../output/progress.ts';
import { table } from '../output/table.ts';
import { metered } from '../output/transfer.ts';
import { byteCount, count, duration, localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, examples, loginFrom, withLogin } from './options.ts';

/** Twins are in the file: that is what `registryReadWrite` may not see. */
const credentials = ['iothubowner'];
const DEVICES_FILE = 'devices.txt';
const CONFIGURATIONS_FILE = 'configurations.txt';
const ERRORS_FILE = 'importErrors.log';
const POLL_MS = 250;
/** How long a hub that is asked about a job may be away. */
const SILENCE_MS = 60_000;

interface ExportOptions extends CommonOptions {
  readonly keys: boolean;
  readonly configurations?: string;
}

interface ImportOptions extends CommonOptions {
  readonly report?: string;
  readonly configurations?: string;
}

export function addRegistryCommands(program: Command, terminal: Terminal): void {
  const registry = program
    .command('registry')
    .summary('all devices as a file: export, import, moving in')
    .description(
      'Exports and imports the whole registry: identities with keys, twins and modules, a line of JSON each, as Azure IoT Hub ' +
        'writes and reads them.',
    );

  const out = withLogin(registry.command('export'))
    .argument('<file>', 'where to write it; readable for you alone, for there are keys in it')
    .option('--no-keys', 'leave out the keys')
    .option('--configurations <file>', 'where to write configurations and Edge deployments as well')
    .description('Exports all devices and modules with their twins to a file of this machine.')
    .action((file: string, options: ExportOptions) => exportFile(file, options, terminal));
  examples(out, [
    'mooring registry export devices.txt --configurations configurations.txt',
    'mooring registry export devices.txt',
    'mooring registry export fleet.txt --no-keys',
  ]);

  const into = withLogin(registry.command('import'))
    .argument('<file>', 'an export of this or another hub, also one of Azure (devices.txt)')
    .option('--configurations <file>', 'configurations and Edge deployments, as an export writes them')
    .option('--report <file>', 'where to write what could not be taken (default: the file with .errors.log)')
    .description(
      'Imports devices, modules and twins from a file of this machine. What is there already just so stays untouched: the same ' +
        'file may be imported again.',
    )
    .action((file: string, options: ImportOptions) => importFile(file, options, terminal));
  examples(into, [
    'mooring registry import devices.txt',
    'mooring registry import azure/devices.txt --report left.log',
  ]);

  const list = withLogin(registry.command('jobs'))
    .description('Shows imports and exports, newest first.')
    .action((options: CommonOptions) => listJobs(options, terminal));
  examples(list, ['mooring registry jobs', 'mooring registry jobs --json']);

  const cancel = withLogin(registry.command('cancel'))
    .argument('<job-id>', 'as jobs shows it')
    .description('Ends an import or export. What it has done stays.')
    .action((id: string, options: CommonOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        await api.registryJobs.cancel(id);
        note(terminal, 'Ended.');
      }),
    );
  examples(cancel, ['mooring registry cancel 5b0f4f6e-6c1e-4c39-9a53-3c1b5a6d2f10']);
}

async function exportFile(file: string, options: ExportOptions, terminal: Terminal) {
  const to = path.resolve(terminal.cwd, file);
  const beside = options.configurations && path.resolve(terminal.cwd, options.configurations);
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const begun = performance.now();
    const { containerUri } = await api.registryJobs.openArea();
    const request = {
      type: 'export',
      outputBlobContainerUri: containerUri,
      excludeKeysInExport: !options.keys,
      includeConfigurations: beside !== undefined,
    };
    const job = completed(await followed(api, await api.registryJobs.create(request), terminal));
    let bytes: number;
    try {
      bytes = await fetched(api, containerUri, DEVICES_FILE, to, terminal);
      if (beside !== undefined) await fetched(api, containerUri, CONFIGURATIONS_FILE, beside, terminal);
    } finally {
      await cleared(api, containerUri);
    }
    const { done } = job.counts;
    const took = duration(performance.now() - begun);
    if (terminal.json) await print(terminal, JSON.stringify({ jobId: job.jobId, identities: done, bytes, file: to }));
    else note(terminal, `Exported ${count(done)} identities, ${byteCount(bytes)}, to ${to} in ${took}.`);
  });
}

/** Removes files at the hub: keys are in them. What cannot be removed goes when the time of the area is over. */
async function cleared(api: ApiClient, containerUri: string): Promise<void> {
  const files = [DEVICES_FILE, CONFIGURATIONS_FILE];
  await Promise.allSettled(files.map((name) => api.registryJobs.deleteFile(containerUri, name)));
}

/** Fetches a file, readable for its owner alone. @returns its bytes */
async function fetched(
  api: ApiClient,
  containerUri: string,
  name: string,
  to: string,
  terminal: Terminal,
): Promise<number> {
  const partial = `${to}.partial`;
  try {
    const found = await api.registryJobs.getFile(containerUri, name);
    if (found === undefined) throw new Failure('The hub has not written the file.');
    await rm(partial, { force: true });
    const shown = metered(found.body, { name: path.basename(to), total: found.bytes }, terminal);
    await pipeline(shown, createWriteStream(partial, { mode: 0o600, flags: 'wx' }));
    await rename(partial, to);
    return found.bytes;
  } catch (error) {
    await rm(partial, { force: true });
    throw fileFailure(error, to);
  }
}

async function sent(api: ApiClient, containerUri: string, name: string, from: string, terminal: Terminal) {
  try {
    const { size } = await stat(from);
    const shown = metered(createReadStream(from), { name: path.basename(from), total: size }, terminal);
    await api.registryJobs.putFile(containerUri, name, { body: shown, bytes: size });
  } catch (error) {
    throw fileFailure(error, from);
  }
}

async function importFile(file: string, options: ImportOptions, terminal: Terminal) {
  const from = path.resolve(terminal.cwd, file);
  const beside = options.configurations && path.resolve(terminal.cwd, options.configurations);
  const report = path.resolve(terminal.cwd, options.report ?? `${from}.errors.log`);
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const { containerUri } = await api.registryJobs.openArea();
    const request = {
      type: 'import',
      inputBlobContainerUri: containerUri,
      outputBlobContainerUri: containerUri,
      includeConfigurations: beside !== undefined,
    };
    let job: RegistryJobJson;
    let isUnderWay = false;
    try {
      await sent(api, containerUri, DEVICES_FILE, from, terminal);
      if (beside !== undefined) await sent(api, containerUri, CONFIGURATIONS_FILE, beside, terminal);
      const created = await api.registryJobs.create(request);
      // From here on the hub needs the file, also when it cannot be asked any more.
      isUnderWay = true;
      job = await followed(api, created, terminal);
      isUnderWay = false;
    } finally {
      if (!isUnderWay) await cleared(api, containerUri);
    }
    const { done, unchanged, failed } = completed(job).counts;
    const taken = done - failed;
    // One of an earlier import would tell of lines that are mended.
    if (failed > 0) await fetchReport(api, containerUri, report);
    else if (options.report === undefined) await rm(report, { force: true });
    if (terminal.json) {
      const shown = { jobId: job.jobId, lines: done, taken, unchanged, failed, ...(failed > 0 && { report }) };
      await print(terminal, JSON.stringify(shown));
    } else {
      note(terminal, `Took ${count(taken)} of ${count(done)} lines; ${count(unchanged)} were there already just so.`);
    }
    if (failed === 0) return;
    throw new Failure(`${count(failed)} lines could not be taken.`, {
      code: 'BulkRegistryOperationFailure',
      hint: `${report} says of each which and why. Mend them and import the file again: the others stay as they are.`,
    });
  });
}

async function fetchReport(api: ApiClient, containerUri: string, to: string): Promise<void> {
  const found = await api.registryJobs.getFile(containerUri, ERRORS_FILE);
  if (found === undefined) throw new Failure('The hub has not written what could not be taken.');
  try {
    await pipeline(found.body, createWriteStream(to, { mode: 0o600 }));
  } catch (error) {
    throw fileFailure(error, to);
  }
}

/** Shows how far the job is until it has ended; a hub that is started again meanwhile goes on with it. */
async function followed(api: ApiClient, created: RegistryJobJson, terminal: Terminal): Promise<RegistryJobJson> {
  const line = progressLine(terminal);
  let job = created;
  let answeredAt = performance.now();
  try {
    while (job.status === 'enqueued' || job.status === 'running') {
      await sleep(POLL_MS);
      try {
        job = await api.registryJobs.get(job.jobId);
        answeredAt = performance.now();
      } catch (error) {
        if (mayPass(error) && performance.now() - answeredAt < SILENCE_MS) continue;
        line.end();
        note(
          terminal,
          `The ${job.type} ${job.jobId} has not ended: the hub goes on with it. mooring registry jobs shows it.`,
        );
        throw error;
      }
      line.show(progressText(job, terminal.err.columns()));
    }
  } finally {
    line.end();
  }
  return job;
}

/** Whether the hub may answer a little later. */
function mayPass(error: unknown): boolean {
  if (error instanceof ApiError) return error.status === 429 || error.status >= 500;
  return !(error instanceof UnexpectedAnswerError);
}

/** @throws Failure when it did not complete */
function completed(job: RegistryJobJson): RegistryJobJson {
  if (job.status === 'completed') return job;
  throw new Failure(`The ${job.type} has ${job.status === 'failed' ? 'failed' : 'been cancelled'}.`, {
    ...(job.failureReason !== undefined && { hint: job.failureReason }),
  });
}

const BAR = 20;

/** `import  [#####---------------]  25 %  25,000 of 100,000` */
export function progressText({ type, counts }: RegistryJobJson, columns: number): string {
  const share = counts.total === 0 ? 0 : Math.min(1, counts.done / counts.total);
  const filled = Math.floor(share * BAR);
  const bar = columns < 60 ? '' : `[${'#'.repeat(filled)}${'-'.repeat(BAR - filled)}]  `;
  const failed = counts.failed === 0 ? '' : `, ${count(counts.failed)} not taken`;
  return `${type}  ${bar}${String(Math.floor(share * 100)).padStart(3)} %  ${count(counts.done)} of ${count(counts.total)}${failed}`;
}

async function listJobs(options: CommonOptions, terminal: Terminal): Promise<void> {
  await withApi(loginFrom(options, terminal), ['registryRead', 'iothubowner'], async (api) => {
    const jobs = await api.registryJobs.list();
    if (terminal.json) return print(terminal, JSON.stringify(jobs, undefined, 2));
    if (jobs.length === 0) return note(terminal, 'There are none.');
    const columns = [
      { title: 'job', cell: ({ jobId }: RegistryJobJson) => jobId },
      { title: 'type', cell: ({ type }: RegistryJobJson) => type },
      { title: 'status', cell: ({ status }: RegistryJobJson) => status },
      { title: 'done', align: 'right' as const, cell: ({ counts }: RegistryJobJson) => count(counts.done) },
      { title: 'not taken', align: 'right' as const, cell: ({ counts }: RegistryJobJson) => count(counts.failed) },
      {
        title: 'begun',
        cell: ({ startTimeUtc }: RegistryJobJson) =>
          startTimeUtc === undefined ? '' : localTime(Date.parse(startTimeUtc)),
      },
      { title: 'reason', cell: ({ failureReason }: RegistryJobJson) => failureReason ?? '' },
    ];
    await print(terminal, table(terminal.out, columns, jobs));
  });
}

function fileFailure(error: unknown, file: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || syscall === undefined || error instanceof Failure) return error;
  return new Failure(`${file} cannot be used: ${code}.`, { cause: error });
}
