import type { Cancel, Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';

export interface RenewalsParts {
  readonly node: string;
  renew(): Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Renews the lease again and again; says once that it cannot, for each reason, and once that it can again. */
export class Renewals {
  readonly #parts: RenewalsParts;
  #cancel: Cancel = () => {};
  #isClosed = false;
  #reason: string | undefined;
  #failed = 0;

  constructor(parts: RenewalsParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#plan(limits.nodeRenewMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #plan(delayMs: number): void {
    if (this.#isClosed) return;
    this.#cancel = this.#parts.clock.after(delayMs, () => {
      this.#parts.renew().then(
        () => {
          this.#succeeded();
          this.#plan(limits.nodeRenewMs);
        },
        (error: unknown) => {
          this.#hasFailed(error);
          this.#plan(limits.nodeRenewAgainMs);
        },
      );
    });
  }

  #hasFailed(error: unknown): void {
    this.#failed++;
    const reason = error instanceof Error ? error.message : String(error);
    if (reason === this.#reason) return;
    this.#reason = reason;
    const { node, log } = this.#parts;
    log.warn(
      { node, error },
      'the lease of this node could not be renewed; it is tried again, and told when it can be',
    );
  }

  #succeeded(): void {
    if (this.#failed === 0) return;
    const { node, log } = this.#parts;
    log.info({ node, failed: this.#failed }, 'the lease of this node is renewed again');
    this.#failed = 0;
    this.#reason = undefined;
  }
}
