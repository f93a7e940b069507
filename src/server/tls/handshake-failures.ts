import { addressShare } from '../../base/address.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { clipped } from '../../core/monitoring/concerned.ts';
import type { Recorder } from '../../core/monitoring/types.ts';
import type { HandshakeFailure } from '../../protocols/shared/handshake-failure.ts';

export interface HandshakeFailuresParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly recorder: Recorder;
  /** Counts one, for metrics. */
  count(failure: HandshakeFailure): void;
}

interface Told {
  /** Monotonic milliseconds of the last line. */
  at: number;
  /** Failures since then. */
  untold: number;
}

/**
 * TLS handshakes that came to nothing, of all ports and threads: each is counted and told to monitoring (which sums alike ones), and
 * the log has one line a minute for each address and reason; an IPv6 site is one address. Addresses are strangers': beyond
 * `handshakeFailuresToldMax` of them they share one line.
 */
export class HandshakeFailures {
  readonly #parts: HandshakeFailuresParts;
  /** In the order of their last lines. */
  readonly #told = new Map<string, Told>();

  constructor(parts: HandshakeFailuresParts) {
    this.#parts = parts;
  }

  readonly failed = (failure: HandshakeFailure): void => {
    const { port, peer, reason, code, offered } = failure;
    this.#parts.count(failure);
    this.#parts.recorder.record({
      type: 'handshakeFailed',
      ...{ peer, port, reason },
      ...(offered !== undefined && { offered: clipped(offered) }),
    });
    const count = this.#due(`${addressShare(peer)} ${reason}`, reason);
    if (count === 0) return;
    this.#parts.log.info({ listener: port, peer, reason, code, offered, count }, 'a TLS handshake has failed');
  };

  /** How many failures a line that is due now is for; 0 = none is due. */
  #due(own: string, shared: string): number {
    const now = this.#parts.clock.monotonic();
    for (const [key, { at }] of this.#told) {
      if (now - at < limits.handshakeWarningMs) break;
      if (key !== own && key !== shared) this.#told.delete(key);
    }
    const isFull = this.#told.size >= limits.handshakeFailuresToldMax && !this.#told.has(own);
    const key = isFull ? shared : own;
    const told = this.#told.get(key);
    if (told !== undefined && now - told.at < limits.handshakeWarningMs) {
      told.untold++;
      return 0;
    }
    this.#told.delete(key);
    this.#told.set(key, { at: now, untold: 0 });
    return 1 + (told?.untold ?? 0);
  }
}
