import { randomUUID } from 'node:crypto';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import { type JobJson, type JobRequestJson, jobStatusSchema } from '../../api/jobs.ts';
import type { QueryRowJson } from '../../api/queries.ts';
import { utcTime } from '../../base/utc-time.ts';
import { Failure } from '../failure.ts';
import { facts, printable, table } from '../output/table.ts';
import { count, duration, localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { countsText, watchJob } from './job-watch.ts';
import { type CommonOptions, durationMs, examples, loginFrom, wholeNumber, withLogin } from './options.ts';
import { json } from './twin.ts';

interface WatchOptions extends CommonOptions {
  readonly watch?: boolean;
  readonly every: number;
}

interface CreateOptions extends WatchOptions {
  readonly id?: string;
  readonly start?: string;
  readonly ttl?: number;
}

interface TwinOptions extends CreateOptions {
  readonly tags?: unknown;
  readonly desired?: unknown;
}

interface MethodOptions extends CreateOptions {
  readonly payload?: unknown;
  readonly timeout?: number;
}

interface ListOptions extends CommonOptions {
  readonly type?: string;
  readonly status?: string;
  readonly top: number;
}

const credentials = ['service'];
const EVERY_MS = 1000;
const LIST_DEFAULT = 100;
const LIST_MAX = 100_000;
/** Devices that did not go well, of which `show` tells by name. */
const SHOWN_MAX = 20;

export function addJobCommands(program: Command, terminal: Terminal): void {
  const job = program
    .command('job')
    .summary('one change or method for many devices')
    .description('Jobs: an update of twins, or a method, for all devices that a condition is true of, now or later.');

  const updates = withCreation(job.command('create-twin-update'))
    .description(
      'Merges into the tags and desired properties of all devices that the condition is true of; null deletes.',
    )
    .option('--tags <json>', 'what is merged into tags', json)
    .option('--desired <json>', 'what is merged into desired properties', json)
    .action((condition: string, options: TwinOptions) => {
      const { tags, desired } = options;
      if (tags === undefined && desired === undefined) {
        throw new Failure('Say what is to be changed: --tags JSON, --desired JSON.', { usage: true });
      }
      const updateTwin = {
        etag: '*',
        ...(tags !== undefined && { tags: tags as Record<string, unknown> }),
        ...(desired !== undefined && { properties: { desired: desired as Record<string, unknown> } }),
      };
      return create(condition, { type: 'scheduleUpdateTwin', updateTwin }, options, terminal);
    });
  examples(updates, [
    'mooring job create-twin-update "tags.site = \'north\'" --desired \'{"interval": 10}\' --watch',
    'mooring job create-twin-update "*" --tags \'{"campaign": 7}\' --start 2026-06-01T02:00Z --ttl 2h',
    'mooring job create-twin-update "FROM devices.modules WHERE moduleId = \'opc\'" --desired \'{"on": true}\'',
  ]);

  const methods = withCreation(job.command('create-method'), '<name>')
    .description(
      'Invokes a method of all devices that the condition is true of; those that are away get it when they connect.',
    )
    .option('--payload <json>', 'what the devices are sent', json)
    .option('--timeout <time>', 'how long a device may take to answer, 5s to 300s (default: 30s)', durationMs)
    .action((condition: string, methodName: string, options: MethodOptions) => {
      const { payload, timeout } = options;
      const cloudToDeviceMethod = {
        methodName,
        ...(payload !== undefined && { payload }),
        ...(timeout !== undefined && { responseTimeoutInSeconds: timeout / 1000 }),
      };
      return create(condition, { type: 'scheduleDeviceMethod', cloudToDeviceMethod }, options, terminal);
    });
  examples(methods, [
    'mooring job create-method "tags.site = \'north\'" reboot --watch',
    'mooring job create-method "*" setInterval --payload \'{"seconds": 10}\' --ttl 1d',
  ]);

  const list = withLogin(job.command('list'))
    .description('Lists jobs, newest first.')
    .addOption(new Option('--type <type>').choices(['scheduleUpdateTwin', 'scheduleDeviceMethod']))
    .addOption(new Option('--status <status>').choices(jobStatusSchema.options))
    .addOption(new Option('--top <n>', 'how many at most').argParser(wholeNumber(1, LIST_MAX)).default(LIST_DEFAULT))
    .action((options: ListOptions) => listJobs(options, terminal));
  examples(list, ['mooring job list --status running']);

  const show = withWatch(job.command('show'))
    .argument('<job-id>')
    .description('Shows how far a job has come, and what did not go well.')
    .action((id: string, options: WatchOptions) =>
      terminal.untilStopped((stop) =>
        withApi(loginFrom(options, terminal), credentials, async (api) => {
          if (options.watch === true) await watchJob(api, id, options, stop, terminal);
          else await showJob(api, id, terminal);
        }),
      ),
    );
  examples(show, ['mooring job show fw-7', 'mooring job show fw-7 --watch']);

  const cancel = withLogin(job.command('cancel'))
    .argument('<job-id>')
    .description('No further device is begun. A device that is being asked may still carry it out.')
    .action((id: string, options: CommonOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        const cancelled = await api.jobs.cancel(id);
        if (terminal.json) return print(terminal, JSON.stringify(cancelled, undefined, 2));
        note(terminal, `Cancelled: ${countsText(cancelled)}.`);
      }),
    );
  examples(cancel, ['mooring job cancel fw-7']);
}

