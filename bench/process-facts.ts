/** What the operating system says of a process and of the disk. Linux only: it reads /proc. */
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Ticks per second of the counters in /proc (USER_HZ): 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, user and system, of all threads of the process since it began. */
export function cpuSeconds(pid: number): number {
  const fields = statFields(pid);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Of /proc/PID/stat, behind the name, which may hold blanks: utime is the 14th of all, the 11th here from 0. */
function statFields(pid: number): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** The same of a process, its children, and those of them that have ended and been waited for. */
export function processTreeCpuSeconds(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  const fields = statFields(pid);
  const ended = (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
  let sum = cpuSeconds(pid) + ended;
  for (const child of children.filter((text) => text !== '')) {
    try {
      sum += cpuSeconds(Number(child));
    } catch {
      // It has ended since; what it used is counted at the next look.
    }
  }
  return sum;
}

/** The process that has started this one: of a connection's process of PostgreSQL that is the server. */
export function parentOf(pid: number): number {
  return Number(statFields(pid)[1]);
}

/** Resident memory now, in MiB. */
export function residentMiB(pid: number): number {
  return statusKiB(pid, 'VmRSS') / 1024;
}

/** The most that was ever resident, in MiB. */
export function residentPeakMiB(pid: number): number {
  return statusKiB(pid, 'VmHWM') / 1024;
}

function statusKiB(pid: number, name: string): number {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (line === null) throw new Error(`no ${name} of process ${pid}`);
  return Number(line[1]);
}

/** Median milliseconds of append 512 bytes + fdatasync on the disk that holds `directory`, over about a second. */
export function fdatasyncMedianMs(directory: string): number {
  const file = path.join(directory, `fdatasync-${process.pid}.dat`);
  const descriptor = openSync(file, 'w');
  const bytes = Buffer.alloc(512, 1);
  const durations: number[] = [];
  const end = performance.now() + 1000;
  while (performance.now() < end) {
    const begun = performance.now();
    writeSync(descriptor, bytes);
    fdatasyncSync(descriptor);
    durations.push(performance.now() - begun);
  }
  closeSync(descriptor);
  rmSync(file);
  return median(durations);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export interface Machine {
  readonly cores: number;
  readonly model: string;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
}

export function machine(): Machine {
  return {
    cores: os.cpus().length,
    model: os.cpus()[0].model,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()}`,
    node: process.version,
  };
}

/** CPU seconds that the whole machine has spent at work, to see what others used meanwhile. */
export function machineBusySeconds(): number {
  return os.cpus().reduce((sum, { times }) => sum + (times.user + times.nice + times.sys + times.irq) / 1000, 0);
}
