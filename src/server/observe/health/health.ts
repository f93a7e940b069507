/**
 * What is wrong with the hub, and what to do about it. Each check looks at one thing; a caller (a probe, a scrape, the
 * hub itself twice a minute) gets all of them. A check that does not come back does not hold up the answer: its last
 * result stands for a while, and then its silence is what is wrong. The log has a line when a check changes, not while it
 * lasts.
 */
import { type HealthCheckJson, type HealthReport, type HealthStatus, healthStatuses } from '../../../api/health.ts';
import type { Cancel, Clock } from '../../../base/clock.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';

export type CheckResult = Omit<HealthCheckJson, 'name'>;

export interface HealthCheck {
  readonly name: string;
  /** Looks now. What it throws fails it. */
  look(): CheckResult | Promise<CheckResult>;
  /** Milliseconds for which a result is good, for checks that cost something; default 0. */
  readonly keptMs?: number;
  /** Its changes are in the log already. */
  readonly isQuiet?: boolean;
  /** What it says while a look has had no answer for so many seconds; absent = it fails, and the disk is looked at. */
  silent?(seconds: number): CheckResult;
}

export const fine: CheckResult = { status: 'ok' };

interface Entry {
  readonly check: HealthCheck;
  last: CheckResult | undefined;
  /** Monotonic times of the last result and of the look that is under way. */
  lastAt: number;
  lookingSince: number;
  looking: Promise<void> | undefined;
  told: HealthStatus;
}

export class Health {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #entries: Entry[] = [];
  #cancel: Cancel = () => {};

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  add(check: HealthCheck): void {
    this.#entries.push({ check, last: undefined, lastAt: 0, lookingSince: 0, looking: undefined, told: 'ok' });
  }

  /** Looks by itself from now on, so that the log tells where nobody asks. */
  start(): void {
    this.#cancel = this.#clock.after(limits.healthEveryMs, () => {
      void this.report();
      this.start();
    });
  }

  close(): void {
    this.#cancel();
  }

  /** Never throws, and takes `limits.healthWaitMs` at most. */
  async report(): Promise<HealthReport> {
    const looks = this.#entries.flatMap((entry) => this.#look(entry) ?? []);
    if (looks.length > 0) await this.#within(Promise.all(looks));
    const checks = this.#entries.map((entry) => ({ name: entry.check.name, ...this.#resultOf(entry) }));
    for (const [at, check] of checks.entries()) this.#tell(this.#entries[at], check);
    const worst = Math.max(0, ...checks.map(({ status }) => healthStatuses.indexOf(status)));
    const status = healthStatuses[worst];
    return { ready: status !== 'fail', status, checks };
  }

  /** The look that is under way, if one is needed. */
  #look(entry: Entry): Promise<void> | undefined {
    if (entry.looking !== undefined) return entry.looking;
    const { check } = entry;
    const now = this.#clock.monotonic();
    if (entry.last !== undefined && now - entry.lastAt < (check.keptMs ?? 0)) return undefined;
    const done = (result: CheckResult): void => {
      entry.last = result;
      entry.lastAt = this.#clock.monotonic();
      entry.looking = undefined;
    };
    const failed = (error: unknown): void => done({ status: 'fail', reason: messageOf(error), remedy: seeLog });
    try {
      const result = check.look();
      if (!(result instanceof Promise)) {
        done(result);
        return undefined;
      }
      entry.lookingSince = now;
      entry.looking = result.then(done, failed);
      return entry.looking;
    } catch (error) {
      failed(error);
      return undefined;
    }
  }

  #resultOf({ check, last, looking, lookingSince }: Entry): CheckResult {
    const silentMs = looking === undefined ? 0 : this.#clock.monotonic() - lookingSince;
    if (silentMs < limits.healthSilenceMs) return last ?? { status: 'warn', reason: 'there is no answer yet' };
    const seconds = Math.floor(silentMs / 1000);
    if (check.silent !== undefined) return check.silent(seconds);
    return {
      status: 'fail',
      reason: `there has been no answer for ${seconds} s`,
      remedy: 'The disk may hang, or the machine be overloaded; see its own log.',
    };
  }

  #tell(entry: Entry, check: HealthCheckJson): void {
    if (check.status === entry.told || entry.check.isQuiet === true) return;
    entry.told = check.status;
    const { name: subject, status, reason, remedy } = check;
    if (status === 'ok') this.#log.info({ check: subject }, 'a health check is well again');
    else
      this.#log[status === 'warn' ? 'warn' : 'error']({ check: subject, reason, remedy }, `a health check: ${status}`);
  }

  async #within(work: Promise<unknown>): Promise<void> {
    let cancel: Cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#clock.after(limits.healthWaitMs, resolve);
    });
    await Promise.race([work, late]);
    cancel();
  }
}

const seeLog = 'The log of the hub says more.';
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