function withWatch(command: Command): Command {
  return withLogin(command)
    .option('--watch', 'show the progress until the job is over; fails when not all went well')
    .addOption(
      new Option('--every <time>', 'with --watch: how often to look').argParser(durationMs).default(EVERY_MS, '1s'),
    );
}

function withCreation(command: Command, ...more: readonly string[]): Command {
  const created = withWatch(command).argument('<condition>', 'as "tags.site = \'north\'", or "*" for all devices');
  for (const argument of more) created.argument(argument, 'of the method');
  return created
    .option('--id <id>', 'the name of the job (default: one is made)')
    .option('--start <time>', 'when it begins, as 2026-06-01T02:00Z (default: now)', startTime)
    .option('--ttl <time>', 'how long it may take (default: 1h)', durationMs);
}

function startTime(text: string): string {
  const time = utcTime(text);
  if (Number.isNaN(time)) throw new InvalidArgumentError('It looks like 2026-06-01T02:00Z.');
  return new Date(time).toISOString();
}

async function create(
  queryCondition: string,
  work: Pick<JobRequestJson, 'type' | 'updateTwin' | 'cloudToDeviceMethod'>,
  options: CreateOptions,
  terminal: Terminal,
): Promise<void> {
  const { id = randomUUID(), start, ttl } = options;
  await terminal.untilStopped((stop) =>
    withApi(loginFrom(options, terminal), credentials, async (api) => {
      const job = await api.jobs.create(id, {
        ...work,
        queryCondition,
        startTime: start ?? null,
        ...(ttl !== undefined && { maxExecutionTimeInSeconds: Math.ceil(ttl / 1000) }),
      });
      if (options.watch === true) {
        note(terminal, `Job ${id}.`);
        return watchJob(api, id, options, stop, terminal);
      }
      if (terminal.json) return print(terminal, JSON.stringify(job, undefined, 2));
      await print(terminal, id);
      note(terminal, `How far it has come: mooring job show ${id}`);
    }),
  );
}

async function listJobs({ type, status, top, ...login }: ListOptions, terminal: Terminal): Promise<void> {
  const jobs = await withApi(loginFrom(login, terminal), credentials, async (api) => {
    const found: JobJson[] = [];
    const of = { ...(type !== undefined && { jobType: type }), ...(status !== undefined && { jobStatus: status }) };
    for await (const each of api.jobs.all(of)) {
      found.push(each);
      if (found.length === top) break;
    }
    return found;
  });
  if (terminal.json) return print(terminal, JSON.stringify(jobs, undefined, 2));
  if (jobs.length === 0) return note(terminal, 'There are none.');
  const columns = [
    { title: 'job', cell: ({ jobId }: JobJson) => jobId },
    { title: 'does', cell: doesText },
    { title: 'created', cell: (row: JobJson) => localTime(Date.parse(row.createdTime)) },
    { title: 'status', cell: (row: JobJson) => row.status },
    { title: 'devices', cell: countsText },
  ];
  await print(terminal, table(terminal.out, columns, jobs));
}

async function showJob(api: ApiClient, id: string, terminal: Terminal): Promise<void> {
  const job = await api.jobs.get(id);
  const query =
    `SELECT deviceId, moduleId, status, error.description AS reason FROM devices.jobs ` +
    `WHERE devices.jobs.jobId = '${id}' AND status IN ['failed', 'unknown']`;
  const { rows } = await api.queries.page(query, { countMax: SHOWN_MAX });
  if (terminal.json) return print(terminal, JSON.stringify({ ...job, notWell: rows }, undefined, 2));
  const text = facts(terminal.out, [
    ['does', doesText(job)],
    ['for', printable(job.queryCondition)],
    ['status', job.failureReason === undefined ? job.status : `${job.status}: ${printable(job.failureReason)}`],
    ['begins', localTime(Date.parse(job.startTime))],
    ['ended', job.endTime && localTime(Date.parse(job.endTime))],
    ['may take', duration(job.maxExecutionTimeInSeconds * 1000)],
    ['devices', countsText(job)],
  ]);
  await print(terminal, text);
  if (rows.length === 0) return;
  const columns = [
    { title: 'device', cell: ({ deviceId, moduleId }: QueryRowJson) => [deviceId, moduleId].filter(Boolean).join('/') },
    { title: 'status', cell: ({ status }: QueryRowJson) => String(status) },
    { title: 'reason', cell: ({ reason }: QueryRowJson) => printable(String(reason ?? '')) },
  ];
  await print(terminal, `\n${table(terminal.out, columns, rows)}`);
  const { failedCount } = job.deviceJobStatistics;
  if (failedCount > rows.length) note(terminal, `These are the first ${rows.length} of ${count(failedCount)}.`);
}

function doesText({ type, cloudToDeviceMethod }: JobJson): string {
  if (type === 'scheduleUpdateTwin') return 'update twins';
  if (type === 'scheduleDeviceMethod') return `method ${printable(String(cloudToDeviceMethod?.methodName))}`;
  return `${type} of the registry: see mooring registry jobs`;
}
