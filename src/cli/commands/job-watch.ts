/** A job that is looked at until it is over: a bar for a person, a line of JSON for each change for a program. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../api/client.ts';
import type { JobJson } from '../../api/jobs.ts';
import { Failure } from '../failure.ts';
import { progressLine } from '../output/progress.ts';
import { paint } from '../output/table.ts';
import { count, duration, localTime, rate } from '../output/values.ts';
import { print, type Terminal } from '../terminal.ts';

const BAR_CHARS = 24;

/** @throws Failure when the job failed, was cancelled, or not every device has come to a good end */
export async function watchJob(
  api: ApiClient,
  id: string,
  { every }: { readonly every: number },
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  const line = progressLine(terminal);
  const pace = new Pace();
  let shown = '';
  while (!stop.aborted) {
    const job = await api.jobs.get(id);
    const text = `${job.status} ${JSON.stringify(job.deviceJobStatistics)}`;
    const isNews = terminal.json ? text !== shown : job.status !== shown.split(' ')[0];
    shown = text;
    if (isNews) {
      line.end();
      const time = paint(terminal.out, 'dim', localTime(Date.now()));
      await print(terminal, terminal.json ? JSON.stringify(job) : `${time}  ${job.status}: ${countsText(job)}`);
    }
    line.show(barText(job, pace.of(endedOf(job))));
    if (job.status === 'completed' || job.status === 'failed' || job.status === 'cancelled') {
      // What was under way when it was cancelled may still end.
      if (job.status === 'cancelled' && leftOf(job) > 0) {
        await pause(every, stop);
        continue;
      }
      line.end();
      return judge(job);
    }
    await pause(every, stop);
  }
  line.end();
}

const pause = (ms: number, stop: AbortSignal): Promise<void> => sleep(ms, undefined, { signal: stop }).catch(() => {});

function judge({ jobId, status, failureReason, deviceJobStatistics }: JobJson): void {
  const { failedCount } = deviceJobStatistics;
  const hint = `What became of which device: mooring job show ${jobId}`;
  if (status === 'failed')
    throw new Failure(`The job has failed: ${failureReason ?? 'the hub does not say why'}`, { hint });
  if (status === 'cancelled') throw new Failure('The job was cancelled.', { hint });
  if (failedCount > 0) throw new Failure(`${count(failedCount)} devices have failed.`, { hint });
}

const endedOf = ({ deviceJobStatistics: of }: JobJson): number =>
  of.succeededCount + of.failedCount + of.cancelledCount;
const leftOf = ({ deviceJobStatistics: of }: JobJson): number => of.runningCount + of.pendingCount;

/** `9,990 of 10,000 done, 4 failed, 6 left` */
export function countsText({ deviceJobStatistics: of }: JobJson): string {
  const more = [
    [of.failedCount - of.unknownCount, 'failed'],
    [of.unknownCount, 'unknown'],
    [of.cancelledCount, 'cancelled'],
    [of.runningCount, 'being asked'],
    [of.pendingCount, 'left'],
  ] as const;
  const parts = more.filter(([many]) => many > 0).map(([many, word]) => `${count(many)} ${word}`);
  return [`${count(of.succeededCount)} of ${count(of.deviceCount)} done`, ...parts].join(', ');
}

/** `█████████░░░░░  62%  6,200 of 10,000 done  4,100/s  1.0 s left` */
export function barText(job: JobJson, perSecond: number): string {
  const { deviceCount } = job.deviceJobStatistics;
  const share = deviceCount === 0 ? 0 : endedOf(job) / deviceCount;
  const full = Math.round(share * BAR_CHARS);
  const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_CHARS - full)}`;
  const left = perSecond > 0 ? `  ${rate(perSecond)}/s  ${duration((leftOf(job) / perSecond) * 1000)} left` : '';
  return `${bar} ${String(Math.floor(share * 100)).padStart(3)}%  ${countsText(job)}${left}`;
}

/** Devices a second, over the last looks. */
class Pace {
  #looks: { readonly at: number; readonly ended: number }[] = [];

  of(ended: number): number {
    const at = performance.now();
    this.#looks = [...this.#looks, { at, ended }].slice(-10);
    const [first] = this.#looks;
    return at - first.at < 1 ? 0 : ((ended - first.ended) * 1000) / (at - first.at);
  }
}
