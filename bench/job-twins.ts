/**
 * A job that updates the twins of all devices of a hub, by REST from the outside: what it costs the whole process, every thread of it, from
 * the request until the job is completed. Each round is a job of its own over the same devices; every twin is looked at in between.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, machine } from './process-facts.ts';
import { figure, printTable, show, spread, writeResult } from './report.ts';
import { callHub, createDevices, type RunningHub, startHub } from './servers/hub.ts';

export interface JobTwinsOptions {
  readonly devices: number;
  readonly rounds: number;
  readonly directory: string;
  readonly jsonFile?: string;
  /** Where the hub's inspector listens, to profile it; absent = nowhere. */
  readonly inspectorPort?: number;
}

export interface Round {
  readonly devicesPerCpuSecond: number;
  readonly wallMs: number;
  readonly cpuMs: number;
}

const VERSION = 'api-version=2021-04-12';
const POLL_MS = 50;

export async function jobTwins(options: JobTwinsOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  const directory = mkdtempSync(path.join(options.directory, 'jobs-'));
  const hub = await startHub({
    ...{ connections: 0, tls: false, directory, bag: '' },
    ...(options.inspectorPort !== undefined && { inspectorPort: options.inspectorPort }),
  });
  try {
    await createDevices(hub.endpoints, hub.caText, options.devices, '');
    const rounds: Round[] = [];
    for (let round = 1; round <= options.rounds; round++) rounds.push(await oneJob(hub, options.devices, round));
    const perCpuSecond = spread(rounds.map(({ devicesPerCpuSecond }) => devicesPerCpuSecond));
    printTable([
      ['job over', 'devices / CPU s', 'CPU ms', 'wall ms'],
      [
        `${options.devices} devices`,
        show(perCpuSecond),
        show(spread(rounds.map(({ cpuMs }) => cpuMs))),
        show(spread(rounds.map(({ wallMs }) => wallMs))),
      ],
    ]);
    process.stdout.write(`first round, of fresh twins: ${figure(rounds[0].devicesPerCpuSecond)} devices / CPU s\n`);
    const beside = {
      idle: await answers(hub, sleep(2000)),
      job: await answers(hub, oneJob(hub, options.devices, options.rounds + 1)),
    };
    const shown = ({ p50, p99 }: Answers): string => `p50 ${figure(p50)} ms, p99 ${figure(p99)} ms`;
    process.stdout.write(`GET of a twin meanwhile: ${shown(beside.job)}; without a job: ${shown(beside.idle)}\n`);
    const result = { devices: options.devices, rounds, beside, machine: machine() };
    process.stdout.write(`${writeResult('job-twins', result, options.jsonFile)}\n`);
  } finally {
    await hub.stop();
    rmSync(directory, { recursive: true });
  }
}

/** @throws Error when not every device was updated, or one twice */
export async function oneJob(hub: RunningHub, devices: number, round: number): Promise<Round> {
  const id = `round-${round}`;
  const updateTwin = { tags: { building: `b${round}` }, properties: { desired: { interval: round, mode: 'auto' } } };
  const body = { type: 'scheduleUpdateTwin', queryCondition: '*', updateTwin };
  // What the round before has left to do is not this one's.
  await sleep(500);
  const [cpu, began] = [cpuSeconds(hub.pid), performance.now()];
  await callHub(hub, 'PUT', `/jobs/v2/${id}?${VERSION}`, JSON.stringify(body));
  for (;;) {
    await sleep(POLL_MS);
    const job = JSON.parse(await callHub(hub, 'GET', `/jobs/v2/${id}?${VERSION}`, ''));
    if (job.status !== 'completed') continue;
    const [spent, wallMs] = [cpuSeconds(hub.pid) - cpu, performance.now() - began];
    if (job.deviceJobStatistics.succeededCount !== devices) throw new Error(JSON.stringify(job.deviceJobStatistics));
    await look(hub, devices, round);
    return { devicesPerCpuSecond: devices / spent, wallMs, cpuMs: spent * 1000 };
  }
}

interface Answers {
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
}

/** How long others wait for the tables until `work` is over: milliseconds. */
async function answers(hub: RunningHub, work: Promise<unknown>): Promise<Answers> {
  const times: number[] = [];
  let isOver = false;
  const ended = work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const began = performance.now();
    await callHub(hub, 'GET', `/twins/bench-0?${VERSION}`, '');
    times.push(performance.now() - began);
    await sleep(10);
  }
  await ended;
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  return { p50: at(0.5), p99: at(0.99), count: times.length };
}

/** Every twin has what this round has written, and was changed once by it. */
async function look(hub: RunningHub, devices: number, round: number): Promise<void> {
  const condition = `tags.building = 'b${round}' AND properties.desired.interval = ${round}`;
  const query = JSON.stringify({ query: `SELECT COUNT() AS n FROM devices WHERE ${condition}` });
  const [{ n }] = JSON.parse(await callHub(hub, 'POST', `/devices/query?${VERSION}`, query));
  const twin = JSON.parse(await callHub(hub, 'GET', `/twins/bench-0?${VERSION}`, ''));
  const version = twin.properties.desired.$version;
  if (n !== devices || version !== round + 1)
    throw new Error(`${n} twins are updated, the first to version ${version}`);
}
