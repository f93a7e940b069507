/**
 * Who is slowed instead of refused, as events. A door that stops reading does so for milliseconds, and many times a
 * second, so what counts is a second: each in which a sender was held back, at least in part, is one `throttled` event, the
 * first told at once; the monitor sums them as it does refusals. A limit of the hub's own holds back everybody, and is told
 * for the hub, not for each device.
 *
 * Costs nothing where nobody is slowed: no entry, no timer. Bounded by `limits.monitoringSlowedMax`; who comes beyond is
 * told together with the others that do.
 */
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { LimitHit } from '../errors.ts';
import type { EventSender } from '../events/room.ts';
import { clipped, concerning } from './concerned.ts';
import type { MonitoringReport, Recorder } from './types.ts';

interface Slowed {
  /** With the limit as it was met last. */
  report: MonitoringReport;
  /** Connections that are held back now. */
  held: number;
  /** Some were, since the last second was told. */
  again: boolean;
}

export class SlowedSenders {
  readonly #recorder: Recorder;
  readonly #clock: Clock;
  readonly #countMax: number;
  readonly #slowed = new Map<string, Slowed>();

  constructor(recorder: Recorder, clock: Clock, countMax: number = limits.monitoringSlowedMax) {
    this.#recorder = recorder;
    this.#clock = clock;
    this.#countMax = countMax;
  }

  /** A sender is held back by `limit` until the returned function is called; calling it twice is harmless. */
  begin(sender: EventSender, limit: LimitHit): () => void {
    const { name, report } = this.#toldAs(sender, limit);
    let entry = this.#slowed.get(name);
    if (entry === undefined) {
      entry = { report, held: 0, again: false };
      if (this.#slowed.size === 0) this.#arm();
      this.#slowed.set(name, entry);
      this.#recorder.record(report);
    } else {
      entry.report = report;
      entry.again = true;
    }
    entry.held++;
    const slowed = entry;
    let isHeld = true;
    return () => {
      if (isHeld) slowed.held--;
      isHeld = false;
    };
  }

  #toldAs({ stamp, via }: EventSender, limit: LimitHit): { readonly name: string; readonly report: MonitoringReport } {
    const { name, current, max } = limit;
    const slowed = { type: 'throttled', effect: 'slowed', operation: 'telemetry.send' } as const;
    if (limit.scope === 'hub') {
      return { name, report: { ...slowed, limit: { name, scope: 'hub', current, max } } };
    }
    const own = `${name} ${stamp.deviceId}/${stamp.moduleId ?? ''} ${via?.peer ?? ''}`;
    if (this.#slowed.has(own) || this.#slowed.size < this.#countMax) {
      const facts = { limit: { name, scope: clipped(limit.scope), current, max } };
      return { name: own, report: { ...slowed, ...concerning(stamp), ...via, ...facts } };
    }
    return {
      name: `${name} of others`,
      report: { ...slowed, limit: { name, scope: 'further devices', current, max } },
    };
  }

  #arm(): void {
    this.#clock.after(limits.monitoringSlowedMs, () => {
      for (const [name, entry] of this.#slowed) {
        if (entry.held === 0 && !entry.again) this.#slowed.delete(name);
        else {
          entry.again = false;
          this.#recorder.record(entry.report);
        }
      }
      if (this.#slowed.size > 0) this.#arm();
    });
  }
}
