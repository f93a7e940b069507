/**
 * A number for each event of a device, which grows over restarts without being stored: a run begins at its start time
 * in milliseconds times 1024 and counts by one. So it can only overtake the next run's numbers if a device has more than
 * a thousand events in every millisecond of the run; a number stays exact in JavaScript until the year 2248. Runs that
 * begin at the same time, because the clock was set back, are kept apart by the number of events that were stored before.
 *
 * Devices are remembered up to a bound; a device that is forgotten goes on above every number that was forgotten, so its
 * numbers still grow, with a gap.
 */
const PER_MILLISECOND = 1024;

export class Numbers {
  readonly #last = new Map<string, number>();
  readonly #namesMax: number;
  #floor: number;

  constructor(startTime: number, namesMax: number, earlier = 0) {
    this.#floor = startTime * PER_MILLISECOND + earlier;
    this.#namesMax = namesMax;
  }

  next(name: string): number {
    const number = (this.#last.get(name) ?? this.#floor) + 1;
    // The first is the one to forget. While nobody has to be for long, nothing moves: each move leaves a hole in the table.
    if (this.#last.size > this.#namesMax / 2) this.#last.delete(name);
    this.#last.set(name, number);
    if (this.#last.size > this.#namesMax) {
      const [oldest, forgotten] = this.#last.entries().next().value as [string, number];
      this.#last.delete(oldest);
      this.#floor = Math.max(this.#floor, forgotten);
    }
    return number;
  }
}
