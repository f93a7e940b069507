/** Since when a log has events: for people who look how far back they can read. */
import type { Clock } from '../../base/clock.ts';
import type { EventLog } from '../../core/events/ports.ts';

/** Retention removes events segment by segment; a minute more or less is nothing to it. */
const LOOK_MS = 60_000;

export class OldestEvent {
  readonly #log: Pick<EventLog, 'partitionCount' | 'partition' | 'read' | 'giveBack'>;
  readonly #clock: Pick<Clock, 'monotonic'>;
  #lookedAt: number | undefined;
  #time: number | undefined;

  constructor(
    log: Pick<EventLog, 'partitionCount' | 'partition' | 'read' | 'giveBack'>,
    clock: Pick<Clock, 'monotonic'>,
  ) {
    this.#log = log;
    this.#clock = clock;
  }

  /** UTC milliseconds, as of a minute ago at most; undefined = there is none, or it cannot be read at the moment. */
  async time(): Promise<number | undefined> {
    const now = this.#clock.monotonic();
    // The first event of a log is waited for.
    if (this.#time !== undefined && this.#lookedAt !== undefined && now - this.#lookedAt < LOOK_MS) return this.#time;
    this.#lookedAt = now;
    this.#time = await this.#look().catch(() => undefined);
    return this.#time;
  }

  async #look(): Promise<number | undefined> {
    const times = await Promise.all(Array.from({ length: this.#log.partitionCount }, (_, at) => this.#of(at)));
    const known = times.filter((time) => time !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  async #of(partition: number): Promise<number | undefined> {
    const { firstSequence, lastSequence } = await this.#log.partition(partition);
    if (lastSequence < firstSequence) return undefined;
    const runs = await this.#log.read(partition, firstSequence, 1);
    const time = runs[0]?.time;
    this.#log.giveBack(runs);
    return time;
  }
}
