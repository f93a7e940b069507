/**
 * Alike events of one source, summed: the first is told at once, those that follow within a window are one event at its
 * end. Summed per node: two nodes tell of the same attack twice, each with what it has seen. Nothing is left out of the counts, whatever is attacked with.
 *
 * Sources are told apart in three widths, each bounded: device and address; the rest of one address, when it tries more
 * devices than `sourcesPerAddressMax`; the rest of all, when there are more addresses than `addressesMax`. The invariant,
 * checked by a property test: the counts of everything told and everything still open make up what was added.
 */
import type { Clock } from '../../base/clock.ts';
import type { Summed } from './types.ts';

export interface SumsParts<Event> {
  readonly clock: Clock;
  readonly windowMs: number;
  readonly sourcesPerAddressMax: number;
  readonly addressesMax: number;
  /** Tells one event for `summed.count` of them; `event` is the newest, reduced to what they share. */
  tell(event: Event, summed: Summed): void;
  /** The same event without what names one device, and without what names one address. */
  widen(event: Event, to: 'address' | 'hub'): Event;
}

export interface SummedEvent {
  /** The address that it came from; '' = not known. */
  readonly address: string;
  /** What is alike: kind, check or code, device. */
  readonly source: string;
  /** The same without the device. */
  readonly alike: string;
}

interface Window<Event> {
  event: Event;
  readonly summedOver: Summed['summedOver'];
  readonly address: string;
  readonly since: number;
  count: number;
  first: number;
  last: number;
}

export class Sums<Event> {
  readonly #parts: SumsParts<Event>;
  readonly #windows = new Map<string, Window<Event>>();
  /** Sources that are told apart by device, per address. */
  readonly #sourcesOf = new Map<string, number>();
  #armed = false;

  constructor(parts: SumsParts<Event>) {
    this.#parts = parts;
  }

  /** Windows that are open. */
  get size(): number {
    return this.#windows.size;
  }

  /** Counts the event; the first of its source is told at once. */
  add(event: Event, named: SummedEvent): void {
    const now = this.#parts.clock.now();
    const place = this.#placeOf(named);
    const known = this.#windows.get(place.name);
    if (known !== undefined) {
      if (known.count === 0) known.first = now;
      known.count++;
      known.last = now;
      if (known.summedOver === 'source') known.event = event;
      return;
    }
    const { summedOver } = place;
    const shared = summedOver === 'source' ? event : this.#parts.widen(event, summedOver);
    if (summedOver === 'source') this.#sourcesOf.set(named.address, (this.#sourcesOf.get(named.address) ?? 0) + 1);
    this.#windows.set(place.name, {
      event: shared,
      summedOver,
      address: named.address,
      since: now,
      count: 0,
      first: now,
      last: now,
    });
    this.#arm();
    this.#parts.tell(shared, { count: 1, first: now, last: now, since: now, summedOver });
  }

  /** Tells what is open, at a window's end or when the hub stops. A source that was quiet for a whole window is forgotten. */
  flush(): void {
    for (const [name, window] of [...this.#windows]) {
      if (window.count === 0) this.#forget(name, window);
      else {
        const { event, count, first, last, since, summedOver } = window;
        window.count = 0;
        this.#parts.tell(event, { count, first, last, since, summedOver });
      }
    }
  }

  #placeOf({ address, source, alike }: SummedEvent): {
    readonly name: string;
    readonly summedOver: Summed['summedOver'];
  } {
    const { sourcesPerAddressMax, addressesMax } = this.#parts;
    const name = `s ${address} ${source}`;
    const sources = this.#sourcesOf.get(address);
    if (this.#windows.has(name)) return { name, summedOver: 'source' };
    if (sources === undefined && this.#sourcesOf.size >= addressesMax) return { name: `h ${alike}`, summedOver: 'hub' };
    if ((sources ?? 0) >= sourcesPerAddressMax) return { name: `a ${address} ${alike}`, summedOver: 'address' };
    return { name, summedOver: 'source' };
  }

  #forget(name: string, window: Window<Event>): void {
    this.#windows.delete(name);
    if (window.summedOver !== 'source') return;
    const left = (this.#sourcesOf.get(window.address) ?? 0) - 1;
    if (left > 0) this.#sourcesOf.set(window.address, left);
    else this.#sourcesOf.delete(window.address);
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#parts.clock.after(this.#parts.windowMs, () => {
      this.#armed = false;
      this.flush();
      if (this.#windows.size > 0) this.#arm();
    });
  }
}
