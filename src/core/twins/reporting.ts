/**
 * Reported patches on their way to the store: one call at a time, and what comes meanwhile is the next one. So the patches of many
 * devices share a transaction, and two of the same device one statement.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import { asHubError, HubError } from '../errors.ts';
import { reportCost } from './kept.ts';
import type { Report, ReportOutcome, TwinStore } from './ports.ts';

interface Waiting {
  readonly report: Report;
  resolve(outcome: ReportOutcome): void;
  reject(error: HubError): void;
}

export class Reporting {
  readonly #store: Pick<TwinStore, 'report'>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #withEvents: boolean;
  #waiting: Waiting[] = [];
  #characters = 0;
  #isBusy = false;
  /** Since the start: patches that were accepted, that were refused, and calls of the store. */
  readonly totals = { accepted: 0, refused: 0, calls: 0 };

  constructor(store: Pick<TwinStore, 'report'>, clock: Pick<Clock, 'now'>, withEvents: boolean) {
    this.#store = store;
    this.#clock = clock;
    this.#withEvents = withEvents;
  }

  /** Resolves when the outcome is durable. @throws HubError ServiceUnavailable, ThrottlingException */
  add(report: Report): Promise<ReportOutcome> {
    const current = this.#characters + report.patch.text.length;
    if (current > limits.twinReportsCharsMax) {
      const limit = { name: 'twinReportsCharsMax', scope: 'hub', current, max: limits.twinReportsCharsMax };
      return Promise.reject(new HubError('ThrottlingException', undefined, { limit }));
    }
    this.#characters = current;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ report, resolve, reject });
      if (this.#isBusy) return;
      this.#isBusy = true;
      // Those that came in the same turn go together.
      queueMicrotask(() => void this.#work());
    });
  }

  /** How many of those that wait go in the next call: one at least. */
  #nextCount(): number {
    let count = 0;
    for (let cost = 0; count < this.#waiting.length; count++) {
      cost += reportCost(this.#waiting[count].report.patch);
      if (count > 0 && cost > limits.twinReportsCostPerCall) break;
    }
    return count;
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#nextCount());
      for (const { report } of batch) this.#characters -= report.patch.text.length;
      try {
        const terms = { time: this.#clock.now(), withEvents: this.#withEvents };
        const outcomes = await this.#store.report(
          batch.map(({ report }) => report),
          terms,
        );
        this.totals.calls++;
        for (const [at, { resolve }] of batch.entries()) {
          this.totals[outcomes[at].kind === 'done' ? 'accepted' : 'refused']++;
          resolve(outcomes[at]);
        }
      } catch (error) {
        for (const { reject } of batch) reject(asHubError(error));
      }
    }
    this.#isBusy = false;
  }
}
