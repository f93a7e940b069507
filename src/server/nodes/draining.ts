/**
 * A node that is emptied: nobody new comes in, devices leave a few at a time, so that the other nodes are not asked by all of them at
 * once, then readers and requests. It may go on without a connection until it is stopped; a stop empties it in the same way.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { PresenceRoom } from '../../core/presence/presence.ts';
import type { Membership } from './membership.ts';

export interface DrainingParts {
  readonly membership: Membership;
  readonly presence: Pick<PresenceRoom, 'letGo' | 'held'>;
  readonly doors: { stopAccepting(): Promise<void>; drain(): Promise<void> };
  /** How long it may take in all. */
  readonly withinMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export class Draining {
  readonly #parts: DrainingParts;
  #draining: Promise<void> | undefined;

  constructor(parts: DrainingParts) {
    this.#parts = parts;
  }

  /** Resolves when no device, reader or request is left. */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    const { membership, doors, log } = this.#parts;
    log.info(
      { node: membership.name, devices: this.#parts.presence.held() },
      'this node takes no connections any more',
    );
    const told = membership.drain().catch((error: unknown) => {
      log.warn({ error }, 'the other nodes could not be told that this one is emptied');
    });
    // A database that is away must not hold the stop up.
    await Promise.race([told, this.#sleep(limits.nodeStatementMs)]);
    await doors.stopAccepting();
    if (membership.others().length > 0) await this.#spread();
    await doors.drain();
    log.info({ node: membership.name }, 'this node is empty');
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#parts.clock.after(ms, resolve));
  }

  async #spread(): Promise<void> {
    const { presence, withinMs } = this.#parts;
    const steps = Math.max(1, Math.floor((withinMs * limits.nodeSpreadShare) / limits.nodeSpreadStepMs));
    const atOnce = Math.max(limits.nodeSpreadCountMin, Math.ceil(presence.held() / steps));
    for (let step = 0; step < steps && presence.letGo('hub-stopping', atOnce) > 0; step++) {
      await this.#sleep(limits.nodeSpreadStepMs);
    }
  }
}
