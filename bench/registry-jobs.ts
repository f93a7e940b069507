/**
 * Import and export of the whole registry by REST from the outside: a file of devices with keys and twins of about 1 KiB into an empty hub,
 * out of it again, and in once more, where all of it is there already. What counts is devices per second and per CPU second of the
 * whole process, from the request until the job is completed; sending and fetching the file is not in it.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApiClient } from '../src/api/client.ts';
import type { RegistryJobJson } from '../src/api/registry-jobs.ts';
import { cpuSeconds, machine, residentPeakMiB } from './process-facts.ts';
import { printTable, show, spread, writeResult } from './report.ts';
import { startHub } from './servers/hub.ts';

export interface RegistryJobsOptions {
  readonly devices: number;
  readonly rounds: number;
  readonly directory: string;
  readonly jsonFile?: string;
}

const steps = ['import', 'export', 'import of what is there'] as const;
interface Measured {
  readonly step: (typeof steps)[number];
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** Of the process until then. */
  readonly peakMiB: number;
}

const POLL_MS = 20;
const DEVICES_FILE = 'devices.txt';

export async function registryJobs(options: RegistryJobsOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const measured: Measured[] = [];
  for (let round = 1; round <= options.rounds; round++) measured.push(...(await oneRound(options)));
  printTable([
    [`${options.devices} devices`, 'devices / s', 'devices / CPU s', 'peak MiB'],
    ...steps.map((name) => {
      const rows = measured.filter(({ step }) => step === name);
      const of = (value: (row: Measured) => number): string => show(spread(rows.map(value)));
      return [name, of((row) => row.perSecond), of((row) => row.perCpuSecond), of((row) => row.peakMiB)];
    }),
  ]);
  const result = { devices: options.devices, measured, machine: machine() };
  process.stdout.write(`${writeResult('registry-jobs', result, options.jsonFile)}\n`);
}

async function oneRound({ devices, directory }: RegistryJobsOptions): Promise<readonly Measured[]> {
  const folder = mkdtempSync(path.join(directory, 'registry-'));
  const hub = await startHub({ connections: 0, tls: false, directory: folder, bag: '' });
  const { connectionStrings, ports } = hub.endpoints;
  const api = createApiClient({
    connectionString: connectionStrings.iothubowner,
    port: ports.https ?? 0,
    ca: hub.caText,
    timeoutMs: 120_000,
  });
  try {
    const { containerUri } = await api.registryJobs.openArea();
    const bytes = Array.from({ length: devices }, (_, nth) => lineOf(nth).length).reduce((sum, each) => sum + each, 0);
    await api.registryJobs.putFile(containerUri, DEVICES_FILE, { body: lines(devices), bytes });
    const request = { type: 'import', inputBlobContainerUri: containerUri, outputBlobContainerUri: containerUri };
    const run = async (
      step: Measured['step'],
      wish: Parameters<typeof api.registryJobs.create>[0],
    ): Promise<Measured> => {
      // What the step before has left to do is not this one's.
      await sleep(500);
      const [cpu, began] = [cpuSeconds(hub.pid), performance.now()];
      let job: RegistryJobJson = await api.registryJobs.create(wish);
      while (job.status === 'enqueued' || job.status === 'running') {
        await sleep(POLL_MS);
        job = await api.registryJobs.get(job.jobId);
      }
      const [spent, seconds] = [cpuSeconds(hub.pid) - cpu, (performance.now() - began) / 1000];
      const { done, failed, unchanged } = job.counts;
      const isRight = done === devices && failed === 0 && unchanged === (step === steps[2] ? devices : 0);
      if (job.status !== 'completed' || !isRight) throw new Error(`${step}: ${JSON.stringify(job)}`);
      return { step, perSecond: devices / seconds, perCpuSecond: devices / spent, peakMiB: residentPeakMiB(hub.pid) };
    };
    return [
      await run('import', request),
      await run('export', { type: 'export', outputBlobContainerUri: containerUri, outputBlobName: 'out.txt' }),
      await run('import of what is there', { ...request, inputBlobName: 'out.txt' }),
    ];
  } finally {
    api.close();
    await hub.stop();
    rmSync(folder, { recursive: true });
  }
}

/** As a hub writes it, about 1 KiB. */
function lineOf(nth: number): Buffer {
  const key = Buffer.from(`device ${nth}`.padEnd(32, '.')).toString('base64');
  const line = {
    id: `bench-${String(nth).padStart(8, '0')}`,
    status: 'enabled',
    authentication: { type: 'sas', symmetricKey: { primaryKey: key, secondaryKey: key } },
    tags: { site: `site-${nth % 100}`, room: nth % 1000, building: { floor: nth % 7, wing: 'north' } },
    properties: {
      desired: { interval: 30, mode: 'auto', limits: { low: 1.5, high: 80 }, names: ['a', 'b', 'c'] },
      reported: {
        firmware: '1.2.3',
        battery: nth % 100,
        state: 'ready',
        network: { rssi: -60, ssid: 'plant' },
        note: 'x'.repeat(300),
      },
    },
  };
  return Buffer.from(`${JSON.stringify(line)}\n`);
}

async function* lines(devices: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < devices; from += 500) {
    const count = Math.min(500, devices - from);
    yield Buffer.concat(Array.from({ length: count }, (_, at) => lineOf(from + at)));
  }
}
