/**
 * What streams of pages are told of the hub itself: its overview once in a second and monitoring events in each tick. Put together
 * and written as JSON once, for however many streams; nothing is done while there are none.
 */
import type { Clock } from '../../../../base/clock.ts';
import { limits } from '../../../../base/limits.ts';
import type { ToldEvent } from '../../monitoring-end.ts';
import type { LiveEvents } from '../../monitoring-routes.ts';
import { AlikeEvents, mayBeAlike } from './alike-events.ts';

/** Gets the `data` of one server-sent event. */
export type TextListener = (data: string) => void;

const OVERVIEW_MS = 1000;

/** The overview of the hub, once in a second while a page shows it. */
export class OverviewFeed {
  readonly #clock: Clock;
  readonly #overview: () => Promise<object>;
  readonly #listeners = new Set<TextListener>();
  #cancel: (() => void) | undefined;
  #last: string | undefined;

  constructor(clock: Clock, overview: () => Promise<object>) {
    this.#clock = clock;
    this.#overview = overview;
  }

  watch(listener: TextListener): () => void {
    const own: TextListener = (data) => listener(data);
    this.#listeners.add(own);
    if (this.#cancel === undefined) this.#look();
    else if (this.#last !== undefined) own(this.#last);
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size > 0) return;
      this.#cancel?.();
      this.#cancel = undefined;
      this.#last = undefined;
    };
  }

  #look(): void {
    this.#cancel = this.#clock.after(OVERVIEW_MS, () => this.#look());
    this.#overview().then(
      (found) => {
        this.#last = JSON.stringify(found);
        for (const listener of this.#listeners) listener(this.#last);
      },
      // The next look may find it; health tells of what does not answer.
      () => {},
    );
  }
}

/** Monitoring events, a bounded number in a tick; those of one caller that does the same thing again are one with their count. */
export class MonitoringFeed {
  readonly #events: Pick<LiveEvents, 'watch'> | undefined;
  readonly #listeners = new Set<TextListener>();
  #unwatch: (() => void) | undefined;
  readonly #came = new AlikeEvents();
  #leftOut = 0;

  /** @param events absent = monitoring is switched off, and nothing comes */
  constructor(events: Pick<LiveEvents, 'watch'> | undefined) {
    this.#events = events;
  }

  watch(listener: TextListener): () => void {
    const own: TextListener = (data) => listener(data);
    this.#listeners.add(own);
    this.#unwatch ??= this.#events?.watch((type, _id, json) => {
      const isFull = this.#came.size >= limits.portalEventsPerTickMax;
      if (isFull && !mayBeAlike(type)) this.#leftOut++;
      else if (!this.#came.add(JSON.parse(json) as ToldEvent, isFull)) this.#leftOut++;
    });
    return () => {
      this.#listeners.delete(own);
      if (this.#listeners.size > 0) return;
      this.#unwatch?.();
      this.#unwatch = undefined;
      this.#came.take();
      this.#leftOut = 0;
    };
  }

  /** To be called once in a tick. */
  tick(): void {
    if (this.#came.size === 0) return;
    const data = JSON.stringify({ events: this.#came.take(), leftOut: this.#leftOut });
    this.#leftOut = 0;
    for (const listener of this.#listeners) listener(data);
  }
}
